import { Cache, type Change, type ChangeOptions, nullStore } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { gate, settle, twoProcesses } from '../remember/two-processes.ts'

const load = () => 'loaded'
const dayMs = 86_400_000

/** Begins a change whose mark nothing renews. */
function changeForever(cache: Cache, what: ChangeOptions): void {
  vi.useFakeTimers({ toFake: ['setInterval'] })
  void cache.changing(what, () => new Promise(() => {}))
  vi.useRealTimers()
}

describe('while a key is changed', () => {
  test('every read is a miss, in all processes', async () => {
    const { a, b } = twoProcesses()
    await a.set('k', 'old')
    await a.changing({ keys: ['k'] }, async () => {
      for (const cache of [a, b]) {
        expect(await cache.get('k')).toBeUndefined()
        expect(await cache.getMany(['k'])).toEqual([undefined])
        expect(await cache.has('k')).toBe(false)
        expect((await cache.snapshot('k')).value).toBeUndefined()
        expect(await cache.pull('k')).toBeUndefined()
        expect(await cache.replace('k', 'new')).toBe(false)
        expect(await cache.expire('k')).toBe(false)
      }
    })
    expect(await b.get('k')).toBeUndefined()
  })

  test('loaded values are returned and not stored', async () => {
    const { a, b, backend } = twoProcesses()
    await a.changing({ keys: ['k', 'l'] }, async () => {
      for (const cache of [a, b]) {
        expect(await cache.remember('k', {}, load)).toBe('loaded')
        expect(await cache.rememberMany(['k', 'l'], {}, (keys) => keys.map(load))).toEqual([
          'loaded',
          'loaded',
        ])
        expect(await cache.get('k')).toBeUndefined()
      }
    })
    expect(await backend.get('k')).toBeUndefined()
    await b.remember('k', {}, load)
    expect(await a.get('k')).toBe('loaded')
  })

  test('each process loads for itself', async () => {
    const { a, b } = twoProcesses()
    const loading = gate<string>()
    await a.changing({ keys: ['k'] }, async () => {
      const slow = a.remember('k', {}, () => loading.opened)
      await settle()
      expect(await b.remember('k', {}, load)).toBe('loaded')
      loading.open('slow')
      expect(await slow).toBe('slow')
    })
  })

  test('a caller does not receive what another one loads since before', async () => {
    const { a } = twoProcesses()
    const loading = gate<string>()
    await a.changing({ keys: ['k'] }, async () => {
      const early = a.remember('k', {}, () => loading.opened)
      await settle()
      const late = a.remember('k', {}, () => 'new') // after the commit
      await settle()
      loading.open('old')
      expect(await early).toBe('old')
      expect(await late).toBe('new')
    })
  })

  test('stale values are not returned', async () => {
    const { a, b, clock } = twoProcesses()
    const options = { ttl: 1_000, staleWhileRevalidate: '1h', staleIfError: '1h' } as const
    await a.remember('k', options, () => 'old')
    await clock.advance(2_000)
    await a.changing({ keys: ['k'] }, async () => {
      expect(await b.remember('k', options, () => 'new')).toBe('new')
      const failing = b.remember('k', options, () => Promise.reject(new Error('down')))
      await expect(failing).rejects.toThrow('down')
    })
  })

  test('add and the replacement of a snapshot are refused', async () => {
    const { a, b } = twoProcesses()
    const before = await b.snapshot('k')
    await a.changing({ keys: ['k'] }, async () => {
      expect(await b.add('k', 'old')).toBe(false)
      expect(await before.replace('old')).toBe(false)
      expect(await (await b.snapshot('k')).replace('old')).toBe(false)
    })
    expect(await b.add('k', 'new')).toBe(true)
  })

  test('what set stores is deleted at the end', async () => {
    const { a, b } = twoProcesses()
    await a.changing({ keys: ['k'] }, () => b.set('k', 'old'))
    expect(await b.get('k')).toBeUndefined()
  })
})

