import { startRedis as start } from '@stowage/test-servers'
import { sendCommand } from './send-command.mjs'

// Commands that the benchmark sends itself. All others are sent by contestants.
const ownCommands = ['info', 'quit', 'ping', 'flushall']

/** A Redis server with one database per contestant. */
export async function startRedis(contestants) {
  const { port, url, pid, stop } = await start({ args: ['--databases', `${contestants.length}`] })
  return {
    pids: [pid],
    addressOf: (contestant) => ({ url: `${url}/${contestants.indexOf(contestant)}` }),
    reset: () => sendCommand(port, 'FLUSHALL'),
    countCommands: () => countCommands(port),
    stop,
  }
}

/** The number of commands that the server has executed for contestants. */
async function countCommands(port) {
  const statistics = await sendCommand(port, 'INFO commandstats')
  const calls = [...statistics.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)]
  return calls
    .filter(([, name]) => !ownCommands.includes(name))
    .reduce((sum, [, , count]) => sum + Number(count), 0)
}
