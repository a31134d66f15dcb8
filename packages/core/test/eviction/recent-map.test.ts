import { RecentMap, remembering } from '@stowage/core/internal'
import { expect, test } from 'vitest'

test('forgets what was not used for longest, and never has more entries than its maximum', () => {
  const map = new RecentMap<number>(10)
  for (let number = 0; number < 100; number++) {
    map.set(`${number}`, number)
    expect(map.get('0')).toBe(0)
  }
  const kept = Array.from({ length: 100 }, (_, number) => map.get(`${number}`)).filter(
    (value) => value !== undefined,
  )
  expect(kept.length).toBeLessThanOrEqual(10)
  expect(kept.length).toBeGreaterThanOrEqual(5)
})

test('a key that is set again does not displace others', () => {
  const map = new RecentMap<number>(4)
  map.set('a', 1)
  map.set('b', 2)
  for (let number = 0; number < 10; number++) map.set('b', number)
  expect([map.get('a'), map.get('b')]).toEqual([1, 9])
})

test('a deleted key does not come back from the older half', () => {
  const map = new RecentMap<number>(2)
  map.set('a', 1)
  map.set('b', 2)
  map.set('a', 3)
  map.delete('a')
  expect(map.get('a')).toBeUndefined()
})

test('a function is called once for an argument, unless its result is undefined', () => {
  const calls: string[] = []
  const upper = remembering((text) => {
    calls.push(text)
    return text === '' ? undefined : text.toUpperCase()
  }, 10)
  expect([upper('a'), upper('a'), upper(''), upper('')]).toEqual(['A', 'A', undefined, undefined])
  expect(calls).toEqual(['a', '', ''])
})