describe('a load that began before', () => {
  test('is not stored, with a lease', async () => {
    const { a, b } = twoProcesses()
    const loading = gate<string>()
    const call = b.remember('k', {}, () => loading.opened)
    await settle()
    await a.changing({ keys: ['k'] }, async () => {
      loading.open('old')
      expect(await call).toBe('old')
    })
    expect(await b.get('k')).toBeUndefined()
  })

  test('and ends after the change is not stored either', async () => {
    for (const cacheOf of [twoProcesses, localCaches]) {
      const { a, b } = cacheOf()
      const loading = gate<string>()
      const call = b.remember('k', { tags: ['t'] }, () => loading.opened)
      await settle()
      await a.changing({ keys: ['k'] }, () => {})
      loading.open('old')
      await call
      expect(await b.get('k')).toBeUndefined()
    }
  })

  test('a refresh in the background is not stored', async () => {
    const { a, b, clock } = twoProcesses()
    const options = { ttl: 1_000, staleWhileRevalidate: '1h' } as const
    await b.remember('k', options, () => 'old')
    await clock.advance(2_000)
    const loading = gate<string>()
    expect(await b.remember('k', options, () => loading.opened)).toBe('old')
    await settle()
    await a.changing({ keys: ['k'] }, () => {})
    loading.open('old')
    await settle()
    expect(await b.get('k')).toBeUndefined()
  })
})

describe('while a tag is changed', () => {
  test('entries with it are misses, in all namespaces, and none is stored', async () => {
    const { a, b } = twoProcesses()
    const inner = b.namespace('ns')
    await inner.set('k', 'old', { tags: ['t'] })
    await a.changing({ tags: ['t'] }, async () => {
      expect(await inner.get('k')).toBeUndefined()
      expect(await inner.remember('k', { tags: ['t'] }, load)).toBe('loaded')
      expect(await inner.get('k')).toBeUndefined()
      await b.set('other', 'old', { tags: ['t'] })
      expect(await b.get('other')).toBeUndefined()
    })
    expect(await inner.get('k')).toBeUndefined()
    expect(await b.get('other')).toBeUndefined()
    await inner.remember('k', { tags: ['t'] }, load)
    expect(await inner.get('k')).toBe('loaded')
  })

  test('a value is not stored whose tag becomes known during its load', async () => {
    const { a, b, backend } = twoProcesses()
    await a.changing({ tags: ['t'] }, async () => {
      await b.remember('k', {}, (context) => {
        context.addTags('t')
        return 'old'
      })
      await b.remember('l', { tags: () => ['t'] }, () => 'old')
      expect(await backend.getMany(['k', 'l'])).toEqual([undefined, undefined])
    })
    expect(await b.getMany(['k', 'l'])).toEqual([undefined, undefined])
  })

  test('a write does not extend its mark', async () => {
    const { a, b, writes } = twoProcesses()
    await a.changing({ tags: ['t'] }, async () => {
      await b.set('k', 'old', { tags: ['t'] })
      await settle()
      expect(writes).not.toContain('touch')
    })
  })

  test('a load that began before, and learns of the tag afterwards, is not stored', async () => {
    const { a, b } = twoProcesses()
    const loading = gate<string>()
    const call = b.remember('k', { tags: () => ['t'] }, () => loading.opened)
    await settle()
    await a.changing({ tags: ['t'] }, () => {})
    loading.open('old')
    await call
    expect(await b.get('k')).toBeUndefined()
  })

  test('a load that began before is not stored', async () => {
    const { a, b } = twoProcesses()
    const loading = gate<string>()
    const call = b.remember('k', { tags: ['t'] }, () => loading.opened)
    await settle()
    await a.changing({ tags: ['t'] }, () => {})
    loading.open('old')
    await call
    expect(await b.get('k')).toBeUndefined()
  })

  test('it may be invalidated, by a change that fails as well', async () => {
    const { a, b } = twoProcesses()
    await b.set('k', 'old', { tags: ['t'] })
    const change = a.changing({ tags: ['t'] }, async () => {
      await b.invalidateTags('t')
      await b.invalidateTags('t', { stale: true })
      await b.remember('k', { tags: ['t'] }, load)
      expect(await b.get('k')).toBeUndefined()
      throw new Error('rolled back')
    })
    await expect(change).rejects.toThrow('rolled back')
    expect(await b.get('k')).toBeUndefined()
  })
})

