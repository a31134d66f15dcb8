import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { CacheError, type Payload } from '@stowage/core'
import {
  BatchError,
  type ByteStore,
  type KeyOrderOptions,
  withKeyOrder,
  wrapStore,
} from '@stowage/core/driver'
import { Deferred, KeyOrder } from '@stowage/core/internal'
import { conform, ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

/** A store whose calls take effect in the order of `delays`, in milliseconds, one for each call. */
function overtaking(
  delays: number[],
  options?: KeyOrderOptions,
): { store: ByteStore; calls: string[] } {
  const calls: string[] = []
  const store = wrapStore(referenceStore(), async (operation, call, [first]) => {
    const keys = Array.isArray(first)
      ? first.map((each) => (Array.isArray(each) ? each[0] : each))
      : [first]
    calls.push(`${operation} ${keys.join()}`)
    await new Promise((resolve) => setTimeout(resolve, delays.shift() ?? 0))
    return call()
  })
  return { store: withKeyOrder(store, options), calls }
}

const text = (item: Payload | undefined) => item && String(item)

describe('conforms to the contract', () => {
  const clock = new ManualClock()
  const create = () => withKeyOrder(referenceStore({ clock, async: true }))
  conform(test, create, { wait: (ms) => clock.advance(ms), exact: true })
})

describe('withKeyOrder', () => {
  test('of two sets of a key, the later one is stored', async () => {
    const { store } = overtaking([20, 0])
    await Promise.all([store.set('k', 'first'), store.set('k', 'second')])
    expect(text(await store.get('k'))).toBe('second')
  })

  test('a delete after a set deletes the item', async () => {
    const { store } = overtaking([20, 0])
    await Promise.all([store.set('k', 'first'), store.delete('k')])
    expect(await store.get('k')).toBeUndefined()
  })

  test('a clear deletes what was stored before it, and a scan lists it', async () => {
    const { store } = overtaking([20, 0])
    const listing = async () => {
      const keys: string[] = []
      for await (const page of store.scan?.('a') ?? []) keys.push(...page)
      return keys
    }
    expect((await Promise.all([store.set('a', 'v'), listing()]))[1]).toEqual(['a'])
    await Promise.all([store.set('k', 'first'), store.set('k', 'second'), store.clear()])
    expect(await store.get('k')).toBeUndefined()
  })

  test('a clear does not wait for increments, of which one may always be in flight', async () => {
    const held = new Deferred<void>()
    const slow = wrapStore(referenceStore(), async (operation, call) => {
      if (operation === 'increment') await held.promise
      return call()
    })
    const store = withKeyOrder(slow, { overlap: ['increment'] })
    const counting = store.increment('n', 1)
    await store.clear()
    held.resolve()
    expect(await counting).toBe(1)
  })

  test('a read between two writes reads the item of the first', async () => {
    const { store } = overtaking([20, 10, 0])
    const reads = [store.set('k', 'first'), store.get('k'), store.set('k', 'second')]
    expect(text((await Promise.all(reads))[1] as Payload)).toBe('first')
  })

  test('reads of a key, and calls for different keys, run side by side', async () => {
    const { store, calls } = overtaking([])
    const all = [store.get('k'), store.get('k'), store.set('a', '1'), store.set('b', '2')]
    expect(calls).toHaveLength(4)
    await Promise.all(all)
  })

  test('of a call for several keys, only those with calls in flight wait', async () => {
    const { store, calls } = overtaking([20])
    const writing = store.set('a', 'new')
    const both = store.setMany([
      ['a', 'newer'],
      ['b', 'b'],
    ])
    expect(calls).toEqual(['set a', 'setMany b'])
    await Promise.all([writing, both])
    const reads = Promise.all([store.set('a', 'newest'), store.getMany(['a', 'b', 'a'])])
    expect(calls.at(-1)).toBe('getMany b')
    expect((await reads)[1].map(text)).toEqual(['newest', 'b', 'newest'])
  })

  test('a call that has waited too long fails and is not made, and later ones keep their order', async () => {
    const { store, calls } = overtaking([30, 0], { timeout: '20ms' })
    const setting = store.set('k', 'first')
    const code = (error: { code: string }) => error.code
    const waiting = Promise.resolve(store.set('k', 'second')).catch(code as never)
    await expect(waiting).resolves.toBe('ERR_CACHE_TIMEOUT')
    const reading = store.get('k')
    expect(calls).toEqual(['set k'])
    await setting
    expect(text(await reading)).toBe('first')
  })

  test('increments that overlap do not wait longer for earlier calls either', async () => {
    const held = new Deferred<void>()
    const slow = wrapStore(referenceStore(), async (operation, call) => {
      if (operation === 'set') await held.promise
      return call()
    })
    const store = withKeyOrder(slow, { timeout: '20ms', overlap: ['increment'] })
    const setting = store.set('k', '5')
    const increments = await Promise.allSettled([store.increment('k', 1), store.increment('k', 1)])
    expect(increments).toMatchObject(
      Array(2).fill({ status: 'rejected', reason: { code: 'ERR_CACHE_TIMEOUT' } }),
    )
    const reading = store.get('k')
    held.resolve()
    await setting
    expect(text(await reading)).toBe('5')
    expect(await store.increment('k', 1)).toBe(6)
  })

  test('a call that fails does not stop those behind it, and nothing is left in memory', async () => {
    const failing = wrapStore(referenceStore(), async (operation, call) => {
      if (operation === 'set') throw new Error('unreachable')
      return call()
    })
    const store = withKeyOrder(failing)
    const setting = Promise.resolve(store.set('k', 'v')).catch((error) => error.message)
    expect(await Promise.all([setting, store.get('k')])).toEqual(['unreachable', undefined])
  })

  test('reads of a key that overlap without end leave nothing in memory', async () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const heapUsed = () => {
      // What a collection in progress has marked already is kept by the first one.
      collectGarbage()
      collectGarbage()
      return process.memoryUsage().heapUsed
    }
    const store = withKeyOrder(referenceStore({ async: true }))
    let reading = store.get('k')
    const before = heapUsed()
    for (let i = 0; i < 100_000; i++) {
      const next = store.get('k')
      await reading
      reading = next
    }
    expect(heapUsed() - before).toBeLessThan(2_000_000)
    await reading
  })

  test('close waits for the calls that wait for others, and later calls fail', async () => {
    const { store } = overtaking([20, 10, 0])
    const calls = [store.set('k', '1'), store.set('k', '2'), store.delete('k'), store.clear()]
    const closing = store.close()
    expect(() => store.get('k')).toThrow(expect.objectContaining({ code: 'ERR_CACHE_CLOSED' }))
    await closing
    expect(await Promise.all(calls)).toEqual([undefined, undefined, true, undefined])
  })

  test('the outcomes of a batch of which a part waited are those of its own keys', async () => {
    const failing = wrapStore(referenceStore({ async: true }), (operation, call, [first]) => {
      if (operation !== 'getMany' && operation !== 'setMany') return call()
      const keys = (first as (string | [string])[]).map((each) => [each].flat()[0] as string)
      if (!keys.includes('bad')) return call()
      throw new BatchError(keys.map((key) => outcomeFor(key)))
    })
    const store = withKeyOrder(failing as ByteStore)
    const keys = ['busy', 'a', 'bad', 'b']
    const expected = ['fulfilled', 'fulfilled', 'rejected', 'fulfilled']
    for (const call of [
      () => store.getMany(keys),
      () => store.setMany(keys.map((key) => [key, 'x'])),
    ]) {
      const writing = store.set('busy', '1')
      const error = await Promise.resolve(call()).catch((reason: unknown) => reason)
      expect((error as BatchError).outcomes.map(({ status }) => status)).toEqual(expected)
      await writing
    }
  })
})

