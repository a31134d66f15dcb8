import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Cache, CacheError, type ErrorEvent } from '@stowage/core'
import { BatchError, wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { counting } from './counting.ts'

describe('when the store fails, rememberMany', () => {
  const unreachable = () => new CacheError('ERR_CACHE_UNAVAILABLE', 'unreachable')

  test('loads without storing, and publishes the failure', async () => {
    const calls: string[] = []
    const store = wrapStore(referenceStore(), (operation) => {
      calls.push(operation)
      throw unreachable()
    })
    const { asked, load } = counting()
    const errors = await errorsDuring(async () => {
      expect(await new Cache(store).rememberMany(['1', '2'], {}, load)).toEqual(['1 1', '2 1'])
    })
    expect(asked).toEqual([['1', '2']])
    expect(calls).toEqual(['getMany'])
    expect(errors.map(({ key }) => key)).toEqual(['1', '2'])
  })

  test('keeps the values of the keys that could be read', async () => {
    const inner = referenceStore()
    const store = wrapStore(inner, (operation, call, [keys]) => {
      if (operation !== 'getMany') return call()
      const outcomes = (keys as string[]).map((key) =>
        key === 'bad'
          ? ({ status: 'rejected', reason: unreachable() } as const)
          : ({ status: 'fulfilled', value: inner.get(key) } as const),
      )
      throw new BatchError(outcomes)
    })
    const cache = new Cache(store)
    await cache.set('hit', 'hit')
    const { asked, load } = counting()
    const values = await cache.rememberMany(['bad', 'hit', 'good'], {}, load)
    expect(values).toEqual(['bad 1', 'hit', 'good 1'])
    expect(asked).toEqual([['bad', 'good']])
    expect(await cache.get('good')).toBe('good 1')
    expect(await cache.get('bad')).toBeUndefined()
  })

  test.each(['add', 'compareAndSet'] as const)(
    'returns loaded values if %s fails',
    async (name) => {
      const store = wrapStore(referenceStore(), (operation, call, [key]) => {
        if (operation === name && key === 'bad') throw unreachable()
        return call()
      })
      const cache = new Cache(store)
      const { asked, load } = counting()
      const errors = await errorsDuring(async () => {
        expect(await cache.rememberMany(['bad', 'good'], {}, load)).toEqual(['bad 1', 'good 1'])
      })
      expect(asked).toHaveLength(1)
      expect(errors.map(({ key }) => key)).toEqual(['bad'])
      expect(await cache.getMany(['bad', 'good'])).toEqual([undefined, 'good 1'])
    },
  )

  test('rejects after close', async () => {
    const cache = new Cache(memory())
    await cache.close()
    const call = cache.rememberMany(['1'], {}, () => ['a'])
    await expect(call).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
  })
})

async function errorsDuring(work: () => Promise<unknown>): Promise<ErrorEvent[]> {
  const events: ErrorEvent[] = []
  const listener = (event: unknown) => events.push(event as ErrorEvent)
  subscribe('stowage:error', listener)
  try {
    await work()
  } finally {
    unsubscribe('stowage:error', listener)
  }
  return events
}
