import { connect } from 'node:net'

/** @typedef {{ port: number, at: number, kind: 'set' | 'increment', n: number }} Execution */

/** Added to the number of a round, it is the ttl of the round's increment: it identifies the increment on the server. */
export const ttlBase = 86_400_000

/**
 * Reports the commands of a Load that a server executes for clients, using MONITOR. Neither rejected commands nor those
 * that the server replicates from its primary are reported.
 * @param {number} port
 * @param {readonly number[]} servers ports of all servers
 * @param {(execution: Execution) => void} onExecution
 * @returns {Promise<() => void>} resolves once MONITOR runs, to a function that stops it
 */
export function monitor(port, servers, onExecution) {
  const parse = parser(port, new Set(servers.map((each) => `127.0.0.1:${each}`)), onExecution)
  /** @type {import('node:net').Socket} */
  let socket
  let stopped = false
  const stop = () => {
    stopped = true
    socket.destroy()
  }
  return new Promise((resolve) => {
    const open = () => {
      let rest = ''
      socket = connect(port, '127.0.0.1', () => socket.write('MONITOR\r\n'))
      socket.setEncoding('latin1').on('data', (chunk) => {
        const lines = (rest + chunk).split('\r\n')
        rest = lines.pop() ?? ''
        for (const line of lines) parse(line)
        resolve(stop)
      })
      socket.on('error', () => {})
      // Reconnects: a Sentinel closes all connections of a server whose role it changes, and some servers are killed.
      socket.on('close', () => stopped || setTimeout(open, 2))
    }
    open()
  })
}

/**
 * @param {number} port
 * @param {Set<string>} servers addresses of all servers: commands from them are replicated
 * @param {(execution: Execution) => void} onExecution
 */
function parser(port, servers, onExecution) {
  /** The increment whose script is running. @type {number} */
  let running
  return (/** @type {string} */ line) => {
    const [, seconds, client, text] = line.match(/^\+(\d+\.\d+) \[\d+ (\S+)\] "(.*)"$/) ?? []
    if (text === undefined || servers.has(client)) return
    const [command, ...args] = text.split('" "')
    const at = Number(seconds) * 1_000
    if (/^eval/i.test(command)) running = Number(args.at(-1)) - ttlBase
    else if (client === 'lua' && command === 'INCRBY')
      onExecution({ port, at, kind: 'increment', n: running })
    else if (/^set$/i.test(command) && args[0].startsWith('w:'))
      onExecution({ port, at, kind: 'set', n: Number(args[0].slice(2)) })
  }
}
