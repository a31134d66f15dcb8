import { Cache } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { settle } from '../remember/two-processes.ts'

const fenceKey = '~fence:report'
/** How many numbers a lock can use per millisecond. */
const numbersPerMs = 1_024
/** How much two readings of the time of the backend may differ. */
const uncertaintyMs = 50

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})

afterEach(() => {
  vi.useRealTimers()
})

function setUp() {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const ttls: unknown[] = []
  let beforeSwap: (() => unknown) | undefined
  const store = wrapStore<ByteStore>(backend, async (operation, call, args) => {
    if (args[0] !== fenceKey) return call()
    if (operation === 'get') expect(args[1]).toEqual({ consistency: 'strong' })
    if (operation === 'increment') ttls.push(args[2])
    if (operation === 'compareAndSet') {
      ttls.push(args[3])
      await beforeSwap?.()
      beforeSwap = undefined
    }
    return call()
  })
  const onSwap = (run: () => unknown) => {
    beforeSwap = run
  }
  const cache = new Cache(store, { clock })
  let settled = false
  const draw = () => {
    settled = false
    const drawing = cache.lock('report').run(({ fence }) => fence())
    return drawing.finally(() => {
      settled = true
    })
  }
  const counter = async () => Number(String(await backend.get(fenceKey)))
  return { clock, backend, ttls, draw, counter, onSwap, isDrawn: () => settled }
}

const advance = (ms: number) => vi.advanceTimersByTimeAsync(ms)

/** Draws a number, and waits until it may be used. */
async function drawn(draw: () => Promise<number>): Promise<number> {
  const drawing = draw()
  await advance(1_000)
  return drawing
}

test('a counter begins at the time, and its number is used when readings of the time cannot be earlier', async () => {
  const { clock, draw, isDrawn } = setUp()
  const drawing = draw()
  await advance(uncertaintyMs - 1)
  expect(isDrawn()).toBe(false)
  await advance(1)
  expect(await drawing).toBe(clock.now() * numbersPerMs + 1)
})

test('a counter that was lost begins again after the numbers of earlier holders', async () => {
  const { backend, clock, draw, isDrawn } = setUp()
  const first = await drawn(draw)
  await backend.delete(fenceKey)
  // By another process, whose reading of the time is behind.
  await clock.advance(1)
  const drawing = draw()
  await settle()
  expect(isDrawn()).toBe(false)
  await advance(uncertaintyMs + 1)
  expect(await drawing).toBeGreaterThan(first)
})

test('a counter that lags behind the time by less than readings may differ is only incremented', async () => {
  const { clock, draw } = setUp()
  const first = await drawn(draw)
  await clock.advance(uncertaintyMs)
  expect(await drawn(draw)).toBe(first + 1)
})

test('a counter that lags further is raised to the earliest time that the backend may show', async () => {
  const { clock, draw, counter } = setUp()
  await drawn(draw)
  await clock.advance(uncertaintyMs + 1)
  const number = await drawn(draw)
  expect(number).toBe((clock.now() - uncertaintyMs) * numbersPerMs + 1)
  expect(await counter()).toBe(number)
})

test('a wait for a number is bounded, whatever the counter contains', async () => {
  const { backend, clock, draw, isDrawn } = setUp()
  const ahead = (clock.now() + 3_600_000) * numbersPerMs
  await backend.set(fenceKey, String(ahead))
  const drawing = draw()
  await advance(2 * uncertaintyMs - 1)
  expect(isDrawn()).toBe(false)
  await advance(1)
  expect(await drawing).toBe(ahead + 1)
})

test('a counter of a lock expires after 30 days without a number', async () => {
  const { clock, draw, ttls, backend } = setUp()
  await drawn(draw)
  expect(ttls).toEqual([30 * 86_400_000, 30 * 86_400_000])
  await clock.advance(30 * 86_400_000 - 1)
  expect(await backend.get(fenceKey)).toBeDefined()
  await clock.advance(1)
  expect(await backend.get(fenceKey)).toBeUndefined()
})

test('a number that an earlier holder can have used is not used again', async () => {
  const { backend, clock, draw } = setUp()
  const oldest = (clock.now() - uncertaintyMs) * numbersPerMs
  await backend.set(fenceKey, String(oldest - 1))
  expect(await drawn(draw)).toBe(oldest + 1)
})

test('a counter that is lost or changed while it is raised begins again, or goes on', async () => {
  const { backend, clock, draw, onSwap } = setUp()
  onSwap(() => backend.delete(fenceKey))
  const first = await drawn(draw)
  expect(first).toBe(clock.now() * numbersPerMs + 1)
  await clock.advance(60_000)
  const ahead = (clock.now() + 10) * numbersPerMs
  onSwap(() => backend.set(fenceKey, String(ahead)))
  expect(await drawn(draw)).toBe(ahead + 1)
})
