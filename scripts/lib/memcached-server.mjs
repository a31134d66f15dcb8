import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { connect as connectTls } from 'node:tls'
import { onPort, startProcess } from './server-process.mjs'

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
export function startMemcached({ port, args = [], tls, env = {} } = {}) {
  return onPort(port, (chosen) => launch(chosen, { args, tls, env }))
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
  const server = await startProcess({
    name: 'memcached',
    remedy: 'install it: apt-get install memcached',
    command: 'memcached',
    args: [...user, ...listen, '-m', '64', ...secure, ...args],
    env,
    answers: () => accepts(port, tls !== undefined),
  })
  const restart = () => startMemcached({ port, args, tls, env })
  return { ...server, port, address: `127.0.0.1:${port}`, restart }
}

/** @param {{ cert: string, key: string }} files */
function tlsSettings({ cert, key }) {
  return ['-Z', '-o', `ssl_chain_cert=${cert},ssl_key=${key}`]
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
