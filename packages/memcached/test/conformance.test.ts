import { setTimeout as sleep } from 'node:timers/promises'
import { type MemcachedOptions, memcached } from '@stowage/memcached'
import { startMemcached } from '@stowage/test-servers'
import { conform, conformance } from '@stowage/testing'
import { afterAll, describe, test } from 'vitest'

const one = await startMemcached()
const three = await Promise.all([startMemcached(), startMemcached(), startMemcached()])
// Some cases use the same keys each time, so no two setups share a server.
const two = await Promise.all([startMemcached(), startMemcached()])
const text = await startMemcached({ args: ['-B', 'ascii'] })
afterAll(async () => {
  for (const server of [one, ...three, ...two, text]) await server.stop()
})

/** A ttl takes seconds here, so the cases run at once, but for those that empty the servers. */
const apart = [...new Set(conformance.map(({ group }) => group))].filter((name) => name !== 'clear')
const addresses = (servers: readonly { address: string }[]) => servers.map(({ address }) => address)
const setups: Readonly<Record<string, MemcachedOptions>> = {
  'one node': { servers: [one.address] },
  'three nodes': { servers: addresses(three) },
  'values in parts': { servers: addresses(two), oversize: 'chunk' },
  'a node that refuses the binary protocol': { servers: [text.address] },
}
const wait = async (ms: number) => sleep(ms)

for (const [name, options] of Object.entries(setups)) {
  describe.concurrent(name, () => {
    conform(test, () => memcached({ ...options, timeout: '5s' }), { wait, groups: apart })
  })
}

for (const [name, options] of Object.entries(setups)) {
  describe(`${name}, emptied`, () => {
    conform(test, () => memcached({ ...options, timeout: '5s' }), { wait, groups: ['clear'] })
  })
}
