import { Cache, CacheError } from '@stowage/core'
import { type ByteStore, type StoreOperation, wrapStore } from '@stowage/core/driver'
import { JsonText } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import { gate, settle } from '../remember/two-processes.ts'

const leaseMark = '\x01\x02Lother.0.30000'
const modes = [
  ['synchronous', false],
  ['asynchronous', true],
] as const

/** A cache over a store whose calls a test records, and replaces or precedes by its own. */
function setUp(isAsync = false) {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const operations: string[] = []
  const before = new Map<StoreOperation, () => unknown>()
  const replies = new Map<StoreOperation, (() => unknown)[]>()
  const store = wrapStore<ByteStore>(backend, (operation, call) => {
    operations.push(operation)
    const execute = () => {
      before.get(operation)?.()
      const reply = replies.get(operation)?.shift()
      return reply === undefined ? call() : reply()
    }
    return (isAsync ? Promise.resolve().then(execute) : execute()) as never
  })
  const stored = async (key = 'k') => {
    const item = await backend.get(key)
    return item === undefined ? undefined : String(item)
  }
  const changeMark = (end: number) => `\x01\x02Cother.0.30000.${end}`
  const cache = new Cache(store, { clock })
  return { cache, backend, clock, operations, before, replies, stored, changeMark }
}

/** Makes the value of `k` stale, which has a window. */
async function makeStale({ cache, clock }: ReturnType<typeof setUp>, ms = 1_000) {
  await cache.remember('k', { ttl: ms, staleWhileRevalidate: '1h' }, () => 'old')
  await clock.advance(ms)
}

function failure(code: 'ERR_CACHE_REJECTED' | 'ERR_CACHE_UNAVAILABLE', message: string) {
  return () => {
    throw new CacheError(code, message, { store: 'test', operation: 'increment' })
  }
}

describe.each(modes)('add on a %s store', (_, isAsync) => {
  test('keeps a fresh value, and what is not an entry', async () => {
    const { cache, stored, backend } = setUp(isAsync)
    expect(await cache.add('k', 'first')).toBe(true)
    expect(await cache.add('k', 'second')).toBe(false)
    await backend.set('k', '{"a":')
    expect(await cache.add('k', 'second')).toBe(false)
    expect(await stored()).toBe('{"a":')
  })

  test('replaces a value from the moment at which it becomes stale', async () => {
    const setting = setUp(isAsync)
    await makeStale(setting)
    expect(await setting.cache.add('k', 'new')).toBe(true)
    expect(await setting.cache.get('k')).toBe('new')
  })

  test('replaces an invalid entry and the lease of another process', async () => {
    const { cache, backend } = setUp(isAsync)
    await cache.set('k', 'old', { tags: ['t'] })
    await cache.invalidateTags('t')
    expect(await cache.add('k', 'new')).toBe(true)
    await backend.set('k', leaseMark)
    expect(await cache.add('k', 'newer')).toBe(true)
    expect(await cache.get('k')).toBe('newer')
  })

  test('waits for the end of a change of another process', async () => {
    const { cache, backend, clock, changeMark, stored } = setUp(isAsync)
    const mark = changeMark(clock.now() + 10)
    await backend.set('k', mark)
    expect(await cache.add('k', 'new')).toBe(false)
    expect(await stored()).toBe(mark)
    await clock.advance(10)
    expect(await cache.add('k', 'new')).toBe(true)
  })

  test('does not replace what another process stores meanwhile', async () => {
    const setting = setUp(isAsync)
    await makeStale(setting)
    const { cache, before, backend } = setting
    before.set('compareAndSet', () => backend.set('k', '"other"'))
    expect(await cache.add('k', 'new')).toBe(false)
    expect(await cache.get('k')).toBe('other')
  })

  test('stores nothing if the value that refused it is deleted meanwhile', async () => {
    const { cache, before, backend, stored } = setUp(isAsync)
    await cache.set('k', 'value')
    before.set('get', () => backend.delete('k'))
    expect(await cache.add('k', 'new')).toBe(false)
    expect(await stored()).toBeUndefined()
  })
})

