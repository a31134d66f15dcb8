import { Cache, CacheError, withBatching } from '@stowage/core'
import { BatchError, wrapStore } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

const unavailable = (key: string) =>
  new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { store: 'reference', operation: 'getMany', key })

/** A store of two shards, of which the one with the keys that begin with "dead" cannot be reached. */
function sharded() {
  const backend = referenceStore()
  const store = wrapStore(backend, (operation, call, [first]) => {
    if (operation !== 'getMany' && operation !== 'setMany') return call()
    const entries = first as readonly (string | readonly [string, string])[]
    const outcomes = entries.map((entry): PromiseSettledResult<unknown> => {
      const [key, item] = typeof entry === 'string' ? [entry] : entry
      if (key.startsWith('dead')) return { status: 'rejected', reason: unavailable(key) }
      return {
        status: 'fulfilled',
        value: item === undefined ? backend.get(key) : backend.set(key, item),
      }
    })
    if (outcomes.some(({ status }) => status === 'rejected')) throw new BatchError(outcomes)
    return call()
  })
  return new Cache(withBatching(store))
}

describe('calls merged into a batch that fails', () => {
  test('reads of healthy keys succeed, and each failed call has an error with its own key', async () => {
    const cache = sharded()
    await cache.set('a', 1)
    await cache.set('b', 2)
    const results = await Promise.allSettled(
      ['a', 'dead1', 'b', 'dead2'].map((key) => cache.get(key)),
    )
    expect(results).toMatchObject([
      { value: 1 },
      { reason: { code: 'ERR_CACHE_UNAVAILABLE', operation: 'get', key: 'dead1' } },
      { value: 2 },
      { reason: { code: 'ERR_CACHE_UNAVAILABLE', operation: 'get', key: 'dead2' } },
    ])
  })

  test('sets that were stored resolve', async () => {
    const cache = sharded()
    const results = await Promise.allSettled(['a', 'dead1', 'b'].map((key) => cache.set(key, key)))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await cache.getMany(['a', 'b'])).toEqual(['a', 'b'])
  })

  test('without the outcome of each key, every call has an error of its own', async () => {
    const failing = wrapStore(referenceStore(), (operation, call) => {
      if (operation === 'getMany') throw unavailable('first')
      return call()
    })
    const cache = new Cache(withBatching(failing))
    const results = await Promise.allSettled([cache.get('a'), cache.get('b')])
    const errors = results.map((result) => (result as PromiseRejectedResult).reason as CacheError)
    expect(errors.map(({ key }) => key)).toEqual(['a', 'b'])
    expect(errors[0]).not.toBe(errors[1])
  })

  test('the outcomes of a BatchError are not printed', async () => {
    const error = new BatchError([
      { status: 'fulfilled', value: 'secret' },
      { status: 'rejected', reason: unavailable('k') },
    ])
    expect(error).toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE', store: 'reference', key: 'k' })
    expect(JSON.stringify(error)).not.toContain('secret')
    expect(Object.keys(error)).not.toContain('outcomes')
  })
})
