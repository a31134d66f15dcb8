import { Cache } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { describe, expect, test } from 'vitest'

/** Returns the storage key to which a cache converts a key, on a store with the limit `keyBytes`. */
async function storageKey(key: string, { prefix = '', keyBytes = 250 } = {}): Promise<string> {
  let seen: unknown
  const store = wrapStore(memory(), (_, call, [first]) => {
    seen = first
    return call()
  })
  const limits = { ...store.limits, keyBytes }
  await new Cache({ ...store, limits }, { prefix }).get(key)
  return seen as string
}

const digest = /~[A-Za-z0-9_-]{43}$/

describe('storage keys', () => {
  test('a key within the limit is prefixed and otherwise unchanged', async () => {
    expect(await storageKey('user:1')).toBe('user:1')
    expect(await storageKey('user 1\n\u{1F600}', { prefix: 'app:' })).toBe('app:user 1\n\u{1F600}')
  })

  test('a key of exactly the limit is unchanged, and a longer one is shortened', async () => {
    expect(await storageKey('k'.repeat(250))).toBe('k'.repeat(250))
    const shortened = await storageKey('k'.repeat(251))
    expect(shortened).toMatch(digest)
    expect(shortened.startsWith('kkk')).toBe(true)
  })

  test('a shortened key respects the limit in bytes, for characters of any length', async () => {
    for (const character of ['k', 'ä', '€', '\u{1F600}']) {
      const key = await storageKey(character.repeat(400), { prefix: 'shop:', keyBytes: 100 })
      expect(Buffer.byteLength(key)).toBeLessThanOrEqual(100)
      expect(key.startsWith(`shop:${character}`)).toBe(true)
      expect(key).toMatch(digest)
    }
  })

  test('long keys that differ in any character have different storage keys', async () => {
    const long = 'x'.repeat(300)
    const keys = await Promise.all(
      [`${long}1`, `${long}2`, `1${long}`, `2${long}`].map((k) => storageKey(k)),
    )
    expect(new Set(keys).size).toBe(4)
  })

  test('keys with different lone surrogates have different storage keys', async () => {
    const keys = await Promise.all(
      ['\ud800', '\ud801', '\udc00', '\ufffd'].map((k) => storageKey(k)),
    )
    expect(new Set(keys).size).toBe(4)
    expect(keys.every((key) => key.isWellFormed())).toBe(true)
  })

  test('a key that looks like a shortened key does not collide with it', async () => {
    const shortened = await storageKey('k'.repeat(251))
    expect(await storageKey(shortened)).not.toBe(shortened)
  })

  test('any key but a non-empty string is a TypeError', async () => {
    const cache = new Cache(memory())
    for (const key of ['', undefined, null, 7, {}, Symbol('x')]) {
      await expect(cache.get(key as string)).rejects.toThrow(TypeError)
    }
  })

  test('a prefix that leaves no room for a key is rejected', () => {
    const limits = { ...memory().limits, keyBytes: 60 }
    const store = { ...wrapStore(memory(), (_, call) => call()), limits }
    expect(() => new Cache(store, { prefix: 'p'.repeat(17) })).toThrow(/Shorten it by 1 bytes/)
  })
})
