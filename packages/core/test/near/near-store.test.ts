import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ReferenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { NearCache } from '../../src/near/near-cache.ts'
import { NearStore } from '../../src/near/near-store.ts'
import type { AnyStore } from '../../src/store.ts'
import type { Codec } from '../../src/values/codec.ts'
import { Mark } from '../../src/values/mark.ts'
import { DecodedItem, storedItem } from '../../src/values/stored-entries.ts'
import { TestBus } from './test-bus.ts'

const strong = { consistency: 'strong' } as const
const codec = { encode: () => '', decode: () => undefined } as Codec
const lease = new Mark('lease', 'token', 0, 1_000).toString()
const change = new Mark('change', 'holder', 0, 1_000).toString()

interface Setting {
  readonly hasTtl?: boolean
  readonly isAsync?: boolean
}

/** A near cache that has subscribed, in front of a store whose calls a test sees. */
async function setUp({ hasTtl = false, isAsync = false }: Setting = {}) {
  const backend = new ReferenceStore()
  const calls: string[] = []
  const state: { during?: () => void; error?: Error } = {}
  const before = (operation: string, key: unknown) => {
    calls.push(`${operation} ${key}`)
    state.during?.()
    if (state.error !== undefined) throw state.error
  }
  const observed = wrapStore(backend as ByteStore, (operation, call, [key]) => {
    if (!isAsync) {
      before(operation, key)
      return call()
    }
    return Promise.resolve().then(() => {
      before(operation, key)
      return call()
    })
  })
  if (!hasTtl) delete (observed as { getWithTtl?: unknown }).getWithTtl
  const bus = new TestBus()
  const clock = { now: () => 0, monotonic: () => 0, sleep: async () => {} }
  const near = new NearCache({
    ...{ ttlMs: 1_000, maxEntries: 10, maxBytes: 1_000, bus, ownsBus: false, values: 'frozen' },
    ...{ store: observed, cache: 'name', clock, onClear: () => {} },
  })
  let time: number | undefined = 0
  const create = (own: Codec | undefined) =>
    new NearStore({
      ...{ store: observed as unknown as AnyStore, near, storePrefix: 'p:', codec: own },
      time: { peek: () => time },
    })
  near.beginRead('k')
  await new Promise(setImmediate)
  /** Fills the near cache for a key of the store. */
  const keep = (key: string, item = new DecodedItem('kept', 4, codec)) => {
    const read = near.beginRead(`p:${key}`) as never
    near.endRead(read, item, near.endOfTtl(), undefined)
    return item
  }
  const has = (key: string) => near.find(`p:${key}`) !== undefined
  const setTime = (now: number | undefined) => {
    time = now
  }
  return { store: create(codec), create, backend, calls, state, bus, keep, has, setTime }
}

const texts = (items: unknown) => (items as unknown[]).map((item) => textOf(item))
function textOf(item: unknown): string | undefined {
  const stored = storedItem(item)
  return stored === undefined ? undefined : Buffer.from(stored as string).toString()
}

describe('a read', () => {
  test('of what is kept makes no call, and one with a consistency does', async () => {
    const { store, keep, calls, backend } = await setUp()
    backend.set('k', 'stored')
    const item = keep('k')
    expect([store.get('k'), store.getMany(['k', 'k'])]).toEqual([item, [item, item]])
    expect(store.get('k')).toBe(item)
    expect(calls).toEqual([])
    expect(textOf(store.get('k', strong))).toBe('stored')
    expect(store.get('k', strong)).not.toBeInstanceOf(DecodedItem)
    expect(texts(store.getMany(['k'], strong))).toEqual(['stored'])
    expect(calls).toEqual(['get k', 'get k', 'getMany k'])
  })

  test.each<[Setting, string]>([
    [{}, 'get k'],
    [{ isAsync: true }, 'get k'],
    [{ hasTtl: true }, 'getWithTtl k'],
  ])('of a key that is not kept keeps it: %j', async (setting, call) => {
    const { store, has, calls, backend } = await setUp(setting)
    backend.set('k', 'stored')
    const reading = store.get('k')
    expect(reading instanceof Promise).toBe(call !== 'get k' || setting.isAsync === true)
    const item = (await reading) as DecodedItem
    expect([item, item.codec, textOf(item)]).toEqual([expect.any(DecodedItem), codec, 'stored'])
    expect([calls, has('k')]).toEqual([[call], true])
  })

  test('of several keys reads those that are not kept', async () => {
    const { store, keep, calls, backend, has } = await setUp()
    backend.set('b', 'of b')
    backend.set('c', 'of c')
    keep('a')
    expect(texts(await store.getMany(['b', 'a', 'x', 'c', 'a']))).toEqual([
      ...['of b', 'kept', undefined, 'of c', 'kept'],
    ])
    expect(calls).toEqual(['getMany b,x,c'])
    expect(['b', 'x', 'c'].map(has)).toEqual([true, false, true])
  })

  test.each([false, true])('without a codec returns the item, async: %s', async (isAsync) => {
    const { create, backend } = await setUp({ isAsync })
    backend.set('k', 'stored')
    const store = create(undefined)
    for (let read = 0; read < 2; read++) {
      const items = [await store.get('k'), ...(await store.getMany(['k', 'x']))]
      expect(items.map((item) => item instanceof Uint8Array)).toEqual([true, true, false])
      expect(texts(items)).toEqual(['stored', 'stored', undefined])
    }
  })

  test('does not return an item of another codec', async () => {
    const { create, keep, backend } = await setUp()
    const other = { ...codec }
    backend.set('k', 'stored')
    keep('k')
    expect(textOf(create(other).get('k'))).toBe('stored')
  })

  test('does not return an item that is stale, or may be', async () => {
    const { store, keep, backend, setTime } = await setUp()
    backend.set('k', 'stored')
    const kept = () => {
      const item = keep('k')
      item.freshUntil = 100
      return textOf(store.get('k'))
    }
    setTime(99)
    expect(kept()).toBe('kept')
    setTime(100)
    expect(kept()).toBe('stored')
    setTime(undefined)
    expect(kept()).toBe('stored')
  })
})

