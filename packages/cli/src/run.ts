import { readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import { CacheError } from '@stowage/core'
import { type Command, CommanderError } from 'commander'
import { CommandError, UsageError } from './errors.ts'
import { type Io, Output } from './output/io.ts'
import { wrap } from './output/layout.ts'
import { printable } from './output/printable.ts'
import { createProgram } from './program.ts'

/** @see run */
const exitCodes = { done: 0, failed: 1, usage: 2 } as const

/**
 * Runs a command of `stowage`, and resolves to its exit code: 0 if it has done what it should and found no error, 1 if it
 * failed or found errors, 2 if it was used wrongly. Never rejects: an unexpected error is written with its stack.
 *
 * The variables of `.env` files are added to `process.env`.
 *
 * @param args the arguments of the command line, without the names of the programs
 * @param io what the command reads from and writes to. @default that of this process
 * @example
 * process.exitCode = await run(['doctor', '--json'])
 */
export async function run(args: readonly string[], io: Partial<Io> = {}): Promise<number> {
  const { env = process.env, cwd = process.cwd() } = io
  const { stdin = process.stdin, stdout = process.stdout, stderr = process.stderr } = io
  const output = new Output({ env, cwd, stdin, stdout, stderr })
  let exitCode: number = exitCodes.done
  const program = createProgram(ownVersion(), output, async (command) => {
    exitCode = await command()
  })
  redirect(program, output)
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    return report(error, output)
  }
}

function ownVersion(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return JSON.parse(manifest).version
}

/** Makes commander write there, and throw instead of ending the process. */
function redirect(command: Command, output: Output): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => output.line(text.trimEnd()),
    writeErr: (text) => output.error(text.trimEnd()),
    getOutHelpWidth: () => output.width,
    getErrHelpWidth: () => output.width,
  })
  for (const inner of command.commands) redirect(inner, output)
}

function report(error: unknown, output: Output): number {
  // Its message has been written.
  if (error instanceof CommanderError)
    return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
  const isExpected = error instanceof CommandError || CacheError.is(error)
  const isUsage = error instanceof UsageError
  if (!isExpected && !isUsage) {
    // Not thrown: Node would write it as it is, with secrets and control characters of the backend.
    output.error(inspect(error))
    return exitCodes.failed
  }
  const [first = '', ...others] = (error as Error).message.split('\n').map(printable)
  const text = wrap(first, output.width, '✗ ').replace('✗', output.colors.red('✗'))
  output.error([text, ...others].join('\n'))
  return isUsage ? exitCodes.usage : exitCodes.failed
}
