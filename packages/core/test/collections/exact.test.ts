import { describe, expect, test } from 'vitest'
import { gate, settle, twoProcesses } from '../remember/two-processes.ts'

function setUp() {
  const { a, b, reads, writes } = twoProcesses()
  const source = new Map([['1', 'old']])
  const saved = gate()
  const definition = {
    exact: true,
    tags: ['users'],
    load: async (id: string) => source.get(id),
    save: async (id: string, value: string) => {
      source.set(id, value)
      if (value === 'slow') await saved.opened
      if (value === 'failing') throw new Error('rolled back')
    },
    remove: async (id: string) => source.delete(id),
  }
  const users = a.collection('user', definition)
  const others = b.collection('user', definition)
  return { users, others, cache: a, reads, writes, saved }
}

describe('an exact collection', () => {
  test('stores the saved value in the place of its mark, with three requests', async () => {
    const { users, cache, reads, writes } = setUp()
    await cache.collection('user', { exact: true, load: () => '', save: () => {} }).set('1', 'new')
    expect([reads, writes]).toEqual([['get'], ['add', 'compareAndSet']])
    await users.set('1', 'tagged')
    expect(await cache.get('user:1')).toBe('tagged')
    await cache.invalidateTags('users')
    expect(await cache.get('user:1')).toBeUndefined()
  })

  test('is read from the source while a value is saved', async () => {
    const { users, others, cache, saved } = setUp()
    expect(await others.get('1')).toBe('old')
    const saving = users.set('1', 'slow')
    await settle()
    expect([await users.get('1'), await others.get('1')]).toEqual(['slow', 'slow'])
    expect(await cache.get('user:1')).toBeUndefined()
    saved.open()
    await saving
    expect(await cache.get('user:1')).toBe('slow')
  })

  test('keeps no value of overlapping saves, whose order is not known', async () => {
    for (const isSameProcess of [true, false]) {
      const { users, others, cache, saved } = setUp()
      const saving = users.set('1', 'slow')
      await settle()
      await (isSameProcess ? users : others).set('1', 'new')
      expect(await cache.get('user:1')).toBeUndefined()
      saved.open()
      await saving
      expect(await cache.get('user:1')).toBeUndefined()
      expect(await users.get('1')).toBe('new')
    }
  })

  test('has no value after a save that failed', async () => {
    const { users, cache } = setUp()
    await users.get('1')
    await expect(users.set('1', 'failing')).rejects.toThrow('rolled back')
    expect(await cache.get('user:1')).toBeUndefined()
  })

  test('returns whether a deleted value was cached', async () => {
    const { users, others, cache } = setUp()
    await users.get('1')
    expect([await others.delete('1'), await others.delete('1')]).toEqual([true, false])
    expect(await users.get('1')).toBeUndefined()
    expect(await cache.get('user:1')).toBeUndefined()
  })
})