describe('overlapping changes of one name', () => {
  test.each([
    ['key', { keys: ['k'] }],
    ['tag', { tags: ['t'] }],
  ])('the last one ends the mark of a %s', async (_, what) => {
    const { a, b } = twoProcesses()
    const [first, second] = [gate(), gate()]
    const remember = () => b.remember('k', { tags: ['t'] }, load)
    const changes = [a.changing(what, () => first.opened), b.changing(what, () => second.opened)]
    await settle()
    first.open()
    await changes[0]
    await remember()
    expect(await b.get('k')).toBeUndefined()
    second.open()
    await changes[1]
    await remember()
    expect(await b.get('k')).toBe('loaded')
  })

  test('many changes of one process do not refuse each other', async () => {
    const { a } = twoProcesses()
    vi.spyOn(a.clock, 'sleep').mockImplementation(() => new Promise((done) => setImmediate(done)))
    const change = () => a.changing({ keys: ['k'], tags: ['t'] }, () => settle())
    await Promise.all(Array.from({ length: 30 }, change))
    await a.remember('k', { tags: ['t'] }, load)
    expect(await a.get('k')).toBe('loaded')
  })

  test('a change inside of a change', async () => {
    const { a, b } = twoProcesses()
    const what = { keys: ['k'], tags: ['t'] }
    await a.changing(what, async () => {
      await a.changing(what, () => {})
      await b.remember('k', { tags: ['t'] }, load)
      expect(await b.get('k')).toBeUndefined()
    })
    await b.remember('k', { tags: ['t'] }, load)
    expect(await b.get('k')).toBe('loaded')
  })
})

test('a longer change of the process does not hold the mark of a shorter one before it is written', async () => {
  const { clock, backend } = twoProcesses()
  let isFrozen = false
  const store = wrapStore(backend, (_, call) => (isFrozen ? new Promise(() => {}) : call()))
  const cache = new Cache(store, { clock })
  vi.useFakeTimers({ toFake: ['setInterval'] }) // No renewal.
  let shorter: Change | undefined
  void cache.changing({ keys: ['k'], for: '10s' }, (change) => {
    shorter = change
    return new Promise(() => {})
  })
  await settle()
  isFrozen = true
  void cache.changing({ keys: ['k'], for: '60s' }, () => {})
  await settle()
  vi.useRealTimers()
  expect(() => shorter?.assertHeld()).not.toThrow()
  await clock.advance(11_000)
  expect(() => shorter?.assertHeld()).toThrow('a mark could not be renewed in time')
})

describe('a process that ends during its change', () => {
  afterEach(() => vi.restoreAllMocks())

  test('leaves marks that expire', async () => {
    const { a, b, clock } = twoProcesses()
    changeForever(a, { keys: ['k'], tags: ['t'], for: '10s' })
    await settle()
    await clock.advance(9_000)
    await b.remember('k', { tags: ['t'] }, load)
    expect(await b.get('k')).toBeUndefined()
    await clock.advance(2_000)
    await b.remember('k', {}, load)
    expect(await b.get('k')).toBe('loaded')
    await clock.advance(10_000)
    await b.remember('k2', { tags: ['t'] }, load)
    expect(await b.get('k2')).toBe('loaded')
  })

  test.each([8_000, 11_000, 21_000])(
    'leaves no tag that a load which has begun before takes as unchanged after %i ms',
    async (ms) => {
      const { a, b, clock } = twoProcesses()
      // The time that the load takes.
      vi.spyOn(performance, 'now').mockImplementation(() => clock.now())
      changeForever(a, { tags: ['t'], for: '10s' })
      await settle()
      const options = { lease: '1h', tags: () => ['t'] } as const
      const loading = gate()
      const remembered = b.remember('k', options, async () => {
        await loading.opened
        return 'of before the change'
      })
      await settle()
      await clock.advance(ms)
      loading.open()
      await remembered
      expect(await b.get('k')).toBeUndefined()
      await clock.advance(21_000 - ms)
      await b.remember('k', { tags: () => ['t'] }, load)
      expect(await b.get('k')).toBe('loaded')
    },
  )

  test('leaves marks that end although touch extends them', async () => {
    const { a, b, backend, clock } = twoProcesses()
    changeForever(a, { keys: ['k'], tags: ['t'], for: '10s' })
    await settle()
    await b.touch('k', { ttl: '1h' })
    await backend.touch('~tag:t', 3_600_000)
    await clock.advance(25_000)
    await b.remember('k', { tags: ['t'] }, load)
    expect(await b.get('k')).toBe('loaded')
  })

  test('leaves the mark of a tag for a day longer than the change may take', async () => {
    const { a, backend, clock } = twoProcesses()
    changeForever(a, { tags: ['t'], for: '2d' })
    await settle()
    await clock.advance(3 * dayMs - 1)
    expect(await backend.get('~tag:t')).toBeDefined()
    await clock.advance(1)
    expect(await backend.get('~tag:t')).toBeUndefined()
  })

  test('leaves a mark that one of several processes replaces at its end', async () => {
    const { a, b, backend, clock } = twoProcesses()
    changeForever(a, { tags: ['t'], for: '10s' })
    await settle()
    const end = Number(/\.(\d+)$/.exec(String(await backend.get('~tag:t')))?.[1])
    await clock.advance(end - clock.now())
    const store = wrapStore(backend, async (operation, call, args) => {
      if (operation === 'compareAndSet' && args[0] === '~tag:t')
        await b.remember('k', { tags: ['t'] }, load)
      return call()
    })
    await new Cache(store, { clock }).remember('l', { tags: ['t'] }, load)
    expect(await b.getMany(['k', 'l'])).toEqual(['loaded', 'loaded'])
  })

  test('leaves a mark whose end a process sees that has to read the clock of the backend', async () => {
    const { a, backend, clock } = twoProcesses()
    changeForever(a, { tags: ['t'], for: '10s' })
    await settle()
    await clock.advance(25_000)
    const store = wrapStore(backend, (_operation, call) => call())
    store.time = async () => clock.now()
    const cache = new Cache(store, { clock })
    for (let call = 0; call < 2; call++) await cache.remember('k', { tags: ['t'] }, load)
    expect(await cache.get('k')).toBe('loaded')
  })

  test('does not keep a key marked that others change again and again', async () => {
    const { a, b, clock } = twoProcesses()
    changeForever(a, { keys: ['k'], for: '10s' })
    await settle()
    for (let count = 0; count < 5; count++) {
      await b.changing({ keys: ['k'], for: '10s' }, () => clock.advance(5_000))
    }
    await b.remember('k', {}, load)
    expect(await b.get('k')).toBe('loaded')
  })
})