function outcomeFor(key: string): PromiseSettledResult<unknown> {
  if (key !== 'bad') return { status: 'fulfilled', value: undefined }
  return { status: 'rejected', reason: new CacheError('ERR_CACHE_REJECTED', 'bad', { key }) }
}

describe('a write of every key', () => {
  /** Starts calls that end when they are told to, and records when each begins. */
  function setup() {
    const order = new KeyOrder()
    const begun: string[] = []
    const ends = new Map<string, Deferred<void>>()
    const call = (name: string) => () => {
      begun.push(name)
      const end = new Deferred<void>()
      ends.set(name, end)
      return end.promise
    }
    const end = async (...names: string[]) => {
      for (const name of names) ends.get(name)?.resolve()
      await new Promise((resolve) => setImmediate(resolve))
    }
    return { order, begun, call, end }
  }

  test('waits for all earlier calls, and all later calls wait for it', async () => {
    const { order, begun, call, end } = setup()
    const calls = [
      order.run(['a'], true, call('write a')),
      order.overlap('add', 'b', call('add b'), undefined),
      order.runForEveryKey(call('clear')),
      order.run(['a'], false, call('read a')),
      order.run(['c'], false, call('read c')),
      order.run(['c'], false, call('read c again')),
      order.overlap('add', 'd', call('add d'), undefined),
      order.run(['e', 'f'], true, call('write e and f')),
    ]
    expect(begun).toEqual(['write a', 'add b'])
    expect([order.has('z'), order.isBusy(['y', 'z'])]).toEqual([true, true])
    await end('write a')
    expect(begun).toHaveLength(2)
    await end('add b')
    expect(begun).toEqual(['write a', 'add b', 'clear'])
    await end('clear')
    expect(begun.slice(3).sort()).toEqual(
      ['add d', 'read a', 'read c', 'read c again', 'write e and f'].sort(),
    )
    await end(...begun)
    await Promise.all(calls)
    expect(order.isIdle).toBe(true)
  })

  test('of two, the second waits for the first, and for the calls between them', async () => {
    const { order, begun, call, end } = setup()
    order.runForEveryKey(call('first'))
    order.run(['a'], true, call('write a'))
    order.runForEveryKey(call('second'))
    order.run(['a'], false, call('read a'))
    for (const each of ['first', 'write a', 'second', 'read a']) {
      expect(begun.at(-1)).toBe(each)
      await end(each)
    }
    expect(order.isIdle).toBe(true)
  })

  test('does not delay a later write while reads of other keys overlap', async () => {
    const { order, begun, call, end } = setup()
    order.runForEveryKey(call('clear'))
    order.run(['a'], false, call('read 0'))
    await end('clear')
    order.run(['b'], true, call('write b'))
    for (let i = 1; i <= 3; i++) {
      order.run(['a'], false, call(`read ${i}`))
      await end(`read ${i - 1}`)
    }
    expect(begun).toContain('write b')
  })
})

test.each([
  [{ timeouts: 5 }, 'unknown option timeouts'],
  [{ timeout: '0ms' }, 'withKeyOrder: timeout must be between 1 ms and 24 days'],
  [{ overlap: ['set'] }, 'withKeyOrder: overlap must be one of add, increment, not set'],
])('the options %o are rejected', (options, message) => {
  expect(() => withKeyOrder(referenceStore(), options as never)).toThrow(message)
})
