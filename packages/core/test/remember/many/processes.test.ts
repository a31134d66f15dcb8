import { Cache } from '@stowage/core'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { gate, settle, twoProcesses } from '../two-processes.ts'
import { counting } from './counting.ts'

describe('over two processes', () => {
  test('each key is loaded once: a process waits for the keys that another one loads', async () => {
    const { a, b } = twoProcesses()
    const loaded = gate<readonly string[]>()
    const first = a.rememberMany(['1', '2'], {}, () => loaded.opened)
    await settle()
    const { asked, load } = counting()
    const second = b.rememberMany(['2', '3', '1', '4'], {}, load)
    await settle()
    // Its own keys are loaded and stored without waiting for the other process.
    expect(asked).toEqual([['3', '4']])
    expect(await a.getMany(['3', '4'])).toEqual(['3 1', '4 1'])
    loaded.open(['one', 'two'])
    expect(await first).toEqual(['one', 'two'])
    expect(await second).toEqual(['two', '3 1', 'one', '4 1'])
    expect(asked).toHaveLength(1)
  })

  test('remember waits for a load of rememberMany', async () => {
    const { a, b } = twoProcesses()
    const loaded = gate<readonly string[]>()
    const first = a.rememberMany(['1', '2'], {}, () => loaded.opened)
    await settle()
    const second = b.remember('2', {}, () => 'other')
    loaded.open(['one', 'two'])
    expect([await first, await second]).toEqual([['one', 'two'], 'two'])
  })

  test('processes that load the same keys in opposite order complete', async () => {
    const { a, b } = twoProcesses()
    const { asked, load } = counting()
    const calls = [
      a.rememberMany(['1', '2', '3'], {}, load),
      b.rememberMany(['3', '2', '1'], {}, load),
    ]
    await Promise.all(calls)
    expect(asked.flat().sort()).toEqual(['1', '2', '3'])
  })

  test('the keys of a process that stopped are taken over by one load', async () => {
    const { a, backend } = twoProcesses()
    const { asked, load } = counting()
    const keys = Array.from({ length: 50 }, (_, index) => `key ${index}`)
    for (const key of keys) await backend.set(key, '\x01\x02Lstopped.0.50')
    await a.rememberMany([...keys, 'other'], {}, load)
    expect(asked).toEqual([['other'], keys])
    expect(await a.getMany(keys)).toEqual(keys.map((key) => `${key} 2`))
  })

  test('the keys that another process failed to load are loaded by one load', async () => {
    const { a, b } = twoProcesses()
    const failed = gate<never>()
    const first = a.rememberMany(['1', '2'], {}, () => failed.opened)
    await settle()
    const { asked, load } = counting()
    const second = b.rememberMany(['1', '2'], {}, load)
    await settle()
    failed.fail(new Error('database down'))
    await expect(first).rejects.toThrow('database down')
    expect(await second).toEqual(['1 1', '2 1'])
    expect(asked).toEqual([['1', '2']])
  })

  test('with lease: false each process loads', async () => {
    const { a, b, writes } = twoProcesses()
    const { asked, load } = counting()
    const options = { lease: false } as const
    await Promise.all([a, b].map((cache) => cache.rememberMany(['1', '2'], options, load)))
    expect(asked).toEqual([
      ['1', '2'],
      ['1', '2'],
    ])
    expect(writes).toEqual(Array(4).fill('add'))
  })
})

describe('loads of several keys that need each other', () => {
  test('a loader that needs one of its own keys runs that loader unshared', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    const outer = cache.rememberMany(['1', '2'], {}, async (missing) => {
      const inner = await cache.rememberMany(['2', '3'], {}, (keys) =>
        keys.map((key) => `in ${key}`),
      )
      return missing.map((key) => `${key} with ${inner}`)
    })
    expect(await outer).toEqual(['1 with in 2,in 3', '2 with in 2,in 3'])
    expect(await cache.get('3')).toBe('in 3')
  })

  test('a loader that needs its own keys without end rejects', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    const load = (): Promise<number[]> =>
      cache.rememberMany(['1', '2'], {}, load) as Promise<number[]>
    await expect(load()).rejects.toThrow(/calls itself without end/)
  })

  test('two loads that need keys of each other complete', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    const load = (keys: string[], other: string) =>
      cache.rememberMany(keys, {}, async (missing) => {
        await settle()
        const value = await cache.remember(other, {}, () => other)
        return missing.map((key) => `${key} with ${value}`)
      })
    const loaded = await Promise.all([load(['1', '2'], '3'), load(['3', '4'], '2')])
    expect(loaded.flat().join()).toMatch(/1 with 3/)
  })
})
