import { spawn } from 'node:child_process'
import { freePort } from '@stowage/test-servers'
import { UserError } from '../../../scripts/lib/cli.mjs'
import { killOnExit } from '../running/child-processes.mjs'
import { sendCommand } from './send-command.mjs'

const startTimeoutMs = 10_000

/** A number of nodes for each contestant: memcached has no databases, and clients store values in different formats. */
export function memcachedServers(nodeCount) {
  return async (contestants) => {
    const nodes = await Promise.all(contestants.map(() => startNodes(nodeCount)))
    const all = nodes.flat()
    return {
      pids: all.map(({ child }) => child.pid),
      addressOf: (contestant) => ({
        servers: nodes[contestants.indexOf(contestant)].map(({ address }) => address),
      }),
      reset: () => Promise.all(all.map(({ port }) => sendCommand(port, 'flush_all'))),
      async stop() {
        for (const { child } of all) child.kill('SIGKILL')
      },
    }
  }
}

function startNodes(count) {
  return Promise.all(Array.from({ length: count }, startNode))
}

async function startNode() {
  const port = await freePort()
  const args = ['-l', '127.0.0.1', '-p', `${port}`, '-U', '0', '-t', '1', '-u', 'root']
  const child = killOnExit(spawn('memcached', args, { stdio: 'ignore' }))
  let failure
  child.once('error', () => {
    failure = 'cannot be started. Install it: apt-get install memcached'
  })
  child.once('exit', (code) => {
    failure ??= `exited with code ${code}`
  })
  const deadline = performance.now() + startTimeoutMs
  while (!(await isReady(port))) {
    if (performance.now() > deadline) failure ??= `does not reply on port ${port}`
    if (failure) throw new UserError(`memcached ${failure}.`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return { child, port, address: `127.0.0.1:${port}` }
}

function isReady(port) {
  return sendCommand(port, 'version').then(Boolean, () => false)
}
