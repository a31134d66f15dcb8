import { Cache, type Codec, json } from '@stowage/core'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

/** A JSON codec that records the keys it is called with. */
function recording(): { readonly codec: Codec; readonly keys: Set<string> } {
  const keys = new Set<string>()
  const { encode, decode } = json()
  const record = (key: string) => {
    keys.add(key)
    return key
  }
  const codec: Codec = {
    encode: (entry, key) => encode(entry, record(key)),
    decode: (payload, key) => decode(payload, record(key)),
  }
  return { codec, keys }
}

/** Calls each method that encodes or decodes. */
async function callAll(cache: Cache): Promise<void> {
  await cache.set('k', 1)
  await cache.get('k')
  await cache.getMany(['k'])
  await cache.setMany([['k', 2]])
  await cache.add('k', 3)
  await cache.replace('k', 4)
  await cache.update<number>('k', (n = 0) => n + 1)
  await cache.pull('k')
  await Promise.all([1, 2].map(() => cache.remember('k', {}, () => 6)))
  await cache.remember('k', {}, () => 7)
}

describe.each([
  { kind: 'lists its keys', scan: true },
  { kind: 'uses generations', scan: false },
])('with a store that $kind, the codec receives', ({ scan }) => {
  test.each([
    ['the key of a cache without a prefix', '', [], 'k'],
    ['the prefix and the key', 'app:', [], 'app:k'],
    ['the prefix, the namespace and the key', 'app:', ['users'], 'app:users:k'],
    ['all namespaces', 'app:', ['users', 'a:b'], 'app:users:a%3Ab:k'],
    ['a namespace without a prefix', '', ['users'], 'users:k'],
  ])('%s', async (_, prefix, namespaces, expected) => {
    const { codec, keys } = recording()
    const root = new Cache(referenceStore({ scan, async: true }), { prefix, codec })
    await callAll(namespaces.reduce((cache, name) => cache.namespace(name), root))
    expect([...keys]).toEqual([expected])
  })

  test('the same key after a clear', async () => {
    const { codec, keys } = recording()
    const cache = new Cache(referenceStore({ scan, async: true }), { prefix: 'app:', codec })
    await cache.set('k', 1)
    await cache.clear()
    await cache.set('k', 1)
    expect([...keys]).toEqual(['app:k'])
  })

  test('a digest of a long key, the same in another process', async () => {
    const long = 'x'.repeat(500)
    const items = new Map()
    const seen = [recording(), recording()]
    for (const { codec } of seen) {
      const store = referenceStore({ scan, async: true, items, limits: { keyBytes: 250 } })
      await new Cache(store, { prefix: 'app:', codec }).set(long, 1)
    }
    const [first, second] = seen.map(({ keys }) => [...keys])
    expect(first).toEqual(second)
    expect(first).toEqual([expect.stringMatching(/^app:x+~[\w-]{43}$/)])
  })
})
