import { CacheError, createCaches, wrapStore } from '@stowage/core'
import { memory } from '@stowage/memory'
import { describe, expect, test } from 'vitest'

describe('createCaches', () => {
  test('makes each cache when it is first used, once', () => {
    const made: string[] = []
    const make = (name: string) => () => {
      made.push(name)
      return memory()
    }
    const caches = createCaches({
      default: 'pages',
      stores: { pages: make('pages'), hot: make('hot') },
    })
    expect(made).toEqual([])
    expect(caches.use()).toBe(caches.use('pages'))
    expect(made).toEqual(['pages'])
    expect(caches.use('hot').name).toBe('hot')
  })

  test('gives each cache its own prefix and ttl', async () => {
    const store = memory()
    const caches = createCaches({
      default: 'a',
      stores: { a: { store: () => store, prefix: 'a:' }, b: { store: () => store, prefix: 'b:' } },
    })
    await caches.use('a').set('k', 1)
    expect(await caches.use('b').get('k')).toBeUndefined()
    expect(store.get('a:k')).toBe('1')
  })

  test('names are typed, and an unknown one is named with those that exist', () => {
    const caches = createCaches({ default: 'pages', stores: { pages: () => memory() } })
    // @ts-expect-error: the compiler knows the names
    expect(() => caches.use('page')).toThrow(/No cache is named "page". Defined: pages/)
    // @ts-expect-error: nor may the default be one that is not there
    expect(() => createCaches({ default: 'x', stores: { y: () => memory() } })).toThrow(CacheError)
  })

  test('a bad default ttl is refused when the cache is made', () => {
    const caches = createCaches({ default: 'p', stores: { p: { store: () => memory(), ttl: 0 } } })
    expect(() => caches.use()).toThrow(/not positive/)
  })
})

describe('health', () => {
  const ill = () =>
    wrapStore(memory(), () => {
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down')
    })

  test('asks every backend and never rejects', async () => {
    const caches = createCaches({ default: 'well', stores: { well: () => memory(), ill } })
    expect(await caches.health()).toMatchObject({
      well: { driver: 'memory', ok: true },
      ill: { driver: 'memory', ok: false, error: { code: 'ERR_CACHE_UNAVAILABLE' } },
    })
  })

  test('tells of a store that cannot even be made', async () => {
    const impossible = () => {
      throw new CacheError('ERR_CACHE_CONFIG', 'bad url')
    }
    const caches = createCaches({ default: 'a', stores: { a: impossible } })
    expect(await caches.health()).toMatchObject({ a: { driver: 'unknown', ok: false } })
  })

  test('ready resolves when all are well, and fails with the reason when time is over', async () => {
    let now = 0
    const sleep = async (ms: number) => {
      now += ms
    }
    const clock = { now: () => now, sleep }
    let asked = 0
    const slow = () =>
      wrapStore(memory(), (_, call) => {
        if (++asked < 3) throw new CacheError('ERR_CACHE_UNAVAILABLE', 'starting')
        return call()
      })
    await createCaches({ default: 'slow', stores: { slow }, clock }).ready({ within: '1s' })
    expect(asked).toBe(3)
    const never = createCaches({ default: 'ill', stores: { ill }, clock })
    await expect(never.ready({ within: '1s' })).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
    })
  })

  test('close closes what was made, and only that', async () => {
    const closed: string[] = []
    const store = (name: string) => () =>
      wrapStore(memory(), (operation, call) => {
        if (operation === 'close') closed.push(name)
        return call()
      })
    const caches = createCaches({ default: 'a', stores: { a: store('a'), b: store('b') } })
    caches.use('a')
    await caches.close()
    expect(closed).toEqual(['a'])
    expect(() => caches.use('b')).toThrow(/close/)
    expect(await caches.health()).toMatchObject({ a: { ok: false }, b: { ok: false } })
  })
})
