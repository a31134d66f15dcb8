import { setImmediate as turn } from 'node:timers/promises'
import { Cache, CacheError, type CacheStore, wrapStore } from '@stowage/core'
import { memory } from '@stowage/memory'
import { describe, expect, test } from 'vitest'

/** Two processes on one backend that cannot list its keys. */
function setup() {
  let now = 0
  const clock = { now: () => now, sleep: async () => {} }
  const calls: string[] = []
  /** Whether the node of the generation is down. */
  const chaos = { down: false }
  const listless = wrapStore(memory({ clock }), (operation, call, [key]) => {
    calls.push(`${operation} ${String(key)}`)
    if (!chaos.down || !String(key).includes('~generation')) return call()
    throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { store: 'memory', operation })
  })
  delete (listless as { scan?: unknown }).scan
  const process = (prefix = 'app:') => new Cache(listless as CacheStore, { prefix, clock })
  const advance = (ms: number) => (now += ms)
  return { one: process(), two: process(), process, calls, chaos, advance }
}

describe('a prefix on a store that cannot list its keys', () => {
  test('clear forgets its own keys at once and touches no others', async () => {
    const { one, process } = setup()
    const neighbour = process('app2:')
    await one.set('k', 1)
    await neighbour.set('k', 2)
    await one.clear()
    expect(await one.get('k')).toBeUndefined()
    expect(await neighbour.get('k')).toBe(2)
  })

  test('another process sees the clear within a second', async () => {
    const { one, two, advance } = setup()
    await one.set('k', 1)
    expect(await two.get('k')).toBe(1)
    await one.clear()
    advance(1_000)
    expect(await two.get('k')).toBeUndefined()
    await two.set('k', 'new')
    expect(await one.get('k')).toBe('new')
  })

  test('clearing a cache clears its namespaces, not the other way round', async () => {
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

  test('the generation is read once a second, not with every call', async () => {
    const { one, calls, advance } = setup()
    await Promise.all([one.get('a'), one.get('b')])
    await one.getMany(['a', 'b'])
    const reads = () => calls.filter((call) => call === 'get app:~generation').length
    expect(reads()).toBe(1)
    advance(1_000)
    await one.get('a')
    expect(reads()).toBe(2)
  })

  test('a generation that is lost is put back by who knows it', async () => {
    const { one, two, process, advance } = setup()
    await one.set('k', 1)
    await process('').delete('app:~generation')
    advance(1_000)
    expect(await one.get('k')).toBe(1)
    expect(await two.get('k')).toBe(1)
  })

  test('and that nobody knows any more causes misses and nothing else', async () => {
    const { one, two, process } = setup()
    await one.set('k', 1)
    await process('').delete('app:~generation')
    expect(await two.get('k')).toBeUndefined()
    await two.set('k', 2)
    expect(await two.get('k')).toBe(2)
  })

  test('while it cannot be read, those who know it go on, and the others fail', async () => {
    const { one, two, advance, chaos } = setup()
    await one.set('k', 1)
    chaos.down = true
    advance(1_000)
    expect(await one.get('k')).toBe(1)
    await expect(two.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    await expect(one.clear()).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    chaos.down = false
    await two.clear()
    advance(1_000)
    await one.get('k')
    await turn()
    expect(await one.get('k')).toBeUndefined()
  })

  test('of two who clear at once both succeed, and nothing is left', async () => {
    const { one, two } = setup()
    await one.set('k', 1)
    await Promise.all([one.clear(), two.clear()])
    expect([await one.get('k'), await two.get('k')]).toEqual([undefined, undefined])
  })

  test('a read of the generation that was under way does not undo a clear', async () => {
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

  test('keys() says that it cannot', async () => {
    const { one } = setup()
    await expect(one.keys().next()).rejects.toMatchObject({ code: 'ERR_CACHE_UNSUPPORTED' })
  })
})
