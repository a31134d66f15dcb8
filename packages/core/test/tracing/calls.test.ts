import { AsyncLocalStorage } from 'node:async_hooks'
import type { TracingChannel } from 'node:diagnostics_channel'
import { Cache, type CallEvent, tracing } from '@stowage/core'
import type { StoreOperation } from '@stowage/core/driver'
import { expectMissing, getShared } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { Chaos, ManualClock, referenceStore, withChaos } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { eventsDuring } from '../remember/events.ts'
import { gate, settle, twoProcesses } from '../remember/two-processes.ts'
import { tracedDuring } from './published.ts'

/** Those of the store that calls of a cache use. */
const operations: readonly StoreOperation[] = [
  ...(['get', 'getMany', 'set', 'setMany', 'add', 'compareAndSet', 'increment'] as const),
  ...(['touch', 'delete', 'deleteMany', 'clear', 'scan', 'ping'] as const),
]
const fails = () => Promise.reject(new Error('the loader has failed'))

const keysOf = (event: unknown) => (event as CallEvent).keys

/** Each method, what it publishes after `set('hit')`, and whether the store is called. */
const methods: [string, (cache: Cache) => Promise<unknown>, object][] = [
  ['get', (cache) => cache.get('hit'), { outcome: 'hit', keys: ['hit'], hits: 1, bytes: 3 }],
  ['get', (cache) => cache.get('missing'), { outcome: 'miss', misses: 1, hits: 0 }],
  ['get', (cache) => cache.has('hit'), { outcome: 'hit' }],
  [
    'getMany',
    (cache) => cache.getMany(['hit', 'missing']),
    { outcome: 'miss', keys: ['hit', 'missing'], hits: 1, misses: 1 },
  ],
  ['set', (cache) => cache.set('k', 'four'), { outcome: 'done', keys: ['k'], bytes: 6 }],
  ['set', (cache) => cache.set('k', 1, { ttl: 0 }), { outcome: 'done' }],
  ['set', (cache) => cache.set('k', 1, { tags: ['t'] }), { outcome: 'done' }],
  [
    'setMany',
    (cache) => cache.setMany(new Map([['a', 1]]).entries()),
    { outcome: 'done', keys: ['a'], bytes: 1 },
  ],
  ['add', (cache) => cache.add('k', 1), { outcome: 'done' }],
  ['replace', (cache) => cache.replace('k', 1), { outcome: 'done' }],
  ['update', (cache) => cache.update('k', () => 1), { outcome: 'done' }],
  ['pull', (cache) => cache.pull('hit'), { outcome: 'hit' }],
  ['snapshot', (cache) => cache.snapshot('hit'), { outcome: 'hit' }],
  ['remember', (cache) => cache.remember('hit', {}, fails), { outcome: 'hit', bytes: 3 }],
  ['remember', (cache) => cache.remember('k', {}, () => 1), { outcome: 'miss' }],
  [
    'rememberMany',
    (cache) => cache.rememberMany(['hit', 'a', 'b'], {}, (keys) => keys.map(() => 1)),
    { outcome: 'miss', hits: 1, misses: 2 },
  ],
  ['expire', (cache) => cache.expire('hit'), { outcome: 'done' }],
  ['invalidateTags', (cache) => cache.invalidateTags(['a', 'b']), { keys: [] }],
  ['increment', (cache) => cache.increment('n'), { outcome: 'done' }],
  ['increment', (cache) => cache.decrement('n'), { outcome: 'done' }],
  ['touch', (cache) => cache.touch('hit', { ttl: '1h' }), { outcome: 'done' }],
  ['delete', (cache) => cache.delete('hit'), { outcome: 'done' }],
  ['deleteMany', (cache) => cache.deleteMany(['hit', 'b']), { keys: ['hit', 'b'] }],
  ['clear', (cache) => cache.clear(), { outcome: 'done', keys: [] }],
  ['ping', (cache) => cache.ping(), { outcome: 'done' }],
]

async function filled(chaos = new Chaos()): Promise<Cache> {
  const cache = new Cache(withChaos(referenceStore(), chaos), { name: 'pages', prefix: 'p:' })
  await cache.set('hit', 'x')
  return cache
}

