import { setImmediate as turn } from 'node:timers/promises'
import { Cache, CacheError, type CacheStore, wrapStore } from '@stowage/core'
import { memory } from '@stowage/memory'
import { describe, expect, test } from 'vitest'

/** Creates caches like those of two processes, on one backend that cannot list its keys. */
function setup() {
  let now = 0
  const clock = { now: () => now, sleep: async () => {} }
  const calls: string[] = []
  /** Whether the node that stores the generation is unreachable. */
  const fault = { isDown: false }
  const unlistable = wrapStore(memory({ clock }), (operation, call, [key]) => {
    calls.push(`${operation} ${String(key)}`)
    if (!fault.isDown || !String(key).includes('~generation')) return call()
    throw new CacheError('ERR_CACHE_UNAVAILABLE', 'unreachable', { store: 'memory', operation })
  })
  delete (unlistable as { scan?: unknown }).scan
  const createCache = (prefix = 'app:') => new Cache(unlistable as CacheStore, { prefix, clock })
  const advance = (ms: number) => (now += ms)
  return { one: createCache(), two: createCache(), createCache, calls, fault, advance }
}

describe('a prefix on a store that cannot list its keys', () => {
  test('clear removes its keys immediately and affects no others', async () => {
    const { one, createCache } = setup()
    const other = createCache('app2:')
    await one.set('k', 1)
    await other.set('k', 2)
    await one.clear()
    expect(await one.get('k')).toBeUndefined()
    expect(await other.get('k')).toBe(2)
  })

  test('another process notices the clear within a second', async () => {
    const { one, two, advance } = setup()
    await one.set('k', 1)
    expect(await two.get('k')).toBe(1)
    await one.clear()
    advance(1_000)
    expect(await two.get('k')).toBeUndefined()
    await two.set('k', 'new')
    expect(await one.get('k')).toBe('new')
  })

  test('clearing a cache clears its namespaces, but clearing a namespace does not clear the cache', async () => {
    const { one } = setup()
    const users = one.namespace('users')
    await one.set('k', 1)
    await users.set('k', 2)
    await users.clear()
    expect([await one.get('k'), await users.get('k')]).toEqual([1, undefined])
    await users.set('k', 3)
    await one.clear()
    expect(await one.get('k')).toBeUndefined()
    expect(await users.get('k')).toBeUndefined()
  })

  test('the generation is read once per second instead of with every call', async () => {
    const { one, calls, advance } = setup()
    await Promise.all([one.get('a'), one.get('b')])
    await one.getMany(['a', 'b'])
    const reads = () => calls.filter((call) => call === 'get app:~generation').length
    expect(reads()).toBe(1)
    advance(1_000)
    await one.get('a')
    expect(reads()).toBe(2)
  })

  test('a process that has read the generation stores it again if it is missing', async () => {
    const { one, two, createCache, advance } = setup()
    await one.set('k', 1)
    await createCache('').delete('app:~generation')
    advance(1_000)
    expect(await one.get('k')).toBe(1)
    expect(await two.get('k')).toBe(1)
  })

  test('a missing generation that no process has read only causes misses', async () => {
    const { one, two, createCache } = setup()
    await one.set('k', 1)
    await createCache('').delete('app:~generation')
    expect(await two.get('k')).toBeUndefined()
    await two.set('k', 2)
    expect(await two.get('k')).toBe(2)
  })

  test('while the generation is unreadable, only a process that has read it before can continue', async () => {
    const { one, two, advance, fault } = setup()
    await one.set('k', 1)
    fault.isDown = true
    advance(1_000)
    expect(await one.get('k')).toBe(1)
    await expect(two.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    await expect(one.clear()).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    fault.isDown = false
    await two.clear()
    advance(1_000)
    await one.get('k')
    await turn()
    expect(await one.get('k')).toBeUndefined()
  })

  test('two concurrent clears both succeed', async () => {
    const { one, two } = setup()
    await one.set('k', 1)
    await Promise.all([one.clear(), two.clear()])
    expect([await one.get('k'), await two.get('k')]).toEqual([undefined, undefined])
  })

  test('a read of the generation in flight during a clear does not undo it', async () => {
    const { one, calls } = setup()
    const reading = one.get('k')
    await one.clear()
    await reading
    await one.set('k', 1)
    const written = calls.findLast((call) => call.startsWith('set app:') && !call.includes('~'))
    calls.length = 0
    await one.get('k')
    expect(`set ${calls[0]?.slice(4)}`).toBe(written)
    expect(await one.get('k')).toBe(1)
  })

  test('keys() rejects with ERR_CACHE_UNSUPPORTED', async () => {
    const { one } = setup()
    await expect(one.keys().next()).rejects.toMatchObject({ code: 'ERR_CACHE_UNSUPPORTED' })
  })
})
