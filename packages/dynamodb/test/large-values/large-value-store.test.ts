import { setImmediate } from 'node:timers/promises'
import { CacheError, type Payload, type ReadOptions } from '@stowage/core'
import { BatchError, toText } from '@stowage/core/driver'
import { describe, expect, test } from 'vitest'
import type { LargeValueOptions } from '../../src/dynamodb-options.ts'
import type { DynamoDBStore } from '../../src/dynamodb-store.ts'
import { LargeValueStore } from '../../src/large-values/large-value-store.ts'
import { encodeManifest } from '../../src/large-values/packing.ts'

type Entries = readonly (readonly [string, Payload])[]

const rejected = (retryable: boolean) =>
  new CacheError('ERR_CACHE_REJECTED', 'no', { store: 'dynamodb', operation: 'any', retryable })

const defaults = { chunks: true, compressionThreshold: Infinity, maxValueBytes: 100 }

/** A table whose items have at most 10 bytes, and that records the operations, and executes them in a later turn. */
function setup(options: Partial<LargeValueOptions> = {}) {
  const items = new Map<string, { payload: Payload; ttl: number | undefined }>()
  const calls: string[] = []
  /** Runs before each operation, and may fail instead of it. */
  const hooks = { before: (_operation: string, _keys: readonly string[]): void => {} }
  const begin = async (operation: string, keys: readonly string[] = [], read?: ReadOptions) => {
    calls.push(read === undefined ? operation : `${operation} strong`)
    hooks.before(operation, keys)
    await setImmediate()
  }
  const put = (key: string, payload: Payload, ttl?: number) => void items.set(key, { payload, ttl })
  const text = (payload: Payload | undefined) => payload && toText(payload)
  const table = {
    name: 'dynamodb',
    limits: { valueBytes: 10 },
    scan: async function* () {
      yield [...items.keys()]
    },
    get: async (key: string, read?: ReadOptions) => {
      await begin('get', [key], read)
      return items.get(key)?.payload
    },
    getMany: async (keys: readonly string[], read?: ReadOptions) => {
      await begin('getMany', keys, read)
      return keys.map((key) => items.get(key)?.payload)
    },
    getWithTtl: async (keys: readonly string[], read?: ReadOptions) => {
      await begin('getWithTtl', keys, read)
      return keys.map((key) => {
        const item = items.get(key)
        return item && { item: item.payload, ttl: item.ttl ?? Infinity }
      })
    },
    set: async (key: string, payload: Payload, ttl?: number) => {
      await begin('set', [key])
      put(key, payload, ttl)
    },
    setMany: async (entries: Entries, ttl?: number) => {
      await begin('setMany', [...entries.map(([key]) => key)])
      for (const [key, payload] of entries) put(key, payload, ttl)
    },
    add: async (key: string, payload: Payload, ttl?: number) => {
      await begin('add', [key])
      if (items.has(key)) return false
      put(key, payload, ttl)
      return true
    },
    compareAndSet: async (key: string, expected: Payload, next?: Payload, ttl?: number) => {
      await begin('compareAndSet', [key])
      if (text(items.get(key)?.payload) !== text(expected)) return false
      if (next === undefined) items.delete(key)
      else put(key, next, ttl)
      return true
    },
    touch: async (key: string, ttl?: number) => {
      await begin('touch', [key])
      const item = items.get(key)
      if (item !== undefined) item.ttl = ttl
      return item !== undefined
    },
    increment: async () => 7,
    getAndSet: async (key: string, payload: Payload, ttl?: number) => {
      await begin('getAndSet', [key])
      const previous = items.get(key)?.payload
      put(key, payload, ttl)
      return previous
    },
    getAndDelete: async (key: string) => {
      await begin('getAndDelete', [key])
      const payload = items.get(key)?.payload
      return { deleted: items.delete(key), payload }
    },
    delete: async (key: string) => {
      await begin('delete', [key])
      return items.delete(key)
    },
    deleteMany: async (keys: readonly string[]) => {
      await begin('deleteMany', keys)
      return keys.filter((key) => items.delete(key)).length
    },
    deleteUncounted: async (keys: readonly string[]) => {
      await begin('deleteUncounted', keys)
      for (const key of keys) items.delete(key)
    },
    clear: async () => begin('clear'),
    ping: async () => begin('ping'),
    time: async () => 42,
    consistencyToken: () => 'token',
    observe: (token: string) => void begin(`observe ${token}`),
    close: async () => begin('close'),
  }
  const store = new LargeValueStore(table as unknown as DynamoDBStore, { ...defaults, ...options })
  const kept = () => [...items.keys()].map((key) => key.split('\0')[0]).join('')
  const read = async (key: string) => text(await store.get(key))
  return { store, table, items, calls, hooks, kept, read }
}