describe.each(modes)('increment on a %s store', (_, isAsync) => {
  const unavailable = failure('ERR_CACHE_UNAVAILABLE', 'no connection')
  const refusals = (...messages: string[]) =>
    messages.map((message) => failure('ERR_CACHE_REJECTED', message))

  test('counts a lease of another process as none', async () => {
    const { cache, backend, stored } = setUp(isAsync)
    await backend.set('k', leaseMark)
    expect(await cache.increment('k', 5)).toBe(5)
    expect(await stored()).toBe('5')
    await backend.set('k', leaseMark)
    expect(Object.is(await cache.increment('k', -0), 0)).toBe(true)
    expect(await stored()).toBe('0')
    expect([await cache.increment('k', 2), await cache.increment('k', -0)]).toEqual([2, 2])
  })

  test('increments a counter that replaces the lease meanwhile', async () => {
    const { cache, backend, before } = setUp(isAsync)
    await backend.set('k', leaseMark)
    before.set('compareAndSet', () => backend.set('k', '7'))
    expect(await cache.increment('k', 5)).toBe(12)
  })

  test('tries again if another lease replaces it meanwhile', async () => {
    const { cache, backend, before, stored } = setUp(isAsync)
    await backend.set('k', leaseMark)
    before.set('compareAndSet', () => {
      before.delete('compareAndSet')
      return backend.set('k', leaseMark.replace('other', 'another'))
    })
    expect(await cache.increment('k', 5)).toBe(5)
    expect(await stored()).toBe('5')
  })

  test('increments a counter that has replaced what refused it', async () => {
    const { cache, backend, replies } = setUp(isAsync)
    await backend.set('k', '7')
    replies.set('increment', refusals('refused'))
    expect(await cache.increment('k', 5)).toBe(12)
  })

  test('is refused if the value is not a counter, without another attempt', async () => {
    const { cache, operations } = setUp(isAsync)
    await cache.set('k', 'text')
    operations.length = 0
    await expect(cache.increment('k')).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    expect(operations).toEqual(['increment', 'get'])
  })

  test('is refused with the last error, if the store refuses a counter twice', async () => {
    const { cache, backend, replies, operations } = setUp(isAsync)
    await backend.set('k', '7')
    replies.set('increment', refusals('first', 'second', 'third'))
    await expect(cache.increment('k')).rejects.toThrow('second')
    expect(operations.filter((operation) => operation === 'increment')).toHaveLength(2)
  })

  test('fails with other errors at once', async () => {
    const { cache, backend, replies, operations } = setUp(isAsync)
    await backend.set('k', leaseMark)
    replies.set('increment', [unavailable])
    await expect(cache.increment('k')).rejects.toThrow('no connection')
    expect(operations).toEqual(['increment'])
    await backend.set('k', '7')
    replies.set('increment', [...refusals('first'), unavailable])
    await expect(cache.increment('k')).rejects.toThrow('no connection')
    expect(operations).toEqual(['increment', 'increment', 'get', 'increment'])
  })
})

test('a value that cannot be encoded replaces none, and sends nothing', async () => {
  const { cache, operations } = setUp()
  await expect(cache.replace('k', 1n)).rejects.toMatchObject({ code: 'ERR_CACHE_CODEC' })
  expect(operations).toEqual([])
})

test('a counter of -0 in place of a lease is 0, also where values are shared', async () => {
  const backend = memory({ values: 'shared' })
  await backend.set('k', leaseMark as never)
  const cache = new Cache(backend)
  expect(await cache.increment('k', -0)).toBe(0)
  expect(await cache.get('k')).toBe(0)
})

test('what has refused an add or an increment is read from the primary', async () => {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const read: unknown[] = []
  const store = wrapStore<ByteStore>(backend, (operation, call, [, options]) => {
    if (operation === 'get') read.push(options)
    return call()
  })
  const cache = new Cache(store, { clock })
  await backend.set('k', leaseMark)
  await cache.add('k', 'value')
  await backend.set('k', leaseMark)
  await cache.increment('k')
  expect(read).toEqual([{ consistency: 'strong' }, { consistency: 'strong' }])
})

test('a snapshot is read from the primary, unless the caller says otherwise', async () => {
  const read: unknown[] = []
  const store = wrapStore<ByteStore>(referenceStore(), (operation, call, [, options]) => {
    if (operation === 'get') read.push(options)
    return call()
  })
  const cache = new Cache(store)
  await cache.snapshot('k')
  await cache.snapshot('k', {})
  await cache.snapshot('k', { consistency: 'eventual' })
  const strong = { consistency: 'strong' }
  expect(read).toEqual([strong, strong, { consistency: 'eventual' }])
})

