import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { connect as connectTls } from 'node:tls'
import { freePort } from './redis-server.mjs'

const startAttempts = 5
const readyWithinMs = 20_000

// One listener for all: one each would make Node warn of a leak from the eleventh server on.
/** @type {Set<() => void>} */
const running = new Set()
process.once('exit', () => {
  for (const end of running) end()
})

/**
 * @typedef {object} MemcachedServer
 * @property {number} port
 * @property {string} address as `host:port`
 * @property {number} pid
 * @property {() => Promise<void>} stop ends it; idempotent
 * @property {() => Promise<MemcachedServer>} restart starts a new one, empty, on the same port
 * @property {(signal: NodeJS.Signals) => void} kill sends it a signal, such as SIGSTOP or SIGCONT
 */

/**
 * @typedef {object} MemcachedServerOptions
 * @property {number} [port] a free one where none is given
 * @property {string[]} [args] further settings, as on the command line: `-B ascii` for a server that refuses the binary protocol
 * @property {{ cert: string, key: string }} [tls] files; the server then speaks TLS only
 * @property {Record<string, string>} [env] for SASL: `SASL_CONF_PATH`
 */

/**
 * A memcached of its own on a free loopback port. It ends with this process.
 * @param {MemcachedServerOptions} [options]
 * @returns {Promise<MemcachedServer>}
 */
export async function startMemcached({ port, args = [], tls, env = {} } = {}) {
  for (let attempt = 1; ; attempt++) {
    const chosen = port ?? (await freePort())
    try {
      return await launch(chosen, { args, tls, env })
    } catch (error) {
      // Somebody else may have taken the port between our look and the server's bind.
      if (attempt === startAttempts) throw error
    }
  }
}

/**
 * @param {number} port
 * @param {{ args: string[], tls: MemcachedServerOptions['tls'], env: Record<string, string> }} options
 * @returns {Promise<MemcachedServer>}
 */
async function launch(port, { args, tls, env }) {
  const listen = ['-l', '127.0.0.1', '-p', `${port}`, '-U', '0']
  const secure = tls === undefined ? [] : tlsSettings(tls)
  // It refuses to run as root unless it is told to be somebody.
  const user = ['-u', userInfo().username]
  const child = spawn('memcached', [...user, ...listen, '-m', '64', ...secure, ...args], {
    stdio: 'ignore',
    env: { ...process.env, ...env },
  })
  // A program that cannot be started has an error and no exit.
  const ended = new Promise((resolve) => child.once('exit', resolve).once('error', resolve))
  const end = () => child.kill('SIGKILL')
  running.add(end)

  const stop = async () => {
    end()
    await ended
    running.delete(end)
  }
  try {
    await Promise.race([answers(port, tls !== undefined, child), failure(child)])
  } catch (error) {
    await stop()
    throw error
  }
  return {
    port,
    address: `127.0.0.1:${port}`,
    pid: /** @type {number} */ (child.pid),
    stop,
    restart: () => startMemcached({ port, args, tls, env }),
    kill: (signal) => child.kill(signal),
  }
}

/** @param {import('node:child_process').ChildProcess} child */
function failure(child) {
  return new Promise((_, reject) => {
    child.once('error', (cause) =>
      reject(
        new Error('memcached does not start. Install it: apt-get install memcached', { cause }),
      ),
    )
    child.once('exit', (code) => reject(new Error(`memcached ended with code ${code}`)))
  })
}

/** @param {{ cert: string, key: string }} files */
function tlsSettings({ cert, key }) {
  return ['-Z', '-o', `ssl_chain_cert=${cert},ssl_key=${key}`]
}

/**
 * Resolves once the server accepts connections.
 * @param {number} port
 * @param {boolean} secure
 * @param {import('node:child_process').ChildProcess} child once it has ended nobody is asked, and nothing resolves
 */
async function answers(port, secure, child) {
  const deadline = Date.now() + readyWithinMs
  while (!(await accepts(port, secure))) {
    if (child.pid === undefined || child.exitCode !== null) return new Promise(() => {})
    if (Date.now() > deadline) throw new Error(`memcached does not answer on port ${port}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** @param {number} port @param {boolean} secure @returns {Promise<boolean>} */
function accepts(port, secure) {
  return new Promise((resolve) => {
    const answer = (/** @type {boolean} */ well) => {
      socket.destroy()
      resolve(well)
    }
    const socket = secure
      ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => answer(true))
      : connect(port, '127.0.0.1', () => answer(true))
    socket.once('error', () => answer(false))
    socket.setTimeout(1_000, () => answer(false))
  })
}
