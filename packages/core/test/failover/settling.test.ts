import { Cache, channels, type FailoverEvent, failover } from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { Chaos, ReferenceStore, withChaos } from '@stowage/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

const cleanups: (() => unknown)[] = []

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] })
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
  vi.useRealTimers()
})

/** A turn of the event loop, which takes no time. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Lets time pass until the phase of a process is `expected`. */
async function until(phases: readonly string[], expected: string): Promise<void> {
  const deadline = performance.now() + 60_000
  while (phases.at(-1) !== expected && performance.now() < deadline)
    await vi.advanceTimersByTimeAsync(10)
  expect(phases.at(-1)).toBe(expected)
}

/** A process with a failover store of its own. Its name tells its events apart. */
function startProcess(
  name: string,
  backend: ByteStore,
  journal: number,
  settle = 400,
  fallback: ByteStore = memory(),
) {
  const chaos = new Chaos({ now: Date.now, sleep: turn })
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
    await until(phases, 'fallback')
  }
  for (const key of ['k0', 'k1', 'k2']) await slow.cache.set(key, 'new')
  for (const { chaos } of [slow, other]) chaos.reset()
  // The server replies to some calls only.
  slow.chaos.fail(['scan', 'delete', 'deleteMany'])
  await vi.advanceTimersByTimeAsync(2_500)
  expect(slow.phases.at(-1)).toBe('settling')
  expect(other.phases.at(-1)).toBe('settling')
  slow.chaos.reset()
  for (const { phases } of [slow, other]) {
    await until(phases, 'primary')
  }
  for (const key of ['k0', 'k1', 'k2']) expect(await other.cache.get(key)).toBeUndefined()
})

test('a prefix that cannot be cleared yet is cleared later, without a busy loop', async () => {
  const { cache, chaos, phases } = startProcess('busy', new ReferenceStore(), 100)
  await cache.set('k', 'old')
  chaos.failAll()
  await cache.get('k')
  await until(phases, 'fallback')
  await cache.clear()
  chaos.reset()
  // Without the delay, a busy loop would block the test as well.
  chaos.delay(1)
  chaos.fail(['scan', 'deleteMany'])
  await until(phases, 'settling')
  const before = chaos.callCount('scan') + chaos.callCount('deleteMany')
  for (let ms = 0; ms < 500; ms++) await vi.advanceTimersByTimeAsync(1)
  // One attempt in 100 ms, of at most three calls.
  expect(chaos.callCount('scan') + chaos.callCount('deleteMany') - before).toBeLessThan(20)
  chaos.reset()
  await until(phases, 'primary')
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
    await until(phases, 'fallback')
  }
  for (const { chaos } of [clearing, other]) chaos.reset()
  for (const { phases } of [clearing, other]) {
    await until(phases, 'settling')
  }
  // The process that has cleared is the last one to return.
  clearing.chaos.fail(['get'])
  await clearing.cache.set('k', 'first')
  await other.cache.set('k', 'second')
  await until(other.phases, 'primary')
  clearing.chaos.reset()
  await until(clearing.phases, 'primary')
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
  await until(phases, 'fallback')
  await cache.clear()
  chaos.reset()
  await until(phases, 'primary')
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
  await until(phases, 'fallback')
  // Stores the known id in the fallback store, where the clear replaces it.
  await cache.get('k', { consistency: 'strong' })
  await cache.clear()
  const ids = (keys: readonly string[]) => keys.filter((key) => key.includes('~generation'))
  for await (const page of fallback.scan?.('') ?? []) await fallback.deleteMany(ids(page))
  chaos.reset()
  await until(phases, 'primary')
  const other = new Cache(backend, { prefix: 'a:' })
  expect(await other.get('k', { consistency: 'strong' })).toBeUndefined()
})
