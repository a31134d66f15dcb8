import { UsageError } from '../errors.ts'
import type { Output } from './io.ts'
import { printable } from './printable.ts'

/**
 * Asks whether to go on. Without a terminal `--yes` is required, so that no script waits for an answer.
 *
 * @param action what will be done, as the beginning of a question
 * @throws UsageError without a terminal and without `--yes`
 */
export async function confirmed(output: Output, action: string, yes: boolean): Promise<boolean> {
  if (yes) return true
  if (!output.isInteractive) {
    throw new UsageError(`Not confirmed: ${action}. Repeat the command with --yes.`)
  }
  const { confirm } = await import('@clack/prompts')
  const { stdin: input, stderr } = output.io
  const question = {
    message: `${printable(action)}?`,
    initialValue: false,
    withGuide: false,
    input,
    output: stderr,
  }
  const isConfirmed = (await confirm(question)) === true
  if (!isConfirmed) output.error('Nothing was changed.')
  return isConfirmed
}

/** Shows how far work has come. */
export type ShowProgress = (text: string) => void

/** Does work, and shows how far it has come, on a terminal only. Nothing of that remains. */
export async function withProgress<T>(
  output: Output,
  json: boolean,
  text: string,
  work: (show: ShowProgress) => Promise<T>,
): Promise<T> {
  if (!output.isInteractive || json) return work(() => {})
  const { spinner } = await import('@clack/prompts')
  // Without `onCancel`, signals would not end the process.
  const onCancel = () => process.exit(interrupted)
  const shown = spinner({ output: output.io.stderr, withGuide: false, onCancel })
  process.once('exit', onExit)
  shown.start(text)
  try {
    return await work((message) => shown.message(printable(message)))
  } finally {
    shown.clear()
    process.off('exit', onExit)
  }
}

/** The exit code of a process that Ctrl+C has ended, as shells report it. */
const interrupted = 130

/** The spinner reads Ctrl+C as a key, and ends the process as if it had succeeded. */
function onExit(code: number): void {
  if (code === 0) process.exitCode = interrupted
}
