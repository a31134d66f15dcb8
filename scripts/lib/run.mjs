import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Remedy } from './progress.mjs'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** Runs a command in the workspace, its output shown as it comes; resolves to the exit code. */
export function run(command, args, { env = {}, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: 'inherit', env: { ...process.env, ...env } })
    child.on('error', reject)
    child.on('exit', (code, signal) => resolve(code ?? signalCode(signal)))
  })
}

/** Like `run`, but anything but success ends the script. */
export async function must(command, args, options) {
  const code = await run(command, args, options)
  if (code !== 0) throw new Remedy(`${[command, ...args].join(' ')} failed with exit code ${code}.`)
}

function signalCode(signal) {
  return signal === 'SIGINT' ? 130 : 1
}
