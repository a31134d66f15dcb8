import { describe, expect, test } from 'vitest'
import { freezeDeeply } from '../../src/values/freeze-deeply.ts'

describe('freezeDeeply', () => {
  test('freezes all objects of a value', () => {
    const shared = { n: 1 }
    const value: Record<string, unknown> = {
      list: [shared, shared, null, 1, 'a', undefined],
      shared,
    }
    value.self = value
    const bare = Object.assign(Object.create(null), { empty: {} })
    for (const each of [value, bare]) expect(freezeDeeply(each)).toBe(true)
    for (const each of [value, value.list, shared, bare, bare.empty])
      expect(Object.isFrozen(each)).toBe(true)
    expect([1, null, undefined, 'text', []].map(freezeDeeply)).toEqual(Array(5).fill(true))
  })

  test.each([
    ['a date', new Date(0)],
    ['a map', new Map()],
    ['bytes', new Uint8Array(1)],
    ['an instance', new (class Point {})()],
    ['a function', () => {}],
  ])('freezes nothing of a value that contains %s', (_, inner) => {
    const value = { before: {}, inner, after: [] }
    expect([freezeDeeply(value), freezeDeeply(inner)]).toEqual([false, false])
    expect([value, value.before].some(Object.isFrozen)).toBe(false)
  })

  test('freezes a value with more levels than the call stack', () => {
    const levels = 50_000
    const value: unknown = JSON.parse('['.repeat(levels) + ']'.repeat(levels))
    expect([freezeDeeply(value), Object.isFrozen(value)]).toEqual([true, true])
  })
})
