import { getEventListeners } from 'node:events'
import { Cache, channels, type HeldLock, type LockEvent } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { gate, settle } from '../remember/two-processes.ts'
import { timersOf } from '../timers-of.ts'

const ttl = 30_000
/** How long the lock counts as held without a renewal. */
const safeMs = 27_000
/** When the first renewal is sent. */
const renewalMs = 9_990

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  vi.advanceTimersByTime(1_000)
})

afterEach(() => {
  vi.useRealTimers()
})

/** A lock that is held, whose swaps a test delays or lets fail. */
async function hold({ swap, cache = {} }: { swap?: () => Promise<void>; cache?: object } = {}) {
  const backend = referenceStore({ clock: new ManualClock() })
  const swaps: number[] = []
  const startedAt = performance.now()
  let intercept = swap
  const store = wrapStore<ByteStore>(backend, async (operation, call, [key]) => {
    if (operation !== 'compareAndSet' || key !== '~lock:report') return call()
    swaps.push(Math.round(performance.now() - startedAt))
    await intercept?.()
    return call()
  })
  const caches = new Cache(store, cache)
  const begun = gate<HeldLock>()
  const work = gate()
  const running = caches.lock('report', { ttl }).run((held) => {
    begun.open(held)
    return work.opened
  })
  const held = await begun.opened
  const setSwap = (next: (() => Promise<void>) | undefined) => {
    intercept = next
  }
  return { held, work, running, backend, swaps, setSwap, cache: caches }
}

const advance = (ms: number) => vi.advanceTimersByTimeAsync(ms)
const down = () => Promise.reject(new Error('down'))

async function eventsOf(run: () => Promise<void>): Promise<LockEvent[]> {
  const events: LockEvent[] = []
  const collect = (event: unknown) => events.push(event as LockEvent)
  channels.lock.subscribe(collect)
  await run().finally(() => channels.lock.unsubscribe(collect))
  return events
}

test('a lock is renewed after a third of its ttl, again and again', async () => {
  const { held, work, running, swaps } = await hold()
  await advance(100_000)
  expect(swaps.slice(0, 3)).toEqual([1, 2, 3].map((count) => count * renewalMs))
  expect(swaps).toHaveLength(10)
  expect(held.signal.aborted).toBe(false)
  work.open()
  await running
  expect(vi.getTimerCount()).toBe(0)
})

test('a fencing number renews the lock, and postpones the next renewal', async () => {
  const { held, work, running, swaps } = await hold()
  await advance(5_000)
  const fencing = held.fence()
  await advance(renewalMs)
  expect(await fencing).toBeGreaterThan(0)
  expect(swaps).toHaveLength(1)
  await advance(100)
  expect(swaps).toHaveLength(2)
  work.open()
  await running
})

test('a renewal that failed is repeated each twelfth of the ttl, before the lock can be lost', async () => {
  const { held, work, running, swaps, setSwap } = await hold({ swap: down })
  await advance(safeMs - 3_000)
  expect(swaps).toEqual([0, 1, 2, 3, 4, 5].map((count) => renewalMs + count * 2_500))
  setSwap(undefined)
  await advance(60_000)
  expect(held.signal.aborted).toBe(false)
  work.open()
  await running
})

test('a renewal counts from when it was sent', async () => {
  const reply = gate()
  const { held, work, running, setSwap } = await hold({ swap: () => reply.opened })
  await advance(renewalMs)
  setSwap(down)
  await advance(5_000)
  reply.open()
  await advance(safeMs - 5_001)
  expect(held.signal.aborted).toBe(false)
  await advance(1)
  expect(held.signal.reason).toMatchObject({ code: 'ERR_CACHE_LOCKED', retryable: true })
  work.open()
  await running
})

test('a lock that is not renewed counts as lost after nine tenths of its ttl', async () => {
  const { held, work, running } = await hold({ swap: down })
  await advance(safeMs - 1)
  expect(held.signal.aborted).toBe(false)
  await advance(1)
  expect(held.signal.aborted).toBe(true)
  work.open()
  await running
})

test('a lock whose acquisition took as long as it is held is renewed before it is used', async () => {
  let swaps = 0
  const store = wrapStore<ByteStore>(referenceStore(), async (operation, call) => {
    const result = await call()
    if (operation === 'add') vi.advanceTimersByTime(safeMs)
    if (operation === 'compareAndSet') swaps++
    return result
  })
  expect(await new Cache(store).lock('report', { ttl }).acquire()).toBe(true)
  expect(swaps).toBe(1)
})

test('a renewal that is answered after the work has ended is not followed by another', async () => {
  const reply = gate()
  const { work, running, swaps, setSwap } = await hold({ swap: () => reply.opened })
  await advance(renewalMs)
  setSwap(down)
  work.open()
  await running
  const before = swaps.length
  reply.open()
  await advance(10 * ttl)
  expect(swaps).toHaveLength(before)
})

