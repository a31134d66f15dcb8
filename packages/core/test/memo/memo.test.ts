import { Cache, memo } from '@stowage/core'
import { type StoreOperation, wrapStore } from '@stowage/core/driver'
import { conform, conformance, ManualClock, ReferenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

function setUp() {
  const inner = new ReferenceStore()
  const calls: StoreOperation[] = []
  const observed = wrapStore(inner, async (operation, call) => {
    calls.push(operation)
    return call()
  })
  return { inner, calls, cache: new Cache(memo(observed)) }
}

describe('outside a scope, the store is used as it is', () => {
  const clock = new ManualClock()
  conform(test, () => memo(new ReferenceStore({ clock })), {
    wait: (ms) => clock.advance(ms),
    exact: true,
  })
})

describe('within a scope, the contract holds but for expiry and other stores', () => {
  const excluded = new Set([
    'expiry',
    'sharing',
    'outage',
    'ttl',
    'stale values',
    'remember',
    'leases',
    'changes',
  ])
  const clock = new ManualClock()
  for (const { name, group, run } of conformance) {
    if (excluded.has(group) || /ttl|days/.test(name)) continue
    test(`${group}: ${name}`, () =>
      memo.scope(() =>
        run({
          store: memo(new ReferenceStore({ clock })),
          wait: (ms) => clock.advance(ms),
          exact: true,
        }),
      ))
  }
})

test('makes repeated reads once, also those of missing keys', async () => {
  const { cache, calls, inner } = setUp()
  inner.set('a', '1')
  await memo.scope(async () => {
    expect(await Promise.all([cache.get('a'), cache.get('a')])).toEqual([1, 1])
    expect(await cache.get('missing')).toBeUndefined()
    inner.set('missing', '2')
    expect(await cache.getMany(['a', 'missing', 'b', 'b'])).toEqual([
      1,
      undefined,
      undefined,
      undefined,
    ])
    expect(await cache.has('b')).toBe(false)
    expect(await cache.remember('a', {}, () => 3)).toBe(1)
  })
  expect(calls).toEqual(['get', 'get', 'getMany'])
  expect(await cache.get('missing')).toBe(2)
})

test('scopes share nothing, and end with their work', async () => {
  const { cache, calls } = setUp()
  await Promise.all([memo.scope(() => cache.get('a')), memo.scope(() => cache.get('a'))])
  await cache.get('a')
  expect(calls).toEqual(['get', 'get', 'get'])
})

test('sees its own writes, of every kind', async () => {
  const { cache } = setUp()
  await memo.scope(async () => {
    const writes: Record<string, () => Promise<unknown>> = {
      set: () => cache.set('k', 1),
      increment: () => cache.increment('k'),
      setMany: () => cache.setMany([['k', 3]]),
      update: () => cache.update<number>('k', (n = 0) => n + 1),
      delete: () => cache.delete('k'),
      add: () => cache.add('k', 5),
      clear: () => cache.clear(),
    }
    const seen: unknown[] = []
    for (const write of Object.values(writes)) {
      await cache.get('k')
      await write()
      seen.push(await cache.get('k'))
    }
    expect(seen).toEqual([1, 2, 3, 4, undefined, 5, undefined])
  })
})

test('a read during a write is not kept', async () => {
  const { cache } = setUp()
  await memo.scope(async () => {
    await cache.set('k', 1)
    const writing = cache.set('k', 2)
    await cache.get('k')
    await writing
    expect(await cache.get('k')).toBe(2)
  })
})

test('reads with a consistency are always made, and failed ones repeated', async () => {
  const { cache, calls, inner } = setUp()
  await memo.scope(async () => {
    await cache.get('k')
    inner.set('k', '1')
    expect(await cache.get('k', { consistency: 'strong' })).toBe(1)
    inner.get = () => {
      throw new Error('no reply')
    }
    await expect(cache.get('other')).rejects.toThrow('no reply')
    await expect(cache.get('other')).rejects.toThrow('no reply')
  })
  expect(calls).toEqual(['get', 'get', 'get', 'get'])
})

test('keeps 1,000 reads', async () => {
  const { cache, calls } = setUp()
  await memo.scope(async () => {
    for (let i = 0; i < 1_001; i++) await cache.get(`k${i}`)
    calls.length = 0
    await cache.get('k1')
    await cache.get('k0')
  })
  expect(calls).toEqual(['get'])
})
