import { hash } from 'node:crypto'
import { expect, test } from 'vitest'
import { copyOf, ShortKeyMap } from '../../src/storage/short-key-map.ts'

const digestOf = (key: string) => `#${hash('sha256', key, 'base64url')}`

test('a value is found by its key until it is deleted, however long the key is', () => {
  const map = new ShortKeyMap<number>(10)
  for (const key of ['', 'k', 'k'.repeat(129), 'ключ'.repeat(4_000)]) {
    map.set(key, 1)
    expect([map.get(key), map.get(`${key}!`)]).toEqual([1, undefined])
    map.delete(key)
    expect(map.get(key)).toBeUndefined()
  }
})

test('a digest is kept of keys with more than 128 characters', () => {
  const map = new ShortKeyMap<number>(10)
  const keys = [127, 128, 129, 16_384].map((length) => 'k'.repeat(length))
  for (const key of keys) map.set(key, key.length)
  expect(keys.map((key) => map.get(digestOf(key)))).toEqual([undefined, undefined, 129, 16_384])
})

test('a copy has the same characters', () => {
  for (const text of ['', 'key', 'ключ', '👍', '\ud800']) expect(copyOf(text)).toBe(text)
})
