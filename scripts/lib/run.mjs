import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Remedy } from './progress.mjs'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** Runs a command in the workspace, its output shown as it comes; resolves to the exit code. */
export function run(command, args, { env = {}, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: 'inherit', env: { ...process.env, ...env } })
    const unforward = forwardSignals(child)
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      unforward()
      resolve(code ?? signalCode(signal))
    })
  })
}

/** Like `run`, but anything but success ends the script. */
export async function must(command, args, options) {
  const code = await run(command, args, options)
  if (code !== 0) throw new Remedy(`${[command, ...args].join(' ')} failed with exit code ${code}.`)
}

/**
 * The command decides when to end. Ctrl-C at a terminal reaches it without us, a second one would be too much; any
 * other signal is sent to us alone.
 */
function forwardSignals(child) {
  const interrupt = () => process.stdin.isTTY || child.kill('SIGINT')
  const terminate = () => child.kill('SIGTERM')
  process.on('SIGINT', interrupt).on('SIGTERM', terminate)
  return () => process.off('SIGINT', interrupt).off('SIGTERM', terminate)
}

function signalCode(signal) {
  return signal === 'SIGINT' ? 130 : 1
}
