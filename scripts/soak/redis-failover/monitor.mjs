import { connect } from 'node:net'

/** @typedef {{ port: number, at: number, kind: 'set' | 'increment', n: number }} Execution */

/** What the increments of a load carry, so that each can be told from the others on the server. */
export const ttlBase = 86_400_000

/**
 * Listens to what a server carries out for clients, by MONITOR: not what it refuses, and not what comes to it from its
 * primary.
 * @param {number} port
 * @param {readonly number[]} servers ports of all servers
 * @param {(execution: Execution) => void} notice
 * @returns {Promise<() => void>} once it listens; ends it
 */
export function listen(port, servers, notice) {
  const parse = parser(port, new Set(servers.map((each) => `127.0.0.1:${each}`)), notice)
  /** @type {import('node:net').Socket} */
  let socket
  let ended = false
  const end = () => {
    ended = true
    socket.destroy()
  }
  return new Promise((resolve) => {
    const attach = () => {
      let rest = ''
      socket = connect(port, '127.0.0.1', () => socket.write('MONITOR\r\n'))
      socket.setEncoding('latin1').on('data', (chunk) => {
        const lines = (rest + chunk).split('\r\n')
        rest = lines.pop() ?? ''
        for (const line of lines) parse(line)
        resolve(end)
      })
      socket.on('error', () => {})
      // Sentinels end all connections of a server whose role they change, and some servers are killed.
      socket.on('close', () => ended || setTimeout(attach, 2))
    }
    attach()
  })
}

/** @param {number} port @param {Set<string>} replication @param {(execution: Execution) => void} notice */
function parser(port, replication, notice) {
  /** The increment whose script is running. @type {number} */
  let running
  return (/** @type {string} */ line) => {
    const [, seconds, client, text] = line.match(/^\+(\d+\.\d+) \[\d+ (\S+)\] "(.*)"$/) ?? []
    if (text === undefined || replication.has(client)) return
    const [command, ...args] = text.split('" "')
    const at = Number(seconds) * 1_000
    if (/^eval/i.test(command)) running = Number(args.at(-1)) - ttlBase
    else if (client === 'lua' && command === 'INCRBY')
      notice({ port, at, kind: 'increment', n: running })
    else if (/^set$/i.test(command) && args[0].startsWith('w:'))
      notice({ port, at, kind: 'set', n: Number(args[0].slice(2)) })
  }
}