describe('expire', () => {
  test('leaves a stale value for the rest of its window', async () => {
    const { cache, clock, backend } = setUp()
    await cache.remember('k', { ttl: 1_000, staleWhileRevalidate: 9_000 }, () => 'old')
    await clock.advance(100)
    expect(await cache.expire('k')).toBe(true)
    expect(await cache.get('k')).toBeUndefined()
    await clock.advance(9_899)
    expect(await backend.get('k')).toBeDefined()
    await clock.advance(1)
    expect(await backend.get('k')).toBeUndefined()
  })

  test('deletes a value without a window, and returns whether one existed', async () => {
    const { cache, backend, stored } = setUp()
    await cache.set('k', 'value')
    const swaps = vi.spyOn(backend, 'compareAndSet')
    expect(await cache.expire('k')).toBe(true)
    expect(await stored()).toBeUndefined()
    expect(swaps.mock.calls[0]?.slice(2)).toEqual([undefined, undefined])
    expect(await cache.expire('k')).toBe(false)
  })

  test('does not replace a value that is written meanwhile, but expires it', async () => {
    const { cache, before, backend } = setUp(true)
    await cache.set('k', 'value')
    before.set('compareAndSet', () => {
      before.delete('compareAndSet')
      return backend.set('k', '"other"')
    })
    expect(await cache.expire('k')).toBe(true)
    expect(await cache.get('k')).toBeUndefined()
  })
})

describe('pull', () => {
  test('returns the value that it deletes, once', async () => {
    const { cache, before, backend, operations } = setUp(true)
    await cache.set('k', 'value')
    before.set('compareAndSet', () => {
      before.delete('compareAndSet')
      return backend.set('k', '"other"')
    })
    expect(await cache.pull('k')).toBe('other')
    operations.length = 0
    expect(await cache.pull('k')).toBeUndefined()
    expect(operations).toEqual(['get'])
  })
})

test('pull leaves a stale value, which a load may need', async () => {
  const setting = setUp(true)
  await makeStale(setting)
  setting.operations.length = 0
  expect(await setting.cache.pull('k')).toBeUndefined()
  expect(setting.operations).toEqual(['get'])
})

describe('update', () => {
  test('deletes the value with a ttl of 0, and does not create one', async () => {
    const { cache, stored, operations } = setUp()
    expect(await cache.update('k', () => 'value', { ttl: 0 })).toBe('value')
    expect(operations).toEqual(['get'])
    await cache.set('k', 'old')
    await cache.update('k', () => 'value', { ttl: 0 })
    expect(await stored()).toBeUndefined()
  })

  test('deletes the value if its function returns undefined, and writes nothing without one', async () => {
    const { cache, operations, stored } = setUp(true)
    await cache.set('k', 'old')
    operations.length = 0
    expect(await cache.update('k', () => undefined)).toBeUndefined()
    expect([operations, await stored()]).toEqual([['get', 'compareAndSet'], undefined])
    operations.length = 0
    await cache.update('k', () => undefined)
    expect(operations).toEqual(['get'])
  })

  test('tries again if another process creates the value meanwhile', async () => {
    const { cache, before, backend } = setUp(true)
    before.set('add', () => backend.set('k', '1'))
    expect(await cache.update<number>('k', (count = 0) => count + 1)).toBe(2)
  })
})

describe('a snapshot', () => {
  test('of a lease replaces it', async () => {
    const { cache, backend } = setUp()
    await backend.set('k', leaseMark)
    const snapshot = await cache.snapshot<string>('k')
    expect([snapshot.value, snapshot.jsonText]).toEqual([undefined, undefined])
    expect(await snapshot.replace('new')).toBe(true)
    expect(await cache.get('k')).toBe('new')
  })

  test('of a corrupt item has neither a value nor a text', async () => {
    const { cache, backend } = setUp()
    await backend.set('k', '{"a":')
    const snapshot = await cache.snapshot<string>('k')
    expect([snapshot.value, snapshot.jsonText]).toEqual([undefined, undefined])
  })

  test('of the mark of a change replaces it when the change has ended', async () => {
    const { cache, backend, clock, changeMark } = setUp()
    await backend.set('k', changeMark(clock.now() + 10))
    const snapshot = await cache.snapshot<string>('k')
    expect(await snapshot.replace('new')).toBe(false)
    await clock.advance(10)
    expect(await snapshot.replace('new')).toBe(true)
  })

  test('of nothing replaces a lease, but not a value', async () => {
    const { cache, backend } = setUp(true)
    const snapshot = await cache.snapshot<string>('k')
    await backend.set('k', leaseMark)
    expect(await snapshot.replace('new')).toBe(true)
    expect(await snapshot.replace('newer')).toBe(false)
    expect(await cache.get('k')).toBe('new')
  })

  test('of nothing needs no request to delete', async () => {
    const { cache, operations } = setUp()
    const snapshot = await cache.snapshot<string>('k')
    operations.length = 0
    expect([await snapshot.delete(), await snapshot.replace('x', { ttl: 0 })]).toEqual([true, true])
    expect(operations).toEqual([])
  })

  test('of a value is not replaced after another write', async () => {
    const { cache, backend, stored } = setUp(true)
    await cache.set('k', { n: 1 })
    const snapshot = await cache.snapshot<object>('k')
    expect([snapshot.jsonText, snapshot.value]).toEqual(['{"n":1}', { n: 1 }])
    await backend.set('k', '"other"')
    expect(await snapshot.replace({ n: 2 }, { ttl: 5_000 })).toBe(false)
    expect([await snapshot.swap({ n: 2 }), await snapshot.delete()]).toEqual([undefined, false])
    expect(await stored()).toBe('"other"')
  })

  test('that stores a JSON text has its value', async () => {
    const { cache } = setUp()
    const snapshot = await cache.snapshot<unknown>('k')
    const stored = await snapshot.swap(new JsonText('{"n":1}'))
    expect(stored?.value).toEqual({ n: 1 })
  })

  test('stores the tags of its new value', async () => {
    const { cache } = setUp(true)
    await cache.set('k', 'old')
    const snapshot = await cache.snapshot<string>('k')
    expect(await snapshot.replace('new', { tags: ['t'] })).toBe(true)
    expect(await cache.get('k')).toBe('new')
    await cache.invalidateTags('t')
    expect(await cache.get('k')).toBeUndefined()
  })
})

