import { Cache, type LoadManyContext } from '@stowage/core'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { gate, twoProcesses } from '../two-processes.ts'
import { counting } from './counting.ts'

describe('the context of a loader of several keys', () => {
  test('determines ttl, tags and storage of each key', async () => {
    const { a, clock } = twoProcesses()
    const load = (missing: readonly string[], context: LoadManyContext<string>) => {
      context.of('short').setTtl('1s')
      context.of('tagged').addTags('t')
      context.of('skipped').skip()
      expect(() => context.of('other')).toThrow(TypeError)
      return missing
    }
    const keys = ['short', 'tagged', 'skipped', 'plain']
    expect(await a.rememberMany(keys, { ttl: '1h' }, load)).toEqual(keys)
    expect(await a.getMany(keys)).toEqual(['short', 'tagged', undefined, 'plain'])
    await clock.advance(1_000)
    expect(await a.getMany(keys)).toEqual([undefined, 'tagged', undefined, 'plain'])
    await a.invalidateTags('t')
    expect(await a.getMany(keys)).toEqual([undefined, undefined, undefined, 'plain'])
  })

  test('does not share a private value with other callers', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    let loads = 0
    const load = (missing: readonly string[], context: LoadManyContext<number>) => {
      loads++
      const mine = loads
      context.of('private').skip({ share: false })
      return missing.map(() => mine)
    }
    const both = [1, 2].map(() => cache.rememberMany(['private', 'public'], {}, load))
    const [first, second] = await Promise.all(both)
    expect(first).toEqual([1, 1])
    expect(second).toEqual([2, 1])
  })
})

describe('a load of several keys that fails', () => {
  test('rejects with the error of the loader, and the next call loads again', async () => {
    const { a } = twoProcesses()
    const error = new Error('database down')
    const fail = () => {
      throw error
    }
    const calls = [a.rememberMany(['1', '2'], {}, fail), a.remember('2', {}, fail)]
    const outcomes = await Promise.allSettled(calls)
    expect(outcomes).toEqual([
      { status: 'rejected', reason: error },
      { status: 'rejected', reason: error },
    ])
    expect(await a.rememberMany(['1', '2'], {}, () => ['up', 'up'])).toEqual(['up', 'up'])
  })

  test('is not repeated before its backoff ends', async () => {
    const { a, b, clock } = twoProcesses()
    const options = { backoff: '10s' } as const
    const fail = async () => {
      throw new Error('database down')
    }
    await expect(a.rememberMany(['1', '2'], options, fail)).rejects.toThrow('database down')
    const { asked, load } = counting()
    const error = { code: 'ERR_CACHE_LOAD', retryable: true }
    await expect(b.rememberMany(['1', '3'], options, load)).rejects.toMatchObject(error)
    await clock.advance(10_000)
    expect(await b.rememberMany(['1'], options, load)).toHaveLength(1)
    expect(asked.flat()).toContain('1')
  })

  test('ends after loadTimeout, and its signal aborts', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    let signal: AbortSignal | undefined
    const call = cache.rememberMany(['1', '2'], { loadTimeout: 30 }, (_, context) => {
      signal = context.signal
      return gate<readonly string[]>().opened
    })
    await expect(call).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    await expect.poll(() => signal?.aborted).toBe(true)
    expect(await cache.rememberMany(['1', '2'], {}, () => ['a', 'b'])).toEqual(['a', 'b'])
  })
})
