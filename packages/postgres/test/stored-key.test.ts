import { expect, test } from 'vitest'
import { endOfPrefix, fromStoredKey, toStoredKey } from '../src/items/stored-key.ts'

const characters = ['\0', '\x01', '\x02', 'a', '\ud7ff', '\ue000', '\u{10ffff}']
const keys = characters.flatMap((a) => characters.flatMap((b) => [a, a + b, b + a + b]))

test('a key is stored as a text without NUL, and no other key as the same', () => {
  for (const key of keys) {
    expect(toStoredKey(key)).not.toContain('\0')
    expect(fromStoredKey(toStoredKey(key))).toBe(key)
  }
  expect(new Set(keys.map(toStoredKey)).size).toBe(new Set(keys).size)
})

test('the texts of all keys with a prefix lie between it and its end', () => {
  const isBefore = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0
  for (const prefix of keys) {
    const start = toStoredKey(prefix)
    const end = endOfPrefix(start)
    for (const key of keys) {
      const text = toStoredKey(key)
      const isBetween = !isBefore(text, start) && (end === undefined || isBefore(text, end))
      expect(isBetween).toBe(key.startsWith(prefix))
    }
  }
})
