import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'

// Another server of the same protocol, such as valkey-server, can be tried in its place.
const program = process.env.STOWAGE_REDIS_SERVER ?? 'redis-server'
const startAttempts = 5
const readyWithinMs = 20_000

// One listener for all: one each would make Node warn of a leak from the eleventh server on.
/** @type {Set<() => void>} */
const running = new Set()
process.once('exit', () => {
  for (const end of running) end()
})

/**
 * @typedef {object} RedisServer
 * @property {number} port
 * @property {string} url
 * @property {number} pid
 * @property {() => Promise<void>} stop ends it; idempotent
 * @property {() => Promise<RedisServer>} restart starts a new one, empty, on the same port
 * @property {(signal: NodeJS.Signals) => void} kill sends it a signal, such as SIGSTOP
 */

/**
 * @typedef {object} RedisServerOptions
 * @property {number} [port] a free one where none is given
 * @property {string[]} [args] further settings, as on the command line
 * @property {string} [conf] text of a configuration file of its own, which the server may rewrite
 * @property {{ cert: string, key: string }} [tls] files; the server then speaks TLS only
 */

/**
 * A redis-server of its own on a free loopback port, without persistence. It ends with this process.
 * @param {RedisServerOptions} [options]
 * @returns {Promise<RedisServer>}
 */
export async function startRedis({ port, args = [], conf, tls } = {}) {
  for (let attempt = 1; ; attempt++) {
    const chosen = port ?? (await freePort())
    try {
      return await launch(chosen, { args, conf, tls })
    } catch (error) {
      // Somebody else may have taken the port between our look and the server's bind.
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
 * @param {number} port
 * @param {{ args: string[], conf: string | undefined, tls: RedisServerOptions['tls'] }} options
 * @returns {Promise<RedisServer>}
 */
async function launch(port, { args, conf, tls }) {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-redis-'))
  const listen = tls === undefined ? ['--port', `${port}`] : tlsSettings(port, tls)
  const file = conf === undefined ? [] : [writeConf(folder, conf)]
  const settings = [...file, ...listen, '--bind', '127.0.0.1', '--dir', folder]
  const memoryOnly = ['--save', '', '--appendonly', 'no']
  const child = spawn(program, [...settings, ...memoryOnly, ...args], { stdio: 'ignore' })
  // A program that cannot be started has an error and no exit.
  const ended = new Promise((resolve) => child.once('exit', resolve).once('error', resolve))
  const end = () => child.kill('SIGKILL')
  running.add(end)

  const stop = async () => {
    end()
    await ended
    running.delete(end)
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await Promise.race([answers(port, tls !== undefined, child), failure(child)])
  } catch (error) {
    await stop()
    throw error
  }
  return {
    port,
    url: `${tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${port}`,
    pid: /** @type {number} */ (child.pid),
    stop,
    restart: () => startRedis({ port, args, conf, tls }),
    kill: (signal) => child.kill(signal),
  }
}

/** @param {import('node:child_process').ChildProcess} child */
function failure(child) {
  return new Promise((_, reject) => {
    child.once('error', (cause) =>
      reject(
        new Error(`${program} does not start. Install it: apt-get install ${program}`, { cause }),
      ),
    )
    child.once('exit', (code) => reject(new Error(`${program} ended with code ${code}`)))
  })
}

/** @param {string} folder @param {string} text */
function writeConf(folder, text) {
  const path = join(folder, 'redis.conf')
  writeFileSync(path, text)
  return path
}

/** @param {number} port @param {{ cert: string, key: string }} files */
function tlsSettings(port, { cert, key }) {
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert]
  return ['--port', '0', '--tls-port', `${port}`, '--tls-auth-clients', 'no', ...files]
}

/**
 * Resolves once the server answers PING, also where it asks for a password.
 * @param {number} port
 * @param {boolean} secure
 * @param {import('node:child_process').ChildProcess} child once it has ended nobody is asked, and nothing resolves
 */
async function answers(port, secure, child) {
  const deadline = Date.now() + readyWithinMs
  while (!(await pong(port, secure))) {
    if (child.pid === undefined || child.exitCode !== null) return new Promise(() => {})
    if (Date.now() > deadline) throw new Error(`${program} does not answer on port ${port}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** @param {number} port @param {boolean} secure @returns {Promise<boolean>} */
function pong(port, secure) {
  return new Promise((resolve) => {
    const ping = () => socket.write('PING\r\n')
    const socket = secure
      ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }, ping)
      : connect(port, '127.0.0.1', ping)
    const answer = (/** @type {boolean} */ well) => {
      socket.destroy()
      resolve(well)
    }
    socket.once('data', (reply) => answer(/^(\+PONG|-NOAUTH)/.test(`${reply}`)))
    socket.once('error', () => answer(false))
    socket.setTimeout(1_000, () => answer(false))
  })
}
