import { Cache, CacheError, ConfigError, withBatching } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { getShared } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { describe, expect, test } from 'vitest'

test('the error of another call has the key of that call, and the same message', () => {
  const options = { key: 'a', operation: 'getMany' }
  const error = new CacheError('ERR_CACHE_REJECTED', 'x failed', options)
  const other = CacheError.forCall(error, { key: 'b' })
  const expected = { message: 'x failed', key: 'b', operation: 'getMany', retryable: false }
  expect(other).toMatchObject(expected)
})

test('an error as JSON has its code and message, and neither key nor cause', () => {
  const error = new CacheError('ERR_CACHE_TIMEOUT', 'x get failed.', {
    ...{ store: 'x', operation: 'get', key: 'a', cause: new Error('secret') },
  })
  expect(JSON.parse(JSON.stringify({ error }))).toEqual({
    error: {
      ...{ name: 'CacheError', code: 'ERR_CACHE_TIMEOUT', message: 'x get failed.' },
      ...{ store: 'x', operation: 'get', retryable: true },
    },
  })
  const problem = { variable: 'CACHE_TTL', value: 'soon', remedy: 'Use 10m.' }
  const config = JSON.parse(JSON.stringify(new ConfigError([problem])))
  expect(config).toMatchObject({ code: 'ERR_CACHE_CONFIG', problems: [problem] })
})

/** A store whose replies arrive in a callback, as those of a socket, where no caller is on the stack. */
function failingStore() {
  const fail = () =>
    new Promise<never>((_, reject) => {
      const cause = new Error('socket')
      setImmediate(() => reject(new CacheError('ERR_CACHE_UNAVAILABLE', 'x failed', { cause })))
    })
  return wrapStore(memory(), () => fail())
}

const calls: Readonly<Record<string, (cache: Cache) => Promise<unknown>>> = {
  get: (cache) => cache.get('user:1'),
  getShared: async (cache) => await getShared(cache, 'user:1'),
  set: (cache) => cache.set('user:1', 1),
  'set with tags': (cache) => cache.set('user:1', 1, { tags: ['t'] }),
  'set of an expired value': (cache) => cache.set('user:1', 1, { ttl: 0 }),
  add: (cache) => cache.add('user:1', 1),
  replace: (cache) => cache.replace('user:1', 1),
  update: (cache) => cache.update('user:1', () => 1),
  pull: (cache) => cache.pull('user:1'),
  snapshot: (cache) => cache.snapshot('user:1'),
  expire: (cache) => cache.expire('user:1'),
  increment: (cache) => cache.increment('user:1'),
  touch: (cache) => cache.touch('user:1'),
  delete: (cache) => cache.delete('user:1'),
}
const callsOfMany: typeof calls = {
  getMany: (cache) => cache.getMany(['user:1', 'user:2']),
  setMany: (cache) => cache.setMany([['user:1', 1]]),
  deleteMany: (cache) => cache.deleteMany(['user:1']),
  invalidateTags: (cache) => cache.invalidateTags('t'),
  clear: (cache) => cache.clear(),
  ping: (cache) => cache.ping(),
}

const stores = { 'a store': failingStore, 'a batching store': () => withBatching(failingStore()) }

describe.each(Object.entries(stores))('the stack of an error of %s', (_, create) => {
  test.each(Object.entries({ ...calls, ...callsOfMany }))(
    'of %s contains the function that called it',
    async (name, call) => {
      const cache = new Cache(create())
      const functionOfTheApplication = async () => {
        await call(cache)
      }
      const error = await functionOfTheApplication().catch((reason) => reason)
      expect(error).toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE', cause: { message: 'socket' } })
      expect(error.stack).toContain('functionOfTheApplication')
      if (name in calls) expect(error.key).toBe('user:1')
      expect(error.message).not.toContain('user:1')
    },
  )

  test('is that of each caller, if several share a request', async () => {
    const cache = new Cache(create())
    const firstCaller = async () => await cache.get('user:1')
    const secondCaller = async () => await cache.get('user:1')
    const [one, two] = await Promise.all(
      [firstCaller, secondCaller].map(
        (read): Promise<Error> =>
          read().then(
            () => new Error('did not fail'),
            (error) => error,
          ),
      ),
    )
    expect(one?.stack).toContain('firstCaller')
    expect(two?.stack).toContain('secondCaller')
  })
})

test('the stack of an error within an update is that of the inner call', async () => {
  const outer = new Cache(memory())
  const inner = new Cache(failingStore())
  const changeOfTheApplication = async () => (await inner.get<number>('inner')) ?? 0
  const error = await outer.update('outer', changeOfTheApplication).catch((reason) => reason)
  expect(error.stack).toContain('changeOfTheApplication')
  expect(error.key).toBe('inner')
})
