import { withBatching } from '@stowage/core'
import { BatchError } from '@stowage/core/driver'
import { type MemcachedOptions, memcached } from '@stowage/memcached'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

let servers: MemcachedServer[]
const cleanups: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  servers = await Promise.all([
    startMemcached({ args: ['-I', '512k'] }),
    startMemcached({ args: ['-I', '512k'] }),
  ])
})

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  for (const server of servers) await server.stop()
})

function createStore(options: MemcachedOptions = {}) {
  const addresses = servers.map(({ address }) => address)
  const store = memcached({ servers: addresses, timeout: '10s', ...options })
  cleanups.push(() => store.close())
  return store
}

const keys = Array.from({ length: 40 }, (_, index) => `k${index}`)

async function failureOf(call: unknown): Promise<BatchError> {
  const error = await Promise.resolve(call).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(BatchError)
  return error as BatchError
}

/** How many keys of a call have succeeded. Each of the others must have an error of its own. */
function countSucceeded({ outcomes }: BatchError, operation: string): number {
  expect(outcomes.length).toBe(keys.length)
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status === 'fulfilled') continue
    expect(outcome.reason).toMatchObject({ operation, key: keys[index] })
    expect(outcome.reason.message).toMatch(/failed: 127\.0\.0\.1:\d+: /)
  }
  return outcomes.filter(({ status }) => status === 'fulfilled').length
}

describe.each(['reject', 'chunk'] as const)("oversize: '%s'", (oversize) => {
  test('only the keys of a node that is down fail', async () => {
    const store = createStore({ oversize })
    await store.setMany(keys.map((key) => [key, key] as const))
    await servers[0]?.stop()
    const read = await failureOf(store.getMany(keys))
    const succeeded = countSucceeded(read, 'getMany')
    expect(succeeded).toBeGreaterThan(0)
    expect(succeeded).toBeLessThan(keys.length)
    for (const [index, outcome] of read.outcomes.entries()) {
      if (outcome.status === 'fulfilled') expect(String(outcome.value)).toBe(keys[index])
    }
    const entries = keys.map((key) => [key, 'new'] as const)
    expect(countSucceeded(await failureOf(store.setMany(entries)), 'setMany')).toBe(succeeded)
    expect(countSucceeded(await failureOf(store.deleteMany(keys)), 'deleteMany')).toBe(succeeded)
  })
})

test('a value that is too large does not affect the others of its batch', async () => {
  // The limit of the server is not known before the first connection.
  const store = withBatching(createStore())
  const large = 'x'.repeat(600_000)
  const calls = keys.map((key, index) => store.set(key, index === 7 ? large : key))
  const outcomes = await Promise.allSettled(calls)
  for (const [index, outcome] of outcomes.entries()) {
    if (index !== 7) expect(outcome.status).toBe('fulfilled')
    else {
      expect(outcome).toMatchObject({ reason: { code: 'ERR_CACHE_LIMIT', key: 'k7' } })
    }
  }
  const values = await store.getMany(keys)
  expect(values.map((value) => value && String(value))).toEqual(
    keys.map((key, index) => (index === 7 ? undefined : key)),
  )
  expect(store.limits.valueBytes).toBeLessThan(512 * 1024)
})

test('the calls for a key take effect in order while its chunks are sent', async () => {
  const store = createStore({ oversize: 'chunk', timeout: '5s' })
  const large = 'x'.repeat(1_000_000)
  for (let round = 0; round < 10; round++) {
    const [, , read] = await Promise.all([
      store.set('k', large),
      store.set('k', 'small'),
      store.get('k'),
    ])
    expect(String(read)).toBe('small')
    await Promise.all([store.setMany([['k', large]]), store.delete('k')])
    expect(await store.get('k')).toBeUndefined()
    const [isAdded, wasDeleted] = await Promise.all([store.add('k', large), store.delete('k')])
    expect([isAdded, wasDeleted]).toEqual([true, true])
  }
})