/** 25 bytes are three chunks. */
const [large, other, small] = ['a'.repeat(25), 'b'.repeat(25), 'small']
const oversized = 'x'.repeat(101)
const limit = { code: 'ERR_CACHE_LIMIT' }
const strong = { consistency: 'strong' } as const

describe('a value that is larger than an item', () => {
  test('is stored in chunks that live a minute longer, and read as a whole', async () => {
    const { store, items, kept, read } = setup()
    await store.set('k', large, 1_000)
    expect(kept()).toBe('kkkk')
    expect([...items.values()].map(({ ttl }) => ttl)).toEqual([61_000, 61_000, 61_000, 1_000])
    expect([...items.values()].slice(0, 3).map(({ payload }) => payload.length)).toEqual([
      10, 10, 5,
    ])
    expect(await read('k')).toBe(large)
    await store.set('k', other)
    expect([...items.values()].map(({ ttl }) => ttl)).toEqual([1, 2, 3, 4].map(() => undefined))
    expect([kept(), await read('k')]).toEqual(['kkkk', other])
  })

  test('is an item if it has exactly its size', async () => {
    const { store, kept, read } = setup()
    await store.set('k', 'a'.repeat(10))
    expect([kept(), await read('k')]).toEqual(['k', 'a'.repeat(10)])
  })

  test('is compressed if that suffices', async () => {
    const { store, kept, read } = setup({ compressionThreshold: 20 })
    await store.set('k', large)
    expect([kept().length <= 3, await read('k')]).toEqual([true, large])
  })

  test('is refused without chunks, and the old one deleted', async () => {
    const { store, calls, kept } = setup({ chunks: false })
    await store.set('k', small)
    await expect(store.set('k', large)).rejects.toMatchObject({
      ...limit,
      message:
        'The value has 25 bytes, 25 compressed; an item takes at most 10. Store less, or set chunks: true.',
    })
    expect(kept()).toBe('')
    expect(calls).toEqual(['set', 'delete'])
  })

  test('is deleted without chunks if the table refuses the next one as too large', async () => {
    const { store, hooks, kept } = setup({ chunks: false })
    await store.set('k', small)
    hooks.before = (operation) => {
      if (operation === 'set') throw new CacheError('ERR_CACHE_LIMIT', 'no')
    }
    await expect(store.set('k', 'next')).rejects.toMatchObject(limit)
    expect(kept()).toBe('')
  })

  test('is refused beyond the largest size, and the old one deleted with its chunks', async () => {
    const { store, kept } = setup()
    await store.set('k', large)
    await expect(store.set('k', oversized)).rejects.toMatchObject(limit)
    expect(kept()).toBe('')
    await store.set('k', 'x'.repeat(100))
    expect(kept()).toBe('k'.repeat(11))
  })

  test('keeps its chunks if the second attempt to write it has replaced the first one', async () => {
    const { store, table, kept, read } = setup()
    const { getAndSet } = table
    table.getAndSet = async (key, payload, ttl) => {
      await getAndSet(key, payload, ttl)
      return payload
    }
    await store.set('k', large)
    expect([kept(), await read('k')]).toEqual(['kkkk', large])
  })

  test('stays if another failure prevents its replacement', async () => {
    const { store, hooks, read } = setup()
    await store.set('k', large)
    const error = rejected(true)
    hooks.before = (operation) => {
      if (operation === 'getAndSet') throw error
    }
    await expect(store.set('k', small)).rejects.toBe(error)
    expect(await read('k')).toBe(large)
  })

  test('is replaced although its chunks cannot be deleted', async () => {
    const { store, hooks, kept } = setup()
    await store.set('k', large)
    hooks.before = (operation) => {
      if (operation === 'deleteUncounted') throw rejected(true)
    }
    await store.set('k', small)
    expect(kept()).toBe('kkkk')
  })

  test('is not stored if a chunk is not', async () => {
    const { store, hooks, kept } = setup()
    const error = rejected(true)
    hooks.before = (operation) => {
      if (operation === 'setMany') throw error
    }
    await expect(store.set('k', large)).rejects.toBe(error)
    expect(kept()).toBe('')
  })

  test('is deleted with its chunks', async () => {
    const { store, kept } = setup()
    await store.set('k', large)
    expect([await store.delete('k'), await store.delete('k'), kept()]).toEqual([true, false, ''])
  })

  test('needs no deletion of chunks if it has none', async () => {
    const { store, calls } = setup()
    await store.set('k', small)
    await store.delete('k')
    expect(calls).toEqual(['getAndSet', 'getAndDelete'])
  })
})