describe('a write', () => {
  type Write = readonly [(store: NearStore) => unknown, isAnnounced: boolean, ...keys: string[]]
  const writes: Record<string, Write> = {
    set: [(store) => store.set('k', 'v'), true, 'k'],
    add: [(store) => store.add('new', 'v'), true, 'new'],
    'add of a key that exists': [(store) => store.add('k', 'v'), false, 'k'],
    'add of a lease': [(store) => store.add('new', lease), false, 'new'],
    'add of the mark of a change': [(store) => store.add('new', change), true, 'new'],
    compareAndSet: [(store) => store.compareAndSet('k', 'stored', 'v'), true, 'k'],
    'compareAndSet of another value': [(store) => store.compareAndSet('k', 'x', 'v'), false, 'k'],
    'deletion of a value': [(store) => store.compareAndSet('k', 'stored', undefined), true, 'k'],
    'deletion of a mark': [(store) => store.compareAndSet('mark', lease, undefined), false, 'mark'],
    'renewal of a mark': [(store) => store.compareAndSet('mark', lease, lease), false, 'mark'],
    'change of what is being loaded': [
      (store) => store.compareAndSet('mark', lease, change),
      true,
      'mark',
    ],
    'value of a load': [(store) => store.compareAndSet('mark', lease, 'v'), true, 'mark'],
    'lease of a stale value': [(store) => store.compareAndSet('k', 'stored', lease), true, 'k'],
    increment: [(store) => store.increment('n', 1), true, 'n'],
    touch: [(store) => store.touch('k', 1_000), true, 'k'],
    'touch of a missing key': [(store) => store.touch('x', 1_000), false, 'x'],
    delete: [(store) => store.delete('x'), true, 'x'],
    deleteMany: [(store) => store.deleteMany(['k', 'x']), true, 'k', 'x'],
    setMany: [(store) => store.setMany([['k', 'v']]), true, 'k'],
  }
  for (const isAsync of [false, true]) {
    test.each(Object.keys(writes))(
      `drops its keys, and announces a change: %s, async ${isAsync}`,
      async (name) => {
        const { store, backend, bus, state, keep, has } = await setUp({ isAsync })
        backend.set('k', 'stored')
        backend.set('mark', lease)
        const [write, isAnnounced, ...own] = writes[name] as Write
        for (const key of [...own, 'other']) keep(key)
        const during: boolean[] = []
        state.during = () => {
          during.push(...own.map(has))
          for (const key of own) keep(key)
        }
        await write(store)
        expect(during).toEqual(own.map(() => false))
        expect([own.map(has), has('other')]).toEqual([own.map(() => false), true])
        expect(bus.published).toEqual(isAnnounced ? own.map((key) => `p:${key}`) : [])
      },
    )

    test(`that fails may have changed its key, async ${isAsync}`, async () => {
      const { store, bus, state, keep, has } = await setUp({ isAsync })
      state.error = new Error('no reply')
      state.during = () => keep('k')
      await expect((async () => store.touch('k'))()).rejects.toThrow('no reply')
      expect([has('k'), bus.published]).toEqual([false, ['p:k']])
    })
  }

  test('compares with the stored item, and stores it', async () => {
    const { store, backend, keep } = await setUp()
    backend.set('k', 'kept')
    expect(await store.compareAndSet('k', keep('k'), 'v')).toBe(true)
    await store.set('k', new DecodedItem('decoded', 7, codec))
    expect(textOf(backend.get('k'))).toBe('decoded')
  })

  test.each([false, true])('clear drops the prefix before and after, fails: %s', async (fails) => {
    const { store, bus, state, keep, has } = await setUp()
    keep('k')
    const during: boolean[] = []
    state.during = () => {
      during.push(has('k'))
      keep('k')
    }
    if (fails) state.error = new Error('no reply')
    const clearing = store.clear()
    if (fails) await expect(clearing).rejects.toThrow('no reply')
    else await clearing
    expect([during, has('k'), bus.published]).toEqual([[false], false, ['p:~generation']])
  })

  test('clear is announced when it has ended', async () => {
    const { store, bus, calls } = await setUp({ isAsync: true })
    const clearing = store.clear()
    expect(bus.published).toEqual([])
    await clearing
    expect(calls).toHaveLength(1)
    expect(bus.published).toHaveLength(1)
  })
})
