import { setTimeout as sleep } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { ReferenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { gate, settle, twoProcesses } from '../two-processes.ts'
import { counting } from './counting.ts'

describe('the cost of rememberMany', () => {
  test('is one read, and an add and a swap per missing key', async () => {
    const { a, reads, writes } = twoProcesses()
    const { load } = counting()
    await a.rememberMany(['1', '2', '3'], {}, load)
    expect(reads).toEqual(['getMany'])
    expect(writes).toEqual([...Array(3).fill('add'), ...Array(3).fill('compareAndSet')])
    await a.rememberMany(['1', '2', '3'], {}, load)
    expect(reads).toEqual(['getMany', 'getMany'])
    expect(writes).toHaveLength(6)
  })

  test('includes three reads and one add of each tag, however many keys there are', async () => {
    const { a, reads, writes } = twoProcesses()
    const { load } = counting()
    const keys = Array.from({ length: 100 }, (_, index) => `key ${index}`)
    await a.rememberMany(keys, { tags: ['t'] }, load)
    // The version is read with the keys, and again beside the swaps.
    expect(reads).toEqual(['getMany', 'get', 'get'])
    expect(writes.filter((name) => name === 'add')).toHaveLength(101)
    await a.rememberMany(keys, { tags: ['t'] }, load)
    expect(reads).toEqual(['getMany', 'get', 'get', 'getMany', 'get'])
  })

  test('is few turns for 1,000 keys: the calls for different keys do not wait for each other', async () => {
    const calls: string[] = []
    let [inFlight, most] = [0, 0]
    const slow = wrapStore(new ReferenceStore(), async (operation, call) => {
      calls.push(operation)
      most = Math.max(most, ++inFlight)
      await sleep(10)
      inFlight--
      return call()
    })
    const cache = new Cache(slow)
    const { asked, load } = counting()
    const keys = Array.from({ length: 1_000 }, (_, index) => `key ${index}`)
    const options = { staleWhileRevalidate: '1m', lease: '1h' } as const // Not renewed on a slow machine.
    const values = await cache.rememberMany(keys, options, load)
    expect(most).toBe(1_000)
    expect(values[999]).toBe('key 999 1')
    expect(asked).toEqual([keys])
    expect(calls.filter((name) => name === 'getMany')).toHaveLength(1)
    expect(calls).toHaveLength(2_001)
  })

  test('is one refresh in the background for 1,000 stale keys', async () => {
    const { a, clock, reads } = twoProcesses()
    const { asked, load } = counting()
    const keys = Array.from({ length: 1_000 }, (_, index) => `key ${index}`)
    const options = { ttl: '1m', staleWhileRevalidate: '1m' } as const
    await a.rememberMany(keys, options, load)
    await clock.advance(61_000)
    reads.length = 0
    expect((await a.rememberMany(keys, options, load))[7]).toBe('key 7 1')
    await expect.poll(() => a.get('key 999')).toBe('key 999 2')
    expect(asked).toEqual([keys, keys])
    expect(reads.filter((name) => name === 'getMany')).toHaveLength(2)
    expect((await a.rememberMany(keys, options, load))[7]).toBe('key 7 2')
    expect(asked).toHaveLength(2)
  })

  test('of a wait for another process is one read per poll', async () => {
    const { a, b, reads } = twoProcesses()
    const loaded = gate<readonly string[]>()
    const keys = Array.from({ length: 100 }, (_, index) => `key ${index}`)
    const first = a.rememberMany(keys, {}, () => loaded.opened)
    await settle()
    reads.length = 0
    const second = b.rememberMany(keys, {}, () => [])
    await sleep(100)
    loaded.open(keys)
    expect(await second).toEqual(keys)
    await first
    expect(new Set(reads)).toEqual(new Set(['getMany']))
    expect(reads.length).toBeLessThan(60)
  })
})
