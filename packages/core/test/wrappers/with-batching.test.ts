import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  type Awaitable,
  type BatchingOptions,
  CacheError,
  withBatching,
  withTimeout,
} from '@stowage/core'
import { type StoreOperation, wrapStore } from '@stowage/core/driver'
import { variantGroups } from '@stowage/test-servers'
import {
  Chaos,
  conform,
  ManualClock,
  referenceStore,
  type StoredItem,
  withChaos,
} from '@stowage/testing'
import { describe, expect, test } from 'vitest'

/** The full tier has all of them. */
const overlapGroups = variantGroups && ([...variantGroups, 'order', 'sharing'] as const)

const limits = { keyBytes: 250, valueBytes: 100, ttlStep: 1 }

/** Returns a batching store, and the calls that reached the wrapped store, such as `getMany a,b`. */
function setup(options: BatchingOptions = {}, chaos = new Chaos()) {
  const calls: string[] = []
  const inner = withChaos(referenceStore({ async: true, limits }), chaos)
  const recorded = wrapStore(inner, (operation, call, [first]) => {
    calls.push(`${operation} ${keysOf(operation, first)}`.trim())
    return call()
  })
  return { store: withBatching(recorded, options), calls, chaos }
}

function keysOf(operation: StoreOperation, first: unknown): string {
  if (operation === 'setMany') return (first as [string, unknown][]).map(([key]) => key).join()
  return String(first ?? '')
}

describe.each<BatchingOptions>([{}, { overlap: true }])(
  'conforms to the contract with %o',
  (options) => {
    const clock = new ManualClock()
    const time = { wait: (ms: number) => clock.advance(ms), exact: true }
    const backend = { clock, async: true, items: new Map<string, StoredItem>() }
    conform(test, () => withBatching(referenceStore(backend), options), {
      ...time,
      sharedBackend: true,
      groups: options.overlap ? overlapGroups : undefined,
    })

    const chaos = new Chaos()
    const breakable = () => withTimeout(withChaos(referenceStore(backend), chaos), '100ms')
    conform(test, () => withBatching(breakable(), options), {
      ...time,
      groups: ['outage'],
      breakBackend: () => chaos.failAll(),
      restoreBackend: () => chaos.reset(),
      deadlineMs: 500,
    })
  },
)

describe('many gets with overlap', () => {
  const names = Array.from({ length: 40 }, (_, i) => `k${i}`)
  const sizes = (calls: string[]) => calls.map((call) => call.split(',').length)

  test('are sent in two batches, and each returns its own value', async () => {
    const { store, calls } = setup({ overlap: true })
    await store.setMany(names.map((name) => [name, name]))
    calls.length = 0
    const found = await Promise.all([...names, 'k39', 'k0'].map((name) => store.get(name)))
    expect(found.map(String)).toEqual([...names, 'k39', 'k0'])
    expect(sizes(calls)).toEqual([20, 20])
  })

  test('are one batch if few; gets made before the second batch is sent are spread over both', async () => {
    const { store, calls } = setup({ overlap: true })
    await Promise.all(names.slice(0, 16).map((name) => store.get(name)))
    const all = names.map((name) => store.get(name))
    await Promise.resolve()
    expect(sizes(calls)).toEqual([16])
    await nextTurn()
    const more = names.map((name) => store.get(`more ${name}`))
    await Promise.all([...all, ...more])
    expect(sizes(calls)).toEqual([16, 20, 30, 30])
  })

  test('are all sent before the operations that follow them', async () => {
    const { store, calls } = setup({ overlap: true })
    const reads = names.map((name) => store.get(name))
    await store.delete('k39')
    await Promise.all(reads)
    expect(sizes(calls)).toEqual([20, 20, 1])
  })
})

describe('gets', () => {
  test('of one tick become one getMany without repeated keys', async () => {
    const { store, calls } = setup()
    await store.set('a', '1')
    calls.length = 0
    const found = await Promise.all(['a', 'b', 'a'].map((key) => store.get(key)))
    expect(calls).toEqual(['getMany a,b'])
    expect(found.map((item) => item && String(item))).toEqual(['1', undefined, '1'])
  })

  test('made by promise reactions of the same tick are in the same batch', async () => {
    const { store, calls } = setup()
    await Promise.all([store.get('a'), Promise.resolve().then(() => store.get('b'))])
    expect(calls).toEqual(['getMany a,b'])
  })

  test('a single get is passed on unchanged', async () => {
    const { store, calls } = setup()
    await store.get('a')
    await nextTurn()
    await store.get('b')
    expect(calls).toEqual(['get a', 'get b'])
  })

  test('a full batch is sent immediately', async () => {
    const { store, calls } = setup({ maxKeys: 2 })
    await Promise.all(['a', 'b', 'c'].map((key) => store.get(key)))
    expect(calls).toEqual(['getMany a,b', 'get c'])
  })

  test('a failure rejects every get of the batch, but none of the next batch', async () => {
    const { store, chaos } = setup()
    chaos.fail('getMany', { times: 1 })
    const outcomes = await Promise.allSettled([store.get('a'), store.get('b')])
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(await Promise.all([store.get('a'), store.get('b')])).toEqual([undefined, undefined])
  })
})

