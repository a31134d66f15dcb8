import { setTimeout as sleep } from 'node:timers/promises'
import { type MemcachedOptions, memcached } from '@stowage/memcached'
import { type MemcachedServer, startMemcached, variantGroups } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, describe, test } from 'vitest'

const one = await startMemcached()
const three = await Promise.all([startMemcached(), startMemcached(), startMemcached()])
// Some cases use fixed keys, so each setup has its own servers.
const two = await Promise.all([startMemcached(), startMemcached()])
const textOnly = await startMemcached({ args: ['-B', 'ascii'] })
afterAll(async () => {
  for (const server of [one, ...three, ...two, textOnly]) await server.stop()
})

const addresses = (servers: readonly { address: string }[]) => servers.map(({ address }) => address)
const setups: Readonly<Record<string, MemcachedOptions>> = {
  'one node': { servers: [one.address] },
  'three nodes': { servers: addresses(three) },
  "oversize: 'chunk'": { servers: addresses(two), oversize: 'chunk' },
  'a server without the binary protocol': { servers: [textOnly.address] },
}
const wait = async (ms: number) => sleep(ms)

for (const [name, options] of Object.entries(setups)) {
  describe(name, () => {
    conform(test, () => memcached({ ...options, timeout: '20s' }), {
      wait,
      // A ttl takes seconds here.
      concurrent: test.concurrent,
      groups: name === 'three nodes' ? undefined : variantGroups,
      sharedBackend: true,
    })
  })
}

const short = { timeout: '500ms', connectTimeout: '500ms' } as const

describe('frozen nodes', () => {
  const signal = (name: NodeJS.Signals) => {
    for (const server of three) server.kill(name)
  }
  conform(test, () => memcached({ servers: addresses(three), ...short }), {
    wait,
    groups: ['outage'],
    breakBackend: () => signal('SIGSTOP'),
    restoreBackend: () => signal('SIGCONT'),
    deadlineMs: 900,
  })
})

describe('stopped nodes', () => {
  let nodes: readonly MemcachedServer[] = two
  afterAll(async () => {
    for (const node of nodes) await node.stop()
  })
  conform(test, () => memcached({ servers: addresses(two), ...short }), {
    wait,
    groups: ['outage'],
    breakBackend: async () => {
      for (const node of nodes) await node.stop()
    },
    restoreBackend: async () => {
      nodes = await Promise.all(nodes.map((node) => node.restart()))
    },
    deadlineMs: 900,
  })
})
