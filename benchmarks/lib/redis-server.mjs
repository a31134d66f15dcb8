import { connect } from 'node:net'
import { startRedis as start } from '../../scripts/lib/redis-server.mjs'

// What the harness itself sends; everything else is the contestant's.
const own = ['info', 'quit', 'ping', 'flushall']

/** A Redis server of our own, and how to empty it. */
export async function startRedis() {
  const { port, url, stop } = await start()
  return { address: { url }, reset: () => ask(port, 'FLUSHALL'), stop }
}

/** How many commands the server has executed, the harness's own excepted. */
export async function countRedisCommands({ url }) {
  const statistics = await ask(new URL(url).port, 'INFO commandstats')
  const calls = [...statistics.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)]
  return calls.reduce((sum, [, name, times]) => sum + (own.includes(name) ? 0 : Number(times)), 0)
}

/** One command on a connection of its own, which the server closes after the answer. */
function ask(port, command) {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect({ host: '127.0.0.1', port }, () =>
      socket.write(`${command}\r\nQUIT\r\n`),
    )
    socket.setEncoding('utf8').on('data', (chunk) => {
      answer += chunk
    })
    socket.once('end', () => resolve(answer))
    socket.once('error', reject)
  })
}