describe('reads', () => {
  test('ask for an outdated manifest again, three times in all', async () => {
    const { store, items, calls, hooks } = setup()
    await store.set('k', large)
    const [chunk] = [...items.keys()]
    items.delete(chunk as string)
    calls.length = 0
    expect(await store.get('k')).toBeUndefined()
    const again = ['getMany strong', 'get strong']
    expect(calls).toEqual(['get', 'getMany', 'get strong', ...again, ...again])
    calls.length = 0
    hooks.before = (operation) => {
      if (operation === 'getMany') items.set('k', { payload: small, ttl: undefined })
    }
    expect(await store.get('k', strong)).toBe(small)
    expect(calls).toEqual(['get strong', 'getMany strong', 'get strong'])
  })

  test('of many keys return each value, with its ttl if that is wanted', async () => {
    const { store, calls } = setup()
    await store.set('k', large, 1_000)
    await store.set('l', small)
    calls.length = 0
    const found = await store.getMany(['k', 'none', 'l', 'k'])
    expect(found.map((payload) => payload && toText(payload))).toEqual([
      large,
      undefined,
      small,
      large,
    ])
    expect(calls).toEqual(['getWithTtl', 'getMany'])
    expect(await store.getWithTtl(['l', 'none'], strong)).toEqual([
      { item: small, ttl: Infinity },
      undefined,
    ])
    const [withTtl] = await store.getWithTtl(['k'], strong)
    expect(withTtl?.ttl).toBe(1_000)
  })

  test('of a value without all its chunks find nothing', async () => {
    const { store, items } = setup()
    items.set('k', { payload: encodeManifest({ id: 'lost', chunks: 1 }), ttl: undefined })
    expect(await store.getMany(['k'])).toEqual([undefined])
    expect(await store.getWithTtl(['k'])).toEqual([undefined])
  })

  test('return what was read although other keys failed', async () => {
    const { store, table } = setup()
    const error = rejected(true)
    table.getWithTtl = async () => {
      throw new BatchError([
        { status: 'fulfilled', value: { item: small, ttl: 5 } },
        { status: 'rejected', reason: error },
        { status: 'fulfilled', value: undefined },
      ])
    }
    await expect(store.getMany(['k', 'l', 'm'])).rejects.toMatchObject({
      outcomes: [
        { status: 'fulfilled', value: small },
        { status: 'rejected', reason: { key: 'l' } },
        { status: 'fulfilled', value: undefined },
      ],
    })
    table.getWithTtl = async () => {
      throw error
    }
    await expect(store.getMany(['k', 'l'])).rejects.toMatchObject({
      outcomes: [{ status: 'rejected' }, { status: 'rejected' }],
    })
  })

  test('fail for the keys whose chunks cannot be read', async () => {
    const { store, hooks } = setup()
    await store.set('k', large)
    await store.set('l', small)
    hooks.before = (operation) => {
      if (operation === 'getMany') throw rejected(true)
    }
    await expect(store.getMany(['k', 'l'])).rejects.toMatchObject({
      outcomes: [{ status: 'rejected' }, { status: 'fulfilled', value: small }],
    })
  })

  test('of all keys leave out those of chunks', async () => {
    const { store } = setup()
    await store.set('k', large)
    const pages: (readonly string[])[] = []
    for await (const page of store.scan?.('') ?? []) pages.push(page)
    expect(pages).toEqual([['k']])
  })
})

