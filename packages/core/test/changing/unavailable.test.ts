import { Cache, channels, type ErrorEvent, failover } from '@stowage/core'
import { Chaos, ManualClock, ReferenceStore, type StoredItem, withChaos } from '@stowage/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

const errors: ErrorEvent[] = []
const onError = (event: unknown) => void errors.push(event as ErrorEvent)
beforeEach(() => channels.error.subscribe(onError))
afterEach(() => {
  channels.error.unsubscribe(onError)
  errors.length = 0
})

function setUp() {
  const items = new Map<string, StoredItem>()
  const chaos = new Chaos()
  const clock = new ManualClock()
  const store = () => new ReferenceStore({ items, clock })
  const cache = new Cache(withChaos(store(), chaos), { clock })
  return { cache, chaos, items, other: new Cache(store(), { clock }) }
}

const unavailable = expect.objectContaining({ code: 'ERR_CACHE_UNAVAILABLE' })

describe("with ifUnavailable: 'reject'", () => {
  test('the work does not begin if a mark cannot be stored', async () => {
    const { cache, chaos } = setUp()
    const work = vi.fn()
    chaos.failAll()
    const change = cache.changing({ keys: ['k'], tags: ['t'] }, work)
    await expect(change).rejects.toThrow(unavailable)
    expect(work).not.toHaveBeenCalled()
  })

  test('the marks that are stored are removed if others are not', async () => {
    const { cache, chaos, items, other } = setUp()
    await other.set('k', 'old')
    chaos.fail('add')
    await expect(cache.changing({ keys: ['k', 'missing'] }, () => {})).rejects.toThrow(unavailable)
    await expect.poll(() => items.size).toBe(0)
    chaos.reset()
    await other.remember('k', {}, () => 'new')
    expect(await cache.get('k')).toBe('new')
  })

  test('mark rejects within the work', async () => {
    const { cache, chaos } = setUp()
    const failing = cache.changing(async (running) => {
      chaos.failAll()
      await running.mark({ keys: ['k'] })
    })
    await expect(failing).rejects.toThrow(unavailable)
  })

  test('a failure at the end is published, and the mark expires', async () => {
    const { cache, chaos, other } = setUp()
    expect(await cache.changing({ keys: ['k'] }, () => chaos.failAll() ?? 'result')).toBe('result')
    expect(errors).toMatchObject([{ key: 'k', error: { code: 'ERR_CACHE_UNAVAILABLE' } }])
    await other.remember('k', {}, () => 'new')
    expect(await other.get('k')).toBeUndefined()
    await (other.clock as ManualClock).advance(31_000)
    await other.remember('k', {}, () => 'new')
    expect(await other.get('k')).toBe('new')
  })
})

describe("with ifUnavailable: 'proceed'", () => {
  const proceed = { ifUnavailable: 'proceed' } as const

  test('the work runs without marks, and what is stored is deleted at the end', async () => {
    const { cache, chaos, other } = setUp()
    await other.set('k', 'old', { tags: ['t'] })
    await other.set('tagged', 'old', { tags: ['t'] })
    chaos.failAll()
    const result = await cache.changing({ ...proceed, keys: ['k'], tags: ['t'] }, (change) => {
      expect(errors).toHaveLength(2)
      change.assertHeld()
      chaos.reset()
      return 'result'
    })
    expect(result).toBe('result')
    expect(await other.getMany(['k', 'tagged'])).toEqual([undefined, undefined])
    await other.remember('k', { tags: ['t'] }, () => 'new')
    expect(await other.get('k')).toBe('new')
  })

  test('a failure at the end is published as well', async () => {
    const { cache, chaos } = setUp()
    chaos.failAll()
    expect(await cache.changing({ ...proceed, keys: ['k'] }, () => 'result')).toBe('result')
    expect(errors).toHaveLength(2)
  })

  test('invalid names are refused nevertheless', async () => {
    const { cache } = setUp()
    await expect(cache.changing({ ...proceed, keys: [''] }, () => {})).rejects.toThrow(TypeError)
  })
})

test('with a fallback store, the keys of a change during an outage are deleted after it', async () => {
  const clock = new ManualClock()
  const chaos = new Chaos()
  const primary = new ReferenceStore({ clock })
  const options = { breaker: { calls: 1, probe: 10 }, settle: 10 } as const
  const store = failover([withChaos(primary, chaos), new ReferenceStore({ clock })], options)
  await using cache = new Cache(store, { clock })
  await cache.set('k', 'old')
  chaos.failAll()
  await cache.get('k') // Opens the breaker.
  await cache.changing({ keys: ['k'] }, () => {})
  chaos.reset()
  await vi.waitFor(() => expect(primary.get('k')).toBeUndefined(), { timeout: 20_000 })
})
