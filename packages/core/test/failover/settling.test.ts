import { setTimeout as sleep } from 'node:timers/promises'
import { Cache, channels, type FailoverEvent, failover } from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { Chaos, ReferenceStore, withChaos } from '@stowage/testing'
import { afterEach, expect, test } from 'vitest'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

/** A process with a failover store of its own. Its name tells its events apart. */
function startProcess(
  name: string,
  backend: ByteStore,
  journal: number,
  settle = 400,
  fallback: ByteStore = memory(),
) {
  const chaos = new Chaos()
  const primary = Object.assign(withChaos<ByteStore>(backend, chaos), { name })
  const store = failover([primary, fallback], { breaker: { probe: 20 }, settle, journal })
  cleanups.push(() => store.close())
  const phases: string[] = []
  const record = (event: unknown) => {
    const { store: source, phase } = event as FailoverEvent
    if (source === name) phases.push(phase)
  }
  channels.failover.subscribe(record)
  cleanups.push(() => channels.failover.unsubscribe(record))
  return { chaos, phases, cache: new Cache(store, { prefix: 'a:' }) }
}

test('a process does not return before another one has cleared what it cannot list', async () => {
  const backend = new ReferenceStore()
  const slow = startProcess('slow', backend, 1, 1_500)
  const other = startProcess('other', backend, 100, 1_500)
  for (const key of ['k0', 'k1', 'k2']) await slow.cache.set(key, 'old')
  for (const { chaos, cache, phases } of [slow, other]) {
    chaos.failAll()
    await cache.get('k0')
    await expect.poll(() => phases.at(-1)).toBe('fallback')
  }
  for (const key of ['k0', 'k1', 'k2']) await slow.cache.set(key, 'new')
  for (const { chaos } of [slow, other]) chaos.reset()
  // The server replies to some calls only.
  slow.chaos.fail(['scan', 'delete', 'deleteMany'])
  await sleep(2_500)
  expect(slow.phases.at(-1)).toBe('settling')
  expect(other.phases.at(-1)).toBe('settling')
  slow.chaos.reset()
  for (const { phases } of [slow, other]) {
    await expect.poll(() => phases.at(-1)).toBe('primary')
  }
  for (const key of ['k0', 'k1', 'k2']) expect(await other.cache.get(key)).toBeUndefined()
})

test('a prefix that cannot be cleared yet is cleared later, without a busy loop', async () => {
  const { cache, chaos, phases } = startProcess('busy', new ReferenceStore(), 100)
  await cache.set('k', 'old')
  chaos.failAll()
  await cache.get('k')
  await expect.poll(() => phases.at(-1)).toBe('fallback')
  await cache.clear()
  chaos.reset()
  // Without the delay, a busy loop would block the test as well.
  chaos.delay(1)
  chaos.fail(['scan', 'deleteMany'])
  await expect.poll(() => phases.at(-1)).toBe('settling')
  const before = chaos.callCount('scan') + chaos.callCount('deleteMany')
  const start = performance.now()
  await sleep(500)
  // One attempt in 100 ms, of at most three calls. The sleep may have taken longer.
  const maxCalls = 4 * ((performance.now() - start) / 100)
  expect(chaos.callCount('scan') + chaos.callCount('deleteMany') - before).toBeLessThan(maxCalls)
  chaos.reset()
  await expect.poll(() => phases.at(-1)).toBe('primary')
  expect(await cache.get('k')).toBeUndefined()
})

test('what was written after a clear in an outage does not replace a later value', async () => {
  const backend = new ReferenceStore({ scan: false })
  const [clearing, other] = [startProcess('p1', backend, 100), startProcess('p2', backend, 100)]
  for (const { cache } of [clearing, other]) await cache.set('k', 'before')
  for (const { chaos } of [clearing, other]) chaos.failAll()
  await clearing.cache.clear()
  for (const { cache, phases } of [clearing, other]) {
    for (let call = 0; call < 10; call++) await cache.get('k')
    await expect.poll(() => phases.at(-1)).toBe('fallback')
  }
  for (const { chaos } of [clearing, other]) chaos.reset()
  for (const { phases } of [clearing, other]) {
    await expect.poll(() => phases.at(-1)).toBe('settling')
  }
  // The process that has cleared is the last one to return.
  clearing.chaos.fail(['get'])
  await clearing.cache.set('k', 'first')
  await other.cache.set('k', 'second')
  await expect.poll(() => other.phases.at(-1)).toBe('primary')
  clearing.chaos.reset()
  await expect.poll(() => clearing.phases.at(-1)).toBe('primary')
  for (const { cache } of [clearing, other]) {
    expect(await cache.get('k', { consistency: 'strong' })).not.toBe('first')
  }
})

test('a clear of a prefix in an outage deletes nothing else, if keys cannot be listed', async () => {
  const backend = new ReferenceStore({ scan: false })
  const { cache, chaos, phases } = startProcess('modest', backend, 100, 50)
  const others = new Cache(backend, { prefix: 'b:' })
  await cache.set('k', 'old')
  await others.set('k', 'kept')
  await backend.set('foreign', 'kept')
  chaos.failAll()
  await cache.get('k')
  await expect.poll(() => phases.at(-1)).toBe('fallback')
  await cache.clear()
  chaos.reset()
  await expect.poll(() => phases.at(-1)).toBe('primary')
  expect(await cache.get('k')).toBeUndefined()
  expect(await others.get('k')).toBe('kept')
  expect(String(await backend.get('foreign'))).toBe('kept')
})

test('a clear in an outage counts although the fallback store has lost its id', async () => {
  const backend = new ReferenceStore({ scan: false })
  const fallback = memory()
  const { cache, chaos, phases } = startProcess('forgetful', backend, 100, 50, fallback)
  await cache.set('k', 'old')
  chaos.failAll()
  await cache.get('k')
  await expect.poll(() => phases.at(-1)).toBe('fallback')
  // Stores the known id in the fallback store, where the clear replaces it.
  await cache.get('k', { consistency: 'strong' })
  await cache.clear()
  const ids = (keys: readonly string[]) => keys.filter((key) => key.includes('~generation'))
  for await (const page of fallback.scan?.('') ?? []) await fallback.deleteMany(ids(page))
  chaos.reset()
  await expect.poll(() => phases.at(-1)).toBe('primary')
  const other = new Cache(backend, { prefix: 'a:' })
  expect(await other.get('k', { consistency: 'strong' })).toBeUndefined()
})