describe('add', () => {
  test('stores a value, or deletes the chunks that it has written', async () => {
    const { store, kept, read } = setup()
    expect(await store.add('k', large, 1_000)).toBe(true)
    expect(await store.add('k', other)).toBe(false)
    expect([kept(), await read('k')]).toEqual(['kkkk', large])
  })
})

describe('compareAndSet', () => {
  test('replaces or deletes a value with its chunks', async () => {
    const { store, kept, read } = setup()
    await store.set('k', large)
    expect(await store.compareAndSet('k', other, small)).toBe(false)
    expect(await store.compareAndSet('k', large, other)).toBe(true)
    expect([kept(), await read('k')]).toEqual(['kkkk', other])
    expect(await store.compareAndSet('k', other, undefined)).toBe(true)
    expect(kept()).toBe('')
    expect(await store.compareAndSet('k', other, large)).toBe(false)
    expect(kept()).toBe('')
  })

  test('reads nothing for a value that is stored unchanged', async () => {
    const { store, calls } = setup({ compressionThreshold: 8 })
    await store.set('k', small)
    calls.length = 0
    expect(await store.compareAndSet('k', small, 'next')).toBe(true)
    expect(calls).toEqual(['compareAndSet'])
    calls.length = 0
    // These may be stored in another form.
    for (const expected of ['12345678', '\u0002'])
      expect(await store.compareAndSet('k', expected, 'next')).toBe(false)
    expect(calls).toEqual(['get strong', 'get strong'])
  })

  test('compares a value of the size of an item without a read, and a larger one with', async () => {
    const { store, calls } = setup()
    await store.compareAndSet('k', 'a'.repeat(10), small)
    await store.compareAndSet('k', 'a'.repeat(11), small)
    expect(calls).toEqual(['compareAndSet', 'get strong'])
  })

  test('finds a large value that was lost different, and reads no replica', async () => {
    const { store, items, calls } = setup()
    await store.set('k', large)
    items.delete([...items.keys()][0] as string)
    calls.length = 0
    expect(await store.compareAndSet('k', large, small)).toBe(false)
    expect(calls).toEqual(['get strong', 'getMany strong'])
  })

  test('deletes the chunks of a value that another one has overtaken', async () => {
    const { store, items, hooks, kept } = setup()
    await store.set('k', small)
    hooks.before = (operation) => {
      if (operation === 'compareAndSet') items.set('k', { payload: 'newer', ttl: undefined })
    }
    expect(await store.compareAndSet('k', small, large)).toBe(false)
    expect(kept()).toBe('k')
  })

  test('refuses a value that is too large before it reads', async () => {
    const { store, calls } = setup()
    await expect(store.compareAndSet('k', large, oversized)).rejects.toMatchObject(limit)
    expect(calls).toEqual([])
  })
})

describe('touch', () => {
  test('extends the chunks, and then their value', async () => {
    const { store, items, calls } = setup()
    await store.set('k', large)
    calls.length = 0
    expect(await store.touch('k', 1_000)).toBe(true)
    expect([...items.values()].map(({ ttl }) => ttl)).toEqual([61_000, 61_000, 61_000, 1_000])
    expect(calls).toEqual(['getMany strong', ...['touch', 'touch', 'touch', 'touch']])
    expect(await store.touch('none', 1_000)).toBe(false)
  })

  test('begins again up to three times if a chunk is missing', async () => {
    const { store, items, calls } = setup()
    await store.set('k', large)
    items.delete([...items.keys()][0] as string)
    calls.length = 0
    expect(await store.touch('k', 1_000)).toBe(false)
    expect(calls.filter((call) => call === 'getMany strong')).toHaveLength(3)
    expect(items.get('k')?.ttl).toBeUndefined()
  })

  test('reads nothing without chunks', async () => {
    const { store, calls } = setup({ chunks: false })
    await store.set('k', small)
    expect(await store.touch('k', 1_000)).toBe(true)
    expect(calls).toEqual(['set', 'touch'])
  })
})