test('a renewal that fails after the work has ended is not repeated', async () => {
  const reply = gate()
  const { work, running, swaps, setSwap } = await hold({ swap: () => reply.opened })
  await advance(renewalMs)
  setSwap(undefined)
  work.open()
  await running
  const before = swaps.length
  reply.fail(new Error('down'))
  await advance(10 * ttl)
  expect(swaps).toHaveLength(before)
})

test('a lost lock has no fencing number, even if the backend still has its item', async () => {
  const { held, work, running, setSwap } = await hold({ swap: down })
  await advance(safeMs)
  setSwap(undefined)
  const fencing = expect(held.fence()).rejects.toThrow('"report" was lost')
  await advance(1_000)
  await fencing
  work.open()
  await running
})

test('a lock that was deleted has no fencing number, and aborts its work', async () => {
  const { held, work, running, backend } = await hold()
  await backend.delete('~lock:report')
  const fencing = expect(held.fence()).rejects.toMatchObject({ code: 'ERR_CACHE_LOCKED' })
  await advance(1_000)
  await fencing
  expect(held.signal.aborted).toBe(true)
  work.open()
  await running
})

test('a lock that is lost is published once, as lost', async () => {
  const events = await eventsOf(async () => {
    const { work, running, swaps, setSwap } = await hold({ swap: down })
    await advance(safeMs)
    const before = swaps.length
    await advance(10 * ttl)
    expect(swaps).toHaveLength(before)
    setSwap(undefined)
    work.open()
    await running
  })
  expect(events.map(({ outcome }) => outcome)).toEqual(['acquired', 'lost'])
  expect(events[1]?.durationMs).toBe(safeMs)
})

test('a lock whose loss is noticed at its release is published as lost', async () => {
  const events = await eventsOf(async () => {
    const { work, running, backend } = await hold()
    await advance(5_000)
    await backend.delete('~lock:report')
    work.open()
    await running
  })
  expect(events.map(({ outcome }) => outcome)).toEqual(['acquired', 'lost'])
  expect(events[1]?.durationMs).toBe(5_000)
})

test('close() waits for work that ignores its signal until the ttl is over', async () => {
  const { held, work, running, cache } = await hold()
  let isClosed = false
  const closing = cache.close().then(() => {
    isClosed = true
  })
  await settle()
  expect(held.signal.aborted).toBe(true)
  await advance(ttl - 1)
  expect(isClosed).toBe(false)
  await advance(1)
  await closing
  work.open()
  await running
})

test('close() waits also if nothing else keeps the process alive', async () => {
  const { work, running, cache } = await hold()
  const ends: Promise<unknown>[] = [running]
  const timers = await timersOf('setTimeout', async () => void ends.push(cache.close()))
  expect(timers.map(({ timer, ms }) => [ms, timer.hasRef()])).toContainEqual([ttl, true])
  work.open()
  await Promise.all(ends)
  expect(vi.getTimerCount()).toBe(0)
})

test('close() waits for the release of a lock, and does not abort work that has ended', async () => {
  const reply = gate()
  const { held, work, running, cache } = await hold({ swap: () => reply.opened })
  work.open()
  await settle()
  let isClosed = false
  const closing = cache.close().then(() => {
    isClosed = true
  })
  await settle()
  expect(isClosed).toBe(false)
  reply.open()
  await Promise.all([running, closing])
  expect(held.signal.aborted).toBe(false)
})

test('the signal of the caller aborts that of the work, with its reason', async () => {
  const cache = new Cache(referenceStore())
  const controller = new AbortController()
  const reason = new Error('the caller has left')
  const run = (work: (held: HeldLock) => unknown) =>
    cache.lock('report', { ttl }).run(work, { signal: controller.signal })
  await run(() => {})
  expect(getEventListeners(controller.signal, 'abort')).toEqual([])
  const result = run(({ signal }) => {
    controller.abort(reason)
    return signal.reason
  })
  expect(await result).toBe(reason)
})

test('work begins with an aborted signal if the caller has aborted while the lock was acquired', async () => {
  const controller = new AbortController()
  const store = wrapStore<ByteStore>(referenceStore(), (operation, call) => {
    if (operation === 'add') controller.abort()
    return call()
  })
  const lock = new Cache(store).lock('report', { ttl })
  const { signal } = controller
  expect(await lock.run((held) => held.signal.aborted, { signal })).toBe(true)
})

test('a lock is free as soon as its work has failed', async () => {
  const cache = new Cache(referenceStore())
  const lock = cache.lock('report', { ttl })
  const failing = lock.run(() => {
    throw new Error('the work failed')
  })
  await expect(failing).rejects.toThrow('the work failed')
  expect(await lock.isLocked()).toBe(false)
})