describe('a value that is loaded without a lease is not stored if meanwhile', () => {
  type Setting = ReturnType<typeof setUp>
  const writes: Record<string, (setting: Setting) => Promise<unknown>> = {
    'an update creates one': ({ cache }) => cache.update('k', () => 'written'),
    'a snapshot creates one': async ({ cache, backend }) => {
      const snapshot = await cache.snapshot<string>('k')
      await backend.delete('k')
      return snapshot.replace('written')
    },
    'add creates one over a lease': async ({ cache, backend }) => {
      await backend.set('k', leaseMark)
      return cache.add('k', 'written')
    },
    'increment creates one over a lease': async ({ cache, backend }) => {
      await backend.set('k', leaseMark)
      return cache.increment('k')
    },
  }

  test.each(Object.entries(writes))('%s, even if that is deleted again', async (_, write) => {
    const setting = setUp()
    const { cache, backend, stored } = setting
    const loaded = gate<string>()
    const loading = cache.remember('k', { lease: false }, () => loaded.opened)
    await settle()
    await write(setting)
    expect(await stored()).toBeDefined()
    await backend.delete('k')
    loaded.open('old')
    expect(await loading).toBe('old')
    expect(await stored()).toBeUndefined()
  })
})

describe('a write with tags', () => {
  const ended = (call: Promise<unknown>) =>
    Promise.race([call.then(() => true), settle().then(() => false)])
  /** Writes of an asynchronous store that reply when the gate is open. */
  function withSlow(operation: StoreOperation) {
    const setting = setUp(true)
    const reply = gate()
    setting.replies.set(operation, [() => reply.opened])
    return { ...setting, reply }
  }

  test.each<[StoreOperation, (cache: Cache) => Promise<unknown>]>([
    ['set', (cache) => cache.set('k', 'v', { tags: ['t'] })],
    ['deleteMany', (cache) => cache.set('k', 'v', { tags: ['t'], ttl: 0 })],
    ['setMany', (cache) => cache.setMany(Object.entries({ k: 'v', l: 'w' }), { tags: ['t'] })],
  ])('waits for the reply to %s', async (operation, write) => {
    const { cache, reply, operations } = withSlow(operation)
    const call = write(cache)
    expect(await ended(call)).toBe(false)
    reply.open()
    await call
    expect(operations.filter((name) => /^set|delete/.test(name))).toEqual([operation])
  })

  test('of no values or no tags stores what one without tags stores', async () => {
    const { cache, stored } = setUp()
    await cache.setMany([], { tags: ['t'] })
    await cache.set('k', 'value', { tags: [] })
    expect(await stored()).toBe('"value"')
  })

  test('that waits for an earlier one rejects if its tags cannot be read', async () => {
    const { cache, reply, replies } = withSlow('set')
    const first = cache.set('k', 'first', { tags: ['t'] })
    await settle()
    replies.set('get', [failure('ERR_CACHE_UNAVAILABLE', 'no connection')])
    const second = cache.set('k', 'second', { tags: ['u'] })
    const outcome = expect(second).rejects.toThrow('no connection')
    await settle()
    reply.open()
    await first
    await outcome
  })
})