describe('a mark', () => {
  test('is renewed while the work runs', async () => {
    const { a, b, clock } = twoProcesses()
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const work = gate()
    const what = { keys: ['k'], tags: ['t'], for: '9s' } as const
    const change = a.changing(what, () => work.opened)
    await settle()
    for (let count = 0; count < 5; count++) {
      await clock.advance(3_000)
      vi.advanceTimersByTime(3_000)
      await settle()
    }
    await b.remember('k', { tags: ['t'] }, load)
    expect(await b.get('k')).toBeUndefined()
    work.open()
    await change
    expect(vi.getTimerCount()).toBe(0)
    vi.useRealTimers()
  })

  test('that was lost is stored again by the renewal', async () => {
    const { a, b } = twoProcesses({ prefix: 'app:' })
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    await a.changing({ keys: ['k'], for: '9s' }, async () => {
      await b.clear()
      await b.remember('k', {}, load)
      expect(await b.get('k')).toBe('loaded')
      vi.advanceTimersByTime(3_000)
      await settle()
      expect(await b.get('k')).toBeUndefined()
    })
    vi.useRealTimers()
  })

  test('that was lost is followed by a delete at the end', async () => {
    for (const cacheOf of [twoProcesses, localCaches]) {
      const { a, b } = cacheOf({ prefix: 'app:' })
      const loading = gate<string>()
      let loads: Promise<unknown> | undefined
      await a.changing({ keys: ['k', 'l'], tags: ['t'] }, async () => {
        await b.clear()
        await b.remember('k', {}, load)
        loads = b.remember('l', {}, () => loading.opened)
        await settle()
      })
      expect(await b.get('k')).toBeUndefined()
      loading.open('old')
      await loads
      expect(await b.get('l')).toBeUndefined()
    }
  })

  test('that was lost is stored again when one of several changes of the process ends', async () => {
    const { a, b } = twoProcesses()
    const ends = gate<void>()
    let value = 'old'
    const other = a.changing({ keys: ['k'] }, () => ends.opened)
    await a.changing({ keys: ['k'] }, async () => {
      await b.clear()
      await b.remember('k', {}, () => value)
      value = 'new'
    })
    expect(await b.remember('k', {}, () => value)).toBe('new')
    ends.open()
    await other
    expect(await b.remember('k', {}, () => value)).toBe('new')
  })

  test('is certain until it may have expired', async () => {
    const { a, clock } = twoProcesses()
    await a.changing({ keys: ['k'], for: '10s' }, async (change) => {
      change.assertHeld()
      await clock.advance(5_000)
      change.assertHeld()
      await clock.advance(1_000)
      expect(() => change.assertHeld()).toThrow(
        expect.objectContaining({ code: 'ERR_CACHE_TIMEOUT', retryable: true }),
      )
    })
  })
})

