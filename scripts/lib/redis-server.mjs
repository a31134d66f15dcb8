import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { onPort, startProcess } from './server-process.mjs'

// Another server of the same protocol, such as valkey-server, can be tried in its place.
const program = process.env.STOWAGE_REDIS_SERVER ?? 'redis-server'

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
export function startRedis({ port, args = [], conf, tls } = {}) {
  return onPort(port, (chosen) => launch(chosen, { args, conf, tls }))
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
  const server = await startProcess({
    name: program,
    remedy: `install it: apt-get install ${program}`,
    command: program,
    args: [...settings, ...memoryOnly, ...args],
    answers: () => pong(port, tls !== undefined),
    cleanUp: () => rmSync(folder, { recursive: true, force: true }),
  })
  const url = `${tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${port}`
  return { ...server, port, url, restart: () => startRedis({ port, args, conf, tls }) }
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

/** Whether the server answers PING, also where it asks for a password. @param {number} port @param {boolean} secure @returns {Promise<boolean>} */
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
