import { connect } from 'node:net'
import { startRedis as start } from '@stowage/test-servers'

// What the harness itself sends; everything else is the contestant's.
const own = ['info', 'quit', 'ping', 'flushall']

/** A Redis server of our own, with a database for each contestant, and how to empty it. */
export async function startRedis(contestants) {
  const { port, url, pid, stop } = await start({ args: ['--databases', `${contestants.length}`] })
  return {
    pids: [pid],
    addressOf: (contestant) => ({ url: `${url}/${contestants.indexOf(contestant)}` }),
    reset: () => ask(port, 'FLUSHALL'),
    countCommands: () => countCommands(port),
    stop,
  }
}

/** How many commands the server has executed, the harness's own excepted. */
async function countCommands(port) {
  const statistics = await ask(port, 'INFO commandstats')
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