describe('the work', () => {
  test('returns the result of changing', async () => {
    const { a } = twoProcesses()
    expect(await a.changing({ keys: ['k'] }, () => 7)).toBe(7)
    expect(await a.changing(async () => 8)).toBe(8)
  })

  test('may throw synchronously', async () => {
    const { a, backend } = twoProcesses()
    const fail = () => {
      throw new Error('failed')
    }
    await expect(a.changing({ keys: ['k'] }, fail)).rejects.toThrow('failed')
    expect(await backend.get('k')).toBeUndefined()
  })

  test('marks what it changes', async () => {
    const { a, b } = twoProcesses()
    await b.setMany([
      ['k', 'old'],
      ['l', 'old'],
    ])
    await a.changing(async (change) => {
      await Promise.all([change.mark({ keys: ['k', 'k'] }), change.mark({ keys: ['k', 'l'] })])
      expect(await b.getMany(['k', 'l'])).toEqual([undefined, undefined])
    })
    await b.rememberMany(['k', 'l'], {}, (keys) => keys.map(load))
    expect(await b.getMany(['k', 'l'])).toEqual(['loaded', 'loaded'])
  })

  test('cannot mark anything when it has ended', async () => {
    const { a } = twoProcesses()
    const change = await a.changing((each) => each)
    await expect(change.mark({ keys: ['k'] })).rejects.toThrow('has ended')
  })

  test('of a namespace has the keys of the namespace', async () => {
    const { a, b } = twoProcesses()
    await b.namespace('ns').set('k', 1)
    await b.set('k', 2)
    await a.namespace('ns').changing({ keys: ['k'] }, async () => {
      expect(await b.namespace('ns').get('k')).toBeUndefined()
      expect(await b.get('k')).toBe(2)
    })
  })
})

describe('close()', () => {
  /** Begins a change, and calls `close()` during its work. `left` is what the store has when it is closed. */
  async function closeDuring(work: Promise<void>) {
    const inner = memory()
    const left: unknown[] = []
    const store = wrapStore(inner, (operation, call) => {
      if (operation === 'close') left.push(inner.get('k'))
      return call()
    })
    const cache = new Cache(store)
    const change = cache.changing({ keys: ['k'], for: '10s' }, () => work)
    await settle()
    return { left, change, closing: cache.close() }
  }

  test('waits until the marks are removed', async () => {
    const work = gate()
    const { left, change, closing } = await closeDuring(work.opened)
    work.open()
    await Promise.all([change, closing])
    expect(left).toEqual([undefined])
  })

  test('does not wait longer than the marks stand by themselves', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] })
    const { left, closing } = await closeDuring(new Promise(() => {}))
    await vi.advanceTimersByTimeAsync(9_999)
    expect(left).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    vi.useRealTimers()
    await closing
    expect(left).toEqual([expect.anything()])
  })
})

describe('the cost', () => {
  test('of a key is a read and a write before the work, and a write after it', async () => {
    const { a, reads, writes } = twoProcesses()
    await a.changing({ keys: ['k'] }, () => {
      expect([reads, writes]).toEqual([['get'], ['add']])
    })
    expect([reads, writes]).toEqual([['get'], ['add', 'compareAndSet']])
  })

  test('of many keys is that of one key, made at the same time', async () => {
    const { a, reads, writes } = twoProcesses()
    const keys = Array.from({ length: 100 }, (_, index) => `k${index}`)
    await a.changing({ keys }, () => {})
    expect([reads.length, writes.length]).toEqual([100, 200])
  })
})

test('the null driver changes nothing', async () => {
  const cache = new Cache(nullStore())
  expect(await cache.changing({ keys: ['k'], tags: ['t'] }, () => 'result')).toBe('result')
})

test.each([
  ['an unknown option', { key: 'k' }, 'unknown option key'],
  ['keys that are not an array', { keys: 'k' }, 'must be an array'],
  ['tags that are not an array', { tags: 't' }, 'must be an array'],
  ['an invalid duration', { for: '1 day' }, 'changing: for'],
  ['an unknown mode', { ifUnavailable: 'ignore' }, 'must be one of reject, proceed'],
])('refuses %s', async (_, options, message) => {
  const work = vi.fn()
  await expect(new Cache(memory()).changing(options as never, work)).rejects.toThrow(message)
  expect(work).not.toHaveBeenCalled()
})

test('names the form of a call without work', async () => {
  const call = new Cache(memory()).changing({ keys: ['k'] }, undefined as never)
  await expect(call).rejects.toThrow("changing({ keys: ['user:1'] }, () => transaction)")
})

/** Two caches of one process over a store by reference. */
function localCaches(options: { readonly prefix?: string } = {}) {
  const store = memory({ values: 'shared' })
  return { a: new Cache(store, options), b: new Cache(store, options) }
}
