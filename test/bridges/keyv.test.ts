import { keyv6Store, keyvStore } from '@stowage/bridges/keyv'
import { asIs, Cache, CacheError, encrypted, json } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Keyv } from 'keyv'
import { Keyv as Keyv6 } from 'keyv-6'
import { describe, expect, test } from 'vitest'
import { onMemcached, recorded, unreachable } from './backends.ts'

const versions = [
  { version: 5, create: keyv5 },
  { version: 6, create: keyv6 },
]

function keyv5(cache: Cache, options: object = {}): Keyv {
  return new Keyv({ store: keyvStore(cache), ...options })
}

function keyv6(cache: Cache, options: object = {}): Keyv {
  return new Keyv6({ store: keyv6Store(cache), ...options }) as unknown as Keyv
}

/** The value of the key as text, without the codec of the cache. */
function rawText(cache: Cache, key: string): Promise<string | undefined> {
  return cache.view({ codec: asIs({ returns: 'text' }) }).get<string>(key)
}

describe.each(versions)('Keyv $version', ({ create }) => {
  test('stores the text of Keyv as it is', async () => {
    const cache = new Cache(memory())
    await create(cache, { namespace: 'a' }).set('k', { name: 'Ada' })
    expect(await rawText(cache, 'a:k')).toBe('{"value":{"name":"Ada"}}')
  })

  test('keeps the encryption of the cache', async () => {
    const keys = [`2026:${Buffer.alloc(32, 1).toString('base64')}`]
    const { store, calls } = recorded()
    const keyv = create(new Cache(store, { codec: encrypted(json(), { keys }) }))
    await keyv.set('k', 'secret')
    const [, [, payload] = []] = calls.find(([name]) => name === 'set') ?? []
    expect(Buffer.from(payload as Uint8Array).includes('secret')).toBe(false)
    expect(await keyv.get('k')).toBe('secret')
  })

  test.each([
    ['values by reference', () => new Cache(memory({ values: 'shared' }) as never)],
    ['bytes', () => new Cache(memory(), { codec: asIs() })],
  ])('reads what it has written to a cache of %s', async (_, createCache) => {
    const keyv = create(createCache())
    await keyv.set('k', [1])
    expect([await keyv.get('k'), await keyv.getMany(['k'])]).toEqual([[1], [[1]]])
  })

  test('clears only its namespace', async () => {
    const cache = new Cache(memory())
    const [a, b] = [create(cache, { namespace: 'a' }), create(cache, { namespace: 'b' })]
    await Promise.all([a.set('k', 1), b.set('k', 2)])
    await a.clear()
    expect([await a.get('k'), await b.get('k')]).toEqual([undefined, 2])
  })

  test('gives each entry of setMany its own ttl, with one write for each ttl', async () => {
    const { store, calls } = recorded()
    const keyv = create(new Cache({ ...store, limits: { ...store.limits, ttlStep: 1_000 } }))
    const entries = [
      { key: 'a', value: 1, ttl: 60_000 },
      { key: 'b', value: 2, ttl: 60_000 },
      { key: 'c', value: 3, ttl: 3_600_000 },
      { key: 'd', value: 4 },
    ]
    expect(await keyv.setMany(entries as never)).toEqual([true, true, true, true])
    const writes = calls.filter(([name]) => /^set/.test(name))
    expect(writes.map(([, args]) => args.at(-1))).toEqual([60_000, 3_600_000, undefined])
    expect(await keyv.getMany(['a', 'd', 'missing'])).toEqual([1, 4, undefined])
  })

  test('emits the error of an unreachable backend, and reads a miss', async () => {
    const keyv = create(new Cache(unreachable()))
    const errors: unknown[] = []
    keyv.on('error', (error: unknown) => errors.push(error))
    expect(await keyv.get('k')).toBeUndefined()
    expect(await keyv.set('k', 1)).toBe(false)
    expect(errors.length).toBeGreaterThan(0)
    expect(errors.every(CacheError.is)).toBe(true)
  })

  test('does not close the cache', async () => {
    const cache = new Cache(memory())
    await create(cache).disconnect()
    await cache.ping()
  })

  test('applies the default ttl of the cache', async () => {
    const { store, calls } = recorded()
    await create(new Cache(store, { ttl: '1h' })).set('k', 1)
    expect(calls.find(([name]) => name === 'set')?.[1].at(-1)).toBe(3_600_000)
  })

  test('iterates over its namespace', async () => {
    const cache = new Cache(memory())
    const [a, b] = [create(cache, { namespace: 'a' }), create(cache, { namespace: 'b' })]
    const keys = Array.from({ length: 150 }, (_, index) => `${index}`)
    await Promise.all([...keys.map((key) => a.set(key, key)), b.set('other', 'y')])
    const found: string[] = []
    for await (const [key, value] of a.iterator?.(undefined) ?? []) {
      expect(value).toBe(key)
      found.push(key)
    }
    expect(found.sort()).toEqual(keys.sort())
  })
})

describe('a store for the other version', () => {
  test('is refused by Keyv 6 when it is created', () => {
    const store = keyvStore(new Cache(memory()))
    expect(() => new Keyv6({ store })).toThrow('Use keyv6Store of @stowage/bridges/keyv')
  })

  test('is refused by Keyv 5 with the first ttl, which would be in 1970', async () => {
    const keyv = new Keyv({ store: keyv6Store(new Cache(memory())), throwOnErrors: true })
    keyv.on('error', () => {})
    await expect(keyv.set('k', 1, 60_000)).rejects.toThrow('Use keyvStore of @stowage/bridges/keyv')
    const entries = [{ key: 'k', value: 1, ttl: 60_000 }]
    await expect(keyv.setMany(entries)).rejects.toThrow('Use keyvStore')
  })
})

test('deleteMany of Keyv 5 resolves to a boolean, and that of Keyv 6 to one for each key', async () => {
  const cache = new Cache(memory())
  const [first, second] = [keyv5(cache, { namespace: 'a' }), keyv6(cache, { namespace: 'b' })]
  await Promise.all([first.set('a', 1), second.set('a', 1)])
  expect(await first.deleteMany(['a', 'b'])).toBe(true)
  expect(await second.deleteMany(['a', 'b'])).toEqual([true, false])
})

describe('on a backend that cannot list its keys', () => {
  const createStore = onMemcached.use()

  test('a Keyv clears its namespace, and has no iterator', async () => {
    const cache = new Cache(createStore(), { prefix: 'keyv-clear:' })
    const [a, b] = [keyv5(cache, { namespace: 'a' }), keyv5(cache, { namespace: 'b' })]
    await Promise.all([a.set('k', 1), b.set('k', 2)])
    await a.clear()
    expect([await a.get('k'), await b.get('k')]).toEqual([undefined, 2])
    expect(a.iterator).toBeUndefined()
  })
})