describe('a call', () => {
  test.each(methods)('%s is published once, as %s does it', async (operation, call, expected) => {
    const cache = await filled()
    const events = await tracedDuring('cache', () => call(cache))
    expect(events).toHaveLength(1)
    expect(events).toMatchObject([{ cache: 'pages', store: 'reference', operation, ...expected }])
    expect(events[0]?.durationMs).toBeGreaterThan(0)
  })

  const rejecting = methods.filter(([operation]) => !operation.startsWith('remember'))

  test.each(rejecting)(
    '%s is published once if it fails, and its failure once',
    async (operation, call) => {
      const chaos = new Chaos()
      const cache = await filled(chaos)
      chaos.fail(operations)
      let calls: CallEvent[] = []
      const errors = await eventsDuring('stowage:error', async () => {
        calls = await tracedDuring('cache', () => expect(call(cache)).rejects.toThrow('reference'))
      })
      const error = expect.objectContaining({ code: 'ERR_CACHE_UNAVAILABLE' })
      expect(calls).toMatchObject([{ operation, outcome: 'error', error }])
      expect(errors).toMatchObject([{ cache: 'pages', operation, isRejected: true, error }])
    },
  )

  test('its failure is published if nobody subscribes to calls', async () => {
    const chaos = new Chaos()
    const cache = await filled(chaos)
    chaos.fail(operations)
    const errors = await eventsDuring('stowage:error', () => cache.get('k').catch(() => {}))
    expect(errors).toMatchObject([{ key: 'p:k', operation: 'get', isRejected: true }])
  })

  test('the failure of a list of keys is published', async () => {
    const chaos = new Chaos()
    const cache = await filled(chaos)
    chaos.fail(operations)
    const errors = await eventsDuring('stowage:error', () =>
      cache
        .keys()
        .next()
        .catch(() => {}),
    )
    expect(errors).toMatchObject([{ operation: 'keys', isRejected: true }])
  })

  test('of a library and of a snapshot is published', async () => {
    const cache = await filled()
    const events = await tracedDuring('cache', async () => {
      await getShared(cache, 'hit')
      await expectMissing<number>(cache, 'new').replace(1)
      const snapshot = await cache.snapshot('new')
      await snapshot.delete()
    })
    expect(events.map(({ operation, keys }) => [operation, keys[0]])).toEqual([
      ['get', 'hit'],
      ['replace', 'new'],
      ['snapshot', 'new'],
      ['delete', 'new'],
    ])
  })

  test('reaches subscribers in order: before it, when it has returned, and when it has settled', async () => {
    const cache = await filled()
    const order: string[] = []
    const names = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const
    const handlers = Object.fromEntries(names.map((name) => [name, () => order.push(name)]))
    tracing.cache.subscribe(handlers as never)
    try {
      await cache.get('hit')
      expect(order.splice(0)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd'])
      await cache.get('').catch(() => {})
      expect(order).toEqual(['start', 'end', 'error', 'asyncStart', 'asyncEnd'])
    } finally {
      tracing.cache.unsubscribe(handlers as never)
    }
  })

  test('runs in the context that a subscriber sets, as its loader does', async () => {
    const cache = await filled()
    let depth = 0
    const run = <T>(work: () => T): T => {
      depth++
      try {
        return work()
      } finally {
        depth--
      }
    }
    const start = (event: unknown) => {
      ;(event as { run: typeof run }).run = run
    }
    tracing.load.start.subscribe(start)
    try {
      expect(await cache.remember('k', {}, () => depth)).toBe(1)
    } finally {
      tracing.load.start.unsubscribe(start)
    }
  })

  test('runs in the stores that are bound to its beginning', async () => {
    const cache = await filled()
    const storage = new AsyncLocalStorage<unknown>()
    const channels = [tracing.cache, tracing.load] as unknown as TracingChannel<unknown>[]
    for (const { start } of channels) start.bindStore(storage, keysOf)
    try {
      const load = () => storage.getStore()
      expect(await cache.remember('a', {}, load)).toEqual(['a'])
      expect(await cache.rememberMany(['b', 'c'], {}, () => [load(), 'c'])).toEqual([
        ['b', 'c'],
        'c',
      ])
    } finally {
      for (const { start } of channels) start.unbindStore(storage)
    }
    expect(await cache.remember('d', {}, () => storage.getStore() ?? 'none')).toBe('none')
  })

  test('is the same with and without subscribers', async () => {
    const values = async (cache: Cache) => [
      await cache.get('hit'),
      getShared(cache, 'hit') instanceof Promise,
      await cache.getMany(['hit', 'a']),
      await cache.rememberMany(['hit', 'a'], {}, () => new Map([['a', 1]])),
      await cache.pull('a'),
    ]
    const create = async () => {
      const cache = new Cache(memory())
      await cache.set('hit', 'x')
      return cache
    }
    const expected = await values(await create())
    await tracedDuring('cache', async () => expect(await values(await create())).toEqual(expected))
  })
})

describe('remember', () => {
  const options = { ttl: '1m', staleWhileRevalidate: '1h' } as const

  test('counts a value that another call loads as shared', async () => {
    const cache = new Cache(memory())
    const loaded = gate<string>()
    const events = await tracedDuring('cache', async () => {
      const calls = [1, 2, 3].map(() => cache.remember('k', {}, () => loaded.opened))
      await settle()
      loaded.open('value')
      await Promise.all(calls)
    })
    expect(events.map(({ outcome }) => outcome).sort()).toEqual(['miss', 'shared', 'shared'])
  })

  test('counts a value that another process loads as shared, and publishes the wait', async () => {
    const { a, b, clock } = twoProcesses()
    const loaded = gate<string>()
    const first = a.remember('k', {}, () => loaded.opened)
    await settle()
    const waits = await eventsDuring('stowage:wait', async () => {
      const events = await tracedDuring('cache', async () => {
        const second = b.remember('k', {}, fails)
        await settle()
        loaded.open('value')
        await first
        await clock.advance(1_000)
        expect(await second).toBe('value')
      })
      expect(events).toContainEqual(expect.objectContaining({ outcome: 'shared' }))
    })
    expect(waits).toMatchObject([{ key: 'k', outcome: 'changed' }])
  })

  test('counts a stale value, and publishes it', async () => {
    const clock = new ManualClock()
    const cache = new Cache(memory({ clock }), { clock })
    await cache.remember('k', options, () => 'old')
    await clock.advance(90_000)
    const stale = await eventsDuring('stowage:stale', async () => {
      const events = await tracedDuring('cache', async () => {
        expect(await cache.remember('k', options, () => 'new')).toBe('old')
        await cache.rememberMany(['k'], options, () => ['new'])
      })
      expect(events[0]).toMatchObject({ outcome: 'stale', stale: 1 })
    })
    expect(stale).toContainEqual({ cache: 'memory', store: 'memory', key: 'k' })
  })

  test('counts the stale value that a caller receives after a failed load or its timeout', async () => {
    const clock = new ManualClock()
    const cache = new Cache(memory({ clock }), { clock })
    const stale = { ttl: '1m', staleIfError: '1h' } as const
    await cache.remember('k', stale, () => 'old')
    await clock.advance(90_000)
    const events = await tracedDuring('cache', async () => {
      expect(await cache.remember('k', { ...stale, backoff: 0 }, fails)).toBe('old')
      const loaded = gate<string>()
      const slow = { ...stale, timeout: 20 }
      expect(await cache.remember('k', slow, () => loaded.opened)).toBe('old')
      loaded.open('new')
      await settle()
    })
    expect(events.map(({ outcome }) => outcome)).toEqual(['stale', 'stale'])
    expect(events.map((event) => event.stale + event.misses)).toEqual([1, 1])
  })

  test('publishes a failed load as the failure of the call, but no caller that gives up', async () => {
    const cache = new Cache(memory())
    const errors = await eventsDuring('stowage:error', async () => {
      const events = await tracedDuring('cache', async () => {
        await cache.remember('k', { backoff: 0 }, fails).catch(() => {})
        const signal = AbortSignal.abort(new Error('gone'))
        await cache.remember('k', { signal }, fails).catch(() => {})
        await cache.rememberMany(['k'], { signal }, fails).catch(() => {})
      })
      expect(events.map(({ outcome }) => outcome)).toEqual(['error', 'aborted', 'aborted'])
    })
    expect(errors).toMatchObject([{ operation: 'remember', isRejected: true }])
  })

  test('publishes loads: one for all keys of rememberMany', async () => {
    const cache = new Cache(memory(), { name: 'pages' })
    const events = await tracedDuring('load', async () => {
      await cache.remember('a', {}, () => 1)
      await cache.rememberMany(['a', 'b', 'c'], {}, (keys) => keys.map(() => 1))
      await cache.remember('d', { backoff: 0 }, fails).catch(() => {})
    })
    const load = { cache: 'pages', store: 'memory', background: false }
    expect(events).toMatchObject([
      { ...load, keys: ['a'] },
      { ...load, keys: ['b', 'c'] },
      { ...load, keys: ['d'], error: { message: 'the loader has failed' } },
    ])
  })
})
