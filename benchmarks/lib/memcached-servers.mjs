import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { UserError } from '../../scripts/lib/cli.mjs'
import { freePort } from '../../scripts/lib/server-process.mjs'
import { endsWithUs } from './cleanup.mjs'

const readyWithinMs = 10_000

/** So many nodes for each contestant: clients mark their values in their own ways, and there are no databases. */
export function memcachedServers(nodes) {
  return async (contestants) => {
    const servers = await Promise.all(contestants.map(() => startNodes(nodes)))
    const all = servers.flat()
    return {
      pids: all.map(({ child }) => child.pid),
      addressOf: (contestant) => ({
        servers: servers[contestants.indexOf(contestant)].map(({ address }) => address),
      }),
      reset: () => Promise.all(all.map(({ port }) => ask(port, 'flush_all'))),
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
  const settings = ['-l', '127.0.0.1', '-p', `${port}`, '-U', '0', '-t', '1', '-u', 'root']
  const child = endsWithUs(spawn('memcached', settings, { stdio: 'ignore' }))
  let failure
  child.once('error', () => {
    failure = 'does not start. Install it: apt-get install memcached'
  })
  child.once('exit', (code) => {
    failure ??= `ended with exit code ${code}`
  })
  const deadline = performance.now() + readyWithinMs
  while (!(await answers(port))) {
    if (performance.now() > deadline) failure ??= `does not answer on port ${port}`
    if (failure) throw new UserError(`memcached ${failure}.`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return { child, port, address: `127.0.0.1:${port}` }
}

function answers(port) {
  return ask(port, 'version').then(Boolean, () => false)
}

/** One command on a connection of its own, which the server closes after the answer. */
function ask(port, command) {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect({ host: '127.0.0.1', port }, () =>
      socket.write(`${command}\r\nquit\r\n`),
    )
    socket.setEncoding('utf8').on('data', (chunk) => {
      answer += chunk
    })
    socket.once('end', () => resolve(answer))
    socket.once('error', reject)
  })
}
