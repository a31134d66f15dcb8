import {
  Cache,
  CacheError,
  channels,
  type FailoverEvent,
  type FailoverOptions,
  failover,
} from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { Chaos, ReferenceStore, withChaos } from '@stowage/testing'
import { afterEach, expect, test } from 'vitest'

const idKey = '~outage'
const otherId = '~oAAAAAAAA:'
const fast: FailoverOptions = { breaker: { probe: 20 }, settle: '10s' }
const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

/** A store that writes to both stores, and reads the fallback one. Other processes use that as well. */
async function setUp(options: FailoverOptions = fast) {
  const chaos = new Chaos()
  const fallback: ByteStore = Object.assign(new ReferenceStore(), { processLocal: false })
  const primary = new ReferenceStore()
  const store = failover([withChaos<ByteStore>(primary, chaos), fallback], options)
  cleanups.push(() => store.close())
  chaos.failAll()
  await store.get('k')
  chaos.reset()
  await expect.poll(() => isMirrored(store, fallback)).toBe(true)
  return { store, fallback, primary }
}

async function isMirrored(store: ByteStore, fallback: ByteStore): Promise<boolean> {
  await store.set('probe', '1')
  return (await fallback.get(`${await idOf(fallback)}probe`)) !== undefined
}

async function idOf(fallback: ByteStore): Promise<string> {
  return String(await fallback.get(idKey))
}

test.each([
  ['set', (store: ByteStore) => store.set('k', 'new')],
  ['add', (store: ByteStore) => store.add('k', 'new')],
  ['delete', (store: ByteStore) => store.delete('k')],
] as const)('%s in both stores is not undone by the items of another id', async (_, change) => {
  const { store, fallback } = await setUp()
  await change(store)
  // Another process considers the outage as a new one, and had stored its value before.
  await fallback.set(`${otherId}k`, 'older')
  await fallback.set(`${otherId}of the other`, '1')
  await fallback.set(idKey, otherId)
  await expect.poll(() => store.get('of the other')).toBeDefined()
  expect(String(await store.get('k'))).not.toBe('older')
})

test('the items of another id are not used if it is unknown which of them are outdated', async () => {
  const { store, fallback } = await setUp({ ...fast, journal: 2 })
  for (const key of ['a', 'b', 'k']) await store.set(key, 'new')
  await fallback.set(`${otherId}k`, 'older')
  await fallback.set(idKey, otherId)
  await expect.poll(() => store.get('k')).toBeUndefined()
  expect(await idOf(fallback)).not.toBe(otherId)
})

test.each([true, false])(
  'a change that fails after the outage has ended is repeated (common store: %s)',
  async (isShared) => {
    const fallback: ByteStore = isShared
      ? Object.assign(new ReferenceStore(), { processLocal: false })
      : memory()
    const chaos = new Chaos()
    let fail: ((error: Error) => void) | undefined
    let held: Promise<void> | undefined
    const primary = wrapStore<ByteStore>(new ReferenceStore(), async (operation, call) => {
      if (operation === 'set') await held
      return call()
    })
    const store = failover([withChaos(primary, chaos), fallback], {
      breaker: { probe: 20 },
      settle: 100,
    })
    cleanups.push(() => store.close())
    const phases = recordPhases()
    await store.set('k', 'old')
    chaos.fail('get', { times: 1 })
    await store.get('k')
    await expect.poll(() => phases.at(-1)).toBe('partial')
    held = new Promise((_, reject) => {
      fail = reject
    })
    const set = store.set('k', 'new')
    await expect.poll(() => phases.at(-1)).toBe('primary')
    fail?.(new CacheError('ERR_CACHE_UNAVAILABLE', 'no connection'))
    await set
    expect(String(await store.get('k'))).toBe('new')
  },
)

function recordPhases(): readonly string[] {
  const phases: string[] = []
  const record = (event: unknown) => phases.push((event as FailoverEvent).phase)
  channels.failover.subscribe(record)
  cleanups.push(() => channels.failover.unsubscribe(record))
  return phases
}

test('a generation that another process has begun is replaced, if this one has used the one before for a single call', async () => {
  const chaos = new Chaos()
  const primary = new ReferenceStore({ scan: false })
  const options = { breaker: { probe: 20 }, settle: 100 }
  const store = failover([withChaos<ByteStore>(primary, chaos), memory()], options)
  cleanups.push(() => store.close())
  const phases = recordPhases()
  const [cache, other] = [new Cache(store, { prefix: 'a:' }), new Cache(primary, { prefix: 'a:' })]
  await cache.set('k', 'old')
  await other.clear()
  await other.set('k', 'older')
  chaos.failAll()
  await cache.set('k', 'new')
  chaos.reset()
  await expect.poll(() => phases.at(-1)).toBe('primary')
  expect(await cache.get('k', { consistency: 'strong' })).not.toBe('older')
  expect(await other.get('k', { consistency: 'strong' })).not.toBe('older')
})

test('a generation remains if the processes have used no other one', async () => {
  const chaos = new Chaos()
  const primary = new ReferenceStore({ scan: false })
  const options = { breaker: { probe: 20 }, settle: 100 }
  const store = failover([withChaos<ByteStore>(primary, chaos), memory()], options)
  cleanups.push(() => store.close())
  const phases = recordPhases()
  const cache = new Cache(store, { prefix: 'a:' })
  await cache.set('kept', 'value')
  chaos.failAll()
  await cache.set('k', 'new')
  chaos.reset()
  await expect.poll(() => phases.at(-1)).toBe('primary')
  expect(await cache.get('kept', { consistency: 'strong' })).toBe('value')
})

/** Whether a process that makes this call has stored the id of its generation in the fallback store. */
async function hasGeneration(fallback: ByteStore, call: () => Promise<unknown>): Promise<boolean> {
  await call()
  return (await fallback.get(`${await idOf(fallback)}a:~generation`)) !== undefined
}

test('a generation that others have begun meanwhile is replaced, because the journal has keys of the one before', async () => {
  const chaos = new Chaos()
  const fallback: ByteStore = Object.assign(new ReferenceStore(), { processLocal: false })
  const primary = new ReferenceStore({ scan: false })
  const separated = withChaos<ByteStore>(primary, chaos)
  const store = failover([separated, fallback], { breaker: { probe: 20 }, settle: 100 })
  cleanups.push(() => store.close())
  const phases = recordPhases()
  const [cache, other] = [new Cache(store, { prefix: 'a:' }), new Cache(primary, { prefix: 'a:' })]
  await cache.set('k', 'old')
  chaos.failAll()
  await expect.poll(() => hasGeneration(fallback, () => cache.get('k'))).toBe(true)
  await other.clear()
  await other.set('k', 'older than the delete')
  await cache.delete('k')
  // Another process has copied the new id, when it could not reach the primary store either.
  const id = await idOf(fallback)
  for (const [key, { bytes }] of primary.items) {
    if (key.includes('~generation')) await fallback.set(id + key, bytes)
  }
  chaos.reset()
  await expect.poll(() => phases.at(-1)).toBe('primary')
  expect(await cache.get('k', { consistency: 'strong' })).toBeUndefined()
})
