import { Cache } from '@stowage/core'
import { referenceStore } from '@stowage/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { gate, settle } from '../remember/two-processes.ts'

const createCache = () => new Cache(referenceStore({ async: true }))
const refused = { code: 'ERR_CACHE_REJECTED', retryable: false }

describe('a call in the change of an update that would wait for the update', () => {
  const calls: Record<string, (cache: Cache) => Promise<unknown>> = {
    update: (cache) => cache.update('k', () => 'inner'),
    pull: (cache) => cache.pull('k'),
    expire: (cache) => cache.expire('k'),
    replace: (cache) => cache.replace('k', 'inner'),
    'update of another cache over the store': (cache) => cache.view({}).update('k', () => 'inner'),
    'update in another update': (cache) =>
      cache.update('other', () => cache.update('k', () => 'inner')),
    'update in a loader': (cache) =>
      cache.remember('loaded', {}, () => cache.update('k', () => 'inner')),
    'update after another promise': (cache) =>
      settle().then(() => cache.update('k', () => 'inner')),
  }

  test.each(Object.entries(calls))('is rejected: %s', async (_, call) => {
    const cache = createCache()
    await cache.set('k', 'before')
    await expect(cache.update('k', () => call(cache))).rejects.toMatchObject(refused)
    // The update has stored nothing, and the next one does not wait.
    expect(await cache.update('k', (value) => `${value}, after`)).toBe('before, after')
  })

  test('is rejected in one of two updates that wait for each other', async () => {
    const cache = createCache()
    const begun = [gate(), gate()]
    const updateBoth = (first: string, second: string, index: number) =>
      cache.update(first, async () => {
        begun[index]?.open()
        await Promise.all(begun.map((each) => each.opened))
        return cache.update(second, () => first)
      })
    const outcomes = await Promise.allSettled([updateBoth('x', 'y', 0), updateBoth('y', 'x', 1)])
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const rejected = outcomes.find((each) => each.status === 'rejected')
    expect(rejected?.reason).toMatchObject(refused)
  })

  test('waits if a call does not wait for the update', async () => {
    const cache = createCache()
    const begun = gate()
    const released = gate()
    const outer = cache.update('k', async () => {
      begun.open()
      await released.opened
      // Another key, and one that was updated before: neither waits for this update.
      return cache.update('other', () => 'nested')
    })
    await begun.opened
    const waiting = cache.update<string>('k', (value) => `${value} twice`)
    released.open()
    expect([await outer, await waiting]).toEqual(['nested', 'nested twice'])
  })

  test('also runs if the change that has made it ended before', async () => {
    const cache = createCache()
    const ended = gate()
    let later: Promise<unknown> | undefined
    await cache.update('k', () => {
      later = ended.opened.then(() => cache.update('k', (value) => `${value}, later`))
      return 'first'
    })
    const blocking = gate<string>()
    const second = cache.update('k', () => blocking.opened)
    ended.open()
    blocking.open('second')
    expect([await second, await later]).toEqual(['second', 'second, later'])
  })

  test('also waits for an update that has waited for the one which made it', async () => {
    const waits = {
      'in its change': (cache: Cache, change: () => string, rest: () => Promise<string>) =>
        cache.update('k', async () => {
          await cache.update('inner', change)
          return rest()
        }),
      'in its queue': async (cache: Cache, change: () => string, rest: () => Promise<string>) => {
        const [, second] = await Promise.all([cache.update('k', change), cache.update('k', rest)])
        return second
      },
    }
    for (const wait of Object.values(waits)) {
      const cache = createCache()
      const [begun, released, ended] = [gate(), gate(), gate()]
      let later: Promise<unknown> | undefined
      const change = () => {
        later = cache.update('other', async () => {
          await released.opened
          return cache.update<string>('k', (value) => `${value}, later`)
        })
        return 'first'
      }
      const updating = wait(cache, change, async () => {
        begun.open()
        await ended.opened
        return 'second'
      })
      await begun.opened
      released.open()
      await settle()
      ended.open()
      expect([await updating, await later]).toEqual(['second', 'second, later'])
    }
  })
})

describe('behind a change that does not end', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
  afterEach(() => void vi.useRealTimers())

  test('calls for the key time out, and run again after its end', async () => {
    const cache = createCache()
    const hanging = gate<string>()
    const first = cache.update('k', () => hanging.opened)
    const waiting = [
      cache.update('k', () => 'never'),
      cache.pull('k'),
      cache.expire('k'),
      cache.replace('k', 'never'),
    ]
    const outcomes = Promise.allSettled(waiting)
    await vi.advanceTimersByTimeAsync(10_000)
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ reason: { code: 'ERR_CACHE_TIMEOUT', retryable: true } })
    }
    expect(await cache.update('other', () => 'value')).toBe('value')
    const last = cache.update<string>('k', (value) => `${value}, then the last`)
    hanging.open('first')
    expect([await first, await last]).toEqual(['first', 'first, then the last'])
  })

  test('calls wait longer as long as others end', async () => {
    const cache = createCache()
    const gates = Array.from({ length: 5 }, () => gate())
    const updates = gates.map(({ opened }) =>
      cache.update<number>('k', async (count = 0) => {
        await opened
        return count + 1
      }),
    )
    for (const { open } of gates) {
      await vi.advanceTimersByTimeAsync(9_000)
      open()
      await settle()
    }
    expect(await Promise.all(updates)).toEqual([1, 2, 3, 4, 5])
  })
})
