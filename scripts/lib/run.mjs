import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { UserError } from './cli.mjs'

/** The root folder of the workspace. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

/** Runs a command in the workspace and shows its output. Resolves to the exit code. `signal` terminates it. */
export function run(command, args, { env = {}, cwd = root, signal } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: 'inherit', env: { ...process.env, ...env } })
    const stopForwarding = forwardSignals(child)
    const terminate = () => child.kill('SIGTERM')
    if (signal?.aborted) terminate()
    signal?.addEventListener('abort', terminate, { once: true })
    child.on('error', reject)
    child.on('exit', (code, killedBy) => {
      stopForwarding()
      signal?.removeEventListener('abort', terminate)
      resolve(code ?? exitCodeOf(killedBy))
    })
  })
}

/** Like `run`, but throws unless the exit code is 0. */
export async function runOrThrow(command, args, options) {
  const code = await run(command, args, options)
  if (code !== 0)
    throw new UserError(`${[command, ...args].join(' ')} failed with exit code ${code}.`)
}

/**
 * Forwards signals to the child, which decides when to exit. In a terminal, Ctrl-C sends SIGINT to the child as well:
 * it must not receive it twice. Other signals reach this process only.
 */
function forwardSignals(child) {
  const interrupt = () => process.stdin.isTTY || child.kill('SIGINT')
  const terminate = () => child.kill('SIGTERM')
  process.on('SIGINT', interrupt).on('SIGTERM', terminate)
  return () => process.off('SIGINT', interrupt).off('SIGTERM', terminate)
}

function exitCodeOf(signal) {
  return signal === 'SIGINT' ? 130 : 1
}