describe('setMany', () => {
  const entries = [
    ['k', large],
    ['l', small],
    ['m', oversized],
  ] as const

  test('replaces values with their chunks', async () => {
    const { store, kept, read } = setup()
    await store.set('k', large)
    await store.setMany([
      ['k', small],
      ['k', other],
      ['l', small],
    ])
    expect([...kept()].sort().join('')).toBe('kkkkl')
    expect([await read('k'), await read('l')]).toEqual([other, small])
  })

  test('deletes the old value of one that is too large, and stores the others', async () => {
    const { store, items, read } = setup()
    await store.set('m', large)
    await expect(store.setMany(entries)).rejects.toMatchObject({
      ...limit,
      outcomes: [{ status: 'fulfilled' }, { status: 'fulfilled' }, { status: 'rejected' }],
    })
    expect([await read('k'), await read('l')]).toEqual([large, small])
    expect([...items.keys()].some((key) => key.startsWith('m'))).toBe(false)
  })

  test('deletes the old value before it fails', async () => {
    const { store, kept } = setup()
    await store.set('m', large)
    await expect(store.setMany([['m', oversized]])).rejects.toMatchObject(limit)
    expect(kept()).toBe('')
  })

  /** Replaces a large value by another one, and fails with an error. */
  async function setupFailed(retryable: boolean) {
    const all = setup()
    await all.store.set('k', large)
    all.hooks.before = (operation, keys) => {
      if (operation === 'setMany' && keys.includes('k')) throw rejected(retryable)
    }
    await expect(all.store.setMany([['k', other]])).rejects.toMatchObject({ retryable })
    return all
  }

  test('that was refused deletes its own chunks only', async () => {
    const { kept, read } = await setupFailed(false)
    expect([kept(), await read('k')]).toEqual(['kkkk', large])
  })

  test('whose outcome is unknown deletes no chunks', async () => {
    const { kept, read } = await setupFailed(true)
    expect([kept(), await read('k')]).toEqual(['kkkkkkk', large])
  })

  test('reads nothing without chunks', async () => {
    const { store, calls } = setup({ chunks: false })
    await store.setMany([['k', small]])
    expect(calls).toEqual(['setMany'])
  })
})

describe('deleteMany', () => {
  test('deletes values with their chunks, and counts the values', async () => {
    const { store, kept } = setup()
    await store.setMany([
      ['k', large],
      ['l', other],
      ['m', small],
    ])
    expect(await store.deleteMany(['k', 'm', 'none'])).toBe(2)
    expect(kept()).toBe('llll')
  })

  test('of no keys sends nothing', async () => {
    const { store, calls } = setup()
    expect(await store.deleteMany([])).toBe(0)
    expect(calls).toEqual([])
  })

  test('that fails for a key deletes the chunks of the others only', async () => {
    const { store, table, kept } = setup()
    await store.setMany([
      ['k', large],
      ['l', other],
    ])
    table.deleteMany = async (keys) => {
      await table.deleteUncounted(['k'])
      throw new BatchError(
        keys.map((key) =>
          key === 'k'
            ? { status: 'fulfilled', value: undefined }
            : { status: 'rejected', reason: rejected(true) },
        ),
      )
    }
    await expect(store.deleteMany(['k', 'l'])).rejects.toThrow()
    expect(kept()).toBe('llll')
  })

  test('that fails deletes nothing else without chunks', async () => {
    const { store, table, calls } = setup({ chunks: false })
    table.deleteMany = async () => {
      throw new BatchError([
        { status: 'fulfilled', value: undefined },
        { status: 'rejected', reason: rejected(true) },
      ])
    }
    await expect(store.deleteMany(['k', 'l'])).rejects.toThrow()
    expect(calls).toEqual([])
  })
})

test('all keys are not read of a table that does not allow that', () => {
  const { table } = setup()
  const unscannable = { ...table, scan: undefined } as unknown as DynamoDBStore
  expect(new LargeValueStore(unscannable, defaults).scan).toBeUndefined()
})

test('other operations are those of the table', async () => {
  const { store, calls } = setup()
  expect(await store.increment('k', 1)).toBe(7)
  expect(await store.time()).toBe(42)
  expect(store.consistencyToken()).toBe('token')
  store.observe('x')
  await store.clear()
  await store.ping()
  await store.close()
  expect(calls).toEqual(['observe x', 'clear', 'ping', 'close'])
  expect(store).toMatchObject({ name: 'dynamodb', payload: 'bytes', durable: true })
  expect(store.limits).toEqual({ valueBytes: 100 })
  await expect(store.get('k')).rejects.toThrow('close() was called')
})
