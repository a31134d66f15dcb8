import { spawn } from 'node:child_process'
import { createServer } from 'node:net'

const startAttempts = 5

// One listener for all: one each would make Node warn of a leak from the eleventh server on.
/** @type {Set<() => void>} */
const running = new Set()
process.once('exit', () => {
  for (const end of running) end()
})

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

/**
 * @typedef {object} ServerProcess
 * @property {number} pid
 * @property {() => Promise<void>} stop ends it; idempotent
 * @property {(signal: NodeJS.Signals) => void} kill sends it a signal, such as SIGSTOP or SIGCONT
 */

/**
 * @typedef {object} ServerProgram
 * @property {string} name for messages
 * @property {string} remedy for who does not have it
 * @property {string} command
 * @property {string[]} args
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env]
 * @property {() => Promise<boolean>} answers whether it does by now
 * @property {number} [readyWithinMs]
 * @property {() => void} [cleanUp] once it has ended
 */

/**
 * Starts on the port that is given, or else on a free one, again where somebody else has taken that meanwhile.
 * @template T
 * @param {number | undefined} port
 * @param {(port: number) => Promise<T>} start
 * @returns {Promise<T>}
 */
export async function onPort(port, start) {
  for (let attempt = 1; ; attempt++) {
    const chosen = port ?? (await freePort())
    try {
      return await start(chosen)
    } catch (error) {
      if (attempt === startAttempts) throw error
    }
  }
}

/** @returns {Promise<number>} a port of the loopback interface nobody listens on */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = /** @type {import('node:net').AddressInfo} */ (server.address())
      server.close(() => resolve(address.port))
    })
  })
}

/**
 * A server of its own, which answers. It ends with this process.
 * @param {ServerProgram} program
 * @returns {Promise<ServerProcess>}
 */
export async function startProcess(program) {
  const { command, args, cwd, env } = program
  const child = spawn(command, args, { stdio: 'ignore', cwd, env: { ...process.env, ...env } })
  // A program that cannot be started has an error and no exit.
  const ended = new Promise((resolve) => child.once('exit', resolve).once('error', resolve))
  const end = () => child.kill('SIGKILL')
  running.add(end)
  const stop = async () => {
    end()
    await ended
    running.delete(end)
    program.cleanUp?.()
  }
  try {
    await Promise.race([readiness(child, program), failure(child, program)])
  } catch (error) {
    await stop()
    throw error
  }
  const pid = /** @type {number} */ (child.pid)
  return { pid, stop, kill: (signal) => void child.kill(signal) }
}

/** @param {ChildProcess} child @param {ServerProgram} program */
function failure(child, { name, remedy }) {
  return new Promise((_, reject) => {
    child.once('error', (cause) =>
      reject(new Error(`${name} does not start: ${remedy}`, { cause })),
    )
    child.once('exit', (code) => reject(new Error(`${name} ended with code ${code}`)))
  })
}

/**
 * Resolves once the server answers; once it has ended nobody is asked, and nothing resolves.
 * @param {ChildProcess} child
 * @param {ServerProgram} program
 */
async function readiness(child, { name, answers, readyWithinMs = 20_000 }) {
  const deadline = Date.now() + readyWithinMs
  while (!(await answers())) {
    if (child.pid === undefined || child.exitCode !== null) return new Promise(() => {})
    if (Date.now() > deadline) throw new Error(`${name} does not answer`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