describe('sets', () => {
  test('of one tick become one setMany per ttl', async () => {
    const { store, calls } = setup()
    await Promise.all([store.set('a', '1', 10), store.set('b', '2'), store.set('c', '3', 10)])
    expect(calls).toEqual(['setMany a,c', 'set b'])
  })

  test('with many different ttls are sent before the tick ends, so that few are searched for a key', async () => {
    const { store, calls } = setup()
    const ttls = Array.from({ length: 100 }, (_, index) => 60_000 + index)
    const sets = ttls.map((ttl) => store.set(`k${ttl}`, 'x', ttl))
    expect(calls.length).toBeGreaterThan(80)
    await Promise.all(sets)
    expect(calls).toEqual(ttls.map((ttl) => `set k${ttl}`))
  })

  test('of one key store the last value, also with another ttl', async () => {
    const { store } = setup()
    await Promise.all([
      store.set('a', '1', 60_000),
      store.set('b', '1', 60_000),
      store.set('a', '2'),
    ])
    expect(String(await store.get('a'))).toBe('2')
    await Promise.all([store.set('a', '3'), store.set('a', '4')])
    expect(String(await store.get('a'))).toBe('4')
  })

  test('a value that is too large fails without the others', async () => {
    const { store } = setup()
    const outcomes = await Promise.allSettled([
      store.set('a', '1'),
      store.set('b', 'x'.repeat(101)),
      store.set('c', '3'),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(CacheError.is((outcomes[1] as PromiseRejectedResult).reason)).toBe(true)
  })

  test('are not batched if maxSetBytes is 0', async () => {
    const { store, calls } = setup({ maxSetBytes: 0 })
    await Promise.all([store.set('a', '1'), store.set('b', '2')])
    expect(calls).toEqual(['set a', 'set b'])
  })
})

describe('order', () => {
  test('a get returns the value of the set before it, not of the one after it', async () => {
    const { store } = setup()
    const firstSet = store.set('a', 'new')
    const getAfterSet = store.get('a')
    expect(String(await getAfterSet)).toBe('new')
    await firstSet
    const getBeforeSet = store.get('a')
    await Promise.all([store.set('a', 'newer'), getBeforeSet])
    expect(String(await getBeforeSet)).toBe('new')
  })

  test('a get between two sets returns the first value', async () => {
    const { store } = setup()
    const calls = [store.set('a', '1'), store.get('a'), store.set('a', '2'), store.get('a')]
    const [, first, , second] = await Promise.all(calls)
    expect([first, second].map(String)).toEqual(['1', '2'])
  })

  test('an operation on a key is sent after the calls for this key, and waits for no others', async () => {
    const { store, calls } = setup()
    const pending = [store.set('a', '1'), store.get('b'), store.set('c', '3')]
    expect(await store.delete('a')).toBe(true)
    await Promise.all(pending)
    expect(calls).toEqual(['setMany a,c', 'delete a', 'get b'])
  })

  test('an operation on the whole store is sent after all calls before it', async () => {
    const { store, calls } = setup()
    const pending = [store.set('a', '1'), store.get('b')]
    await store.clear()
    await Promise.all(pending)
    expect(calls).toEqual(['set a', 'get b', 'clear'])
  })
})

describe('reads with options', () => {
  test('are merged with those that have the same consistency', async () => {
    const { store, calls } = setup()
    const strong = { consistency: 'strong' } as const
    await Promise.all([
      store.get('a', strong),
      store.get('b'),
      store.get('c', strong),
      store.get('d', { consistency: 'eventual' }),
    ])
    expect(calls.sort()).toEqual(['get b', 'get d', 'getMany a,c'])
  })
})

describe('getMany', () => {
  test('is merged with the reads of the turn, and each key is read once', async () => {
    const { store, calls } = setup()
    await store.setMany([
      ['a', '1'],
      ['b', '2'],
    ])
    calls.length = 0
    const [list, single, other] = await Promise.all([
      store.getMany(['b', 'x', 'b']),
      store.get('a'),
      store.getMany(['a', 'b']),
    ])
    expect(calls).toEqual(['getMany b,x,a'])
    expect(list.map((item) => item && String(item))).toEqual(['2', undefined, '2'])
    expect(String(single)).toBe('1')
    expect(other.map(String)).toEqual(['1', '2'])
  })

  test('is passed on unchanged if it stays alone, or has more keys than a batch', async () => {
    const { store, calls } = setup({ maxKeys: 2 })
    await store.getMany(['a', 'a'])
    await Promise.all([store.getMany(['a', 'b', 'c']), store.get('a')])
    expect(calls).toEqual(['getMany a,a', 'getMany a,b,c', 'get a'])
  })

  test('of no keys resolves to an empty array', async () => {
    expect(await setup().store.getMany([])).toEqual([])
  })
})

describe('a turn of the event loop', () => {
  test('with several callbacks has one batch while other calls are in flight', async () => {
    const { store, calls, chaos } = setup()
    chaos.hang('get', { times: 1 })
    const first = store.get('a')
    await new Promise((resolve) => process.nextTick(resolve))
    expect(calls).toEqual(['get a'])
    // Two callbacks of one phase, as for the sockets that one poll has found readable.
    const both = ['b', 'c'].map(
      (key) => new Promise((resolve) => setImmediate(() => resolve(store.get(key)))),
    )
    await Promise.all(both)
    chaos.reset()
    await first
    expect(calls).toEqual(['get a', 'getMany b,c'])
  })

  test('does not delay a single call in an idle process', async () => {
    const { store, calls } = setup()
    store.get('a')
    await new Promise((resolve) => process.nextTick(resolve))
    expect(calls).toEqual(['get a'])
  })

  type BatchingStore = ReturnType<typeof setup>['store']
  const oneAfterAnother: Record<string, (store: BatchingStore) => Awaitable<unknown>> = {
    'get a': (store) => store.get('a'),
    'getMany a,b': (store) => store.getMany(['a', 'b']),
    'set a': (store) => store.set('a', 'v'),
  }
  test.each(Object.entries(oneAfterAnother))(
    'does not delay %s after the reply to another',
    async (name, call) => {
      const { store, calls } = setup()
      await call(store)
      const second = call(store)
      await new Promise((resolve) => process.nextTick(resolve))
      expect(calls).toEqual([name, name])
      await second
    },
  )

  test('does not delay several calls of one callback in an idle process, as of an entry and its tag', async () => {
    const { store, calls } = setup()
    for (let i = 0; i < 3; i++) {
      const results = [store.get('a'), store.get('b')]
      await new Promise((resolve) => process.nextTick(resolve))
      expect(calls).toEqual(Array(i + 1).fill('getMany a,b'))
      await Promise.all(results)
    }
  })

  test('has one batch in an idle process if the batch before had calls of several callbacks', async () => {
    const { store, calls, chaos } = setup()
    const callbacks = (keys: readonly string[]) =>
      keys.map((key) => new Promise((resolve) => setImmediate(() => resolve(store.get(key)))))
    chaos.hang('get', { times: 1 })
    const first = store.get('a')
    await new Promise((resolve) => process.nextTick(resolve))
    await Promise.all(callbacks(['b', 'c']))
    chaos.reset()
    await first
    calls.length = 0
    await Promise.all(callbacks(['a', 'b', 'c']))
    expect(calls).toEqual(['getMany a,b,c'])
  })

  describe.each(['in an idle process', 'while another call is in flight'])('%s', (situation) => {
    const context = new AsyncLocalStorage<string>()

    /** Makes calls of four batches in one callback. Returns what happened then. */
    async function fourBatches() {
      const seen: (string | undefined)[] = []
      const chaos = new Chaos()
      const recorded = wrapStore(withChaos(referenceStore({ async: true }), chaos), (_, call) => {
        seen.push(context.getStore())
        process.nextTick(() => seen.push('next tick'))
        return call()
      })
      const store = withBatching(recorded)
      chaos.hang('get', { times: situation === 'in an idle process' ? 0 : 1 })
      const inFlight = store.get('in flight')
      await nextTurn()
      seen.length = 0
      const results = [
        context.run('request 1', () => store.get('a')),
        context.run('request 2', () => store.get('a', { consistency: 'strong' })),
        context.run('request 3', () => store.set('b', '1')),
        context.run('request 4', () => store.set('c', '1', 1_000)),
      ]
      await Promise.all(results)
      chaos.reset()
      await inFlight
      return seen
    }

    test('sends each batch in the asynchronous context of its first call', async () => {
      const requests = (await fourBatches()).filter((entry) => entry !== 'next tick')
      expect(requests).toEqual(['request 1', 'request 2', 'request 3', 'request 4'])
    })

    test('sends all batches before anything else runs, so that they share a write', async () => {
      expect((await fourBatches()).slice(0, 5)).toEqual([
        'request 1',
        'request 2',
        'request 3',
        'request 4',
        'next tick',
      ])
    })
  })
})

test.each([
  [{ maxKey: 5 }, 'unknown option maxKey'],
  [{ maxKeys: 0 }, 'withBatching: maxKeys must be a whole number of at least 1'],
  [{ maxKeys: '5' }, "not '5'"],
  [{ maxSetBytes: -1 }, 'withBatching: maxSetBytes must be a whole number of at least 0'],
])('the options %o are rejected', (options, message) => {
  expect(() => withBatching(referenceStore(), options as never)).toThrow(message)
  expect(() =>
    withBatching(referenceStore(), { maxKeys: 1, maxSetBytes: 0, overlap: true }),
  ).not.toThrow()
})
