import { Cache, CacheError } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { gate, settle } from '../remember/two-processes.ts'
import { timersOf } from '../timers-of.ts'

const leaseMs = 30_000
const renewalMs = leaseMs / 3
/** The longest pause between two polls, with its jitter. */
const maxPauseMs = 313

beforeEach(() => {
  const timers = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] as const
  vi.useFakeTimers({ toFake: [...timers, 'performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

type Call = () => unknown

/** Two processes over one backend. A test delays the swaps of the first one, or lets them fail. */
function setUp() {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const startedAt = performance.now()
  const swaps: number[] = []
  const reads: number[] = []
  let intercept: ((call: Call) => unknown) | undefined
  const now = () => Math.round(performance.now() - startedAt)
  const store = wrapStore<ByteStore>(backend, async (operation, call) => {
    if (operation === 'get') reads.push(now())
    if (operation !== 'compareAndSet') return call()
    swaps.push(now())
    return (intercept === undefined ? call() : intercept(call)) as never
  })
  const onSwap = (next: typeof intercept) => {
    intercept = next
  }
  const [a, b] = [new Cache(store, { clock }), new Cache(backend, { clock })]
  return { a, b, clock, backend, swaps, reads, onSwap, now }
}

const advance = (ms: number) => vi.advanceTimersByTimeAsync(ms)
const hour = { loadTimeout: '1h', lease: leaseMs } as const

async function load(cache: Cache) {
  const loaded = gate<string>()
  const loading = cache.remember('k', hour, () => loaded.opened)
  await settle()
  return { loaded, loading }
}

describe('a lease', () => {
  test('is renewed three times in its duration, until the load has ended', async () => {
    const { a, b, swaps } = setUp()
    const { loaded, loading } = await load(a)
    await advance(3 * renewalMs)
    expect(swaps).toEqual([1, 2, 3].map((count) => count * renewalMs))
    loaded.open('value')
    expect(await loading).toBe('value')
    await advance(10 * leaseMs)
    expect(swaps).toHaveLength(4)
    expect(await b.get('k')).toBe('value')
  })

  test('is not renewed again before the last renewal was answered', async () => {
    const { a, swaps, onSwap } = setUp()
    const reply = gate()
    onSwap(async (call) => {
      const result = await call()
      await reply.opened
      return result
    })
    const { loaded, loading } = await load(a)
    await advance(5 * renewalMs)
    expect(swaps).toHaveLength(1)
    onSwap(undefined)
    reply.open()
    await advance(renewalMs)
    expect(swaps).toHaveLength(2)
    loaded.open('value')
    await loading
  })

  test.each([
    ['was executed', true],
    ['was not executed', false],
  ])('is kept although a renewal failed that %s', async (_, isExecuted) => {
    const { a, b, onSwap } = setUp()
    const { loaded, loading } = await load(a)
    onSwap(async (call) => {
      if (isExecuted) await call()
      throw new Error('no reply')
    })
    await advance(renewalMs)
    onSwap(undefined)
    await advance(renewalMs)
    loaded.open('value')
    expect(await loading).toBe('value')
    expect(await b.get('k')).toBe('value')
  })

  test('whose last renewal failed lets the value be stored, whether that was executed or not', async () => {
    for (const isExecuted of [true, false]) {
      const { a, b, onSwap } = setUp()
      const { loaded, loading } = await load(a)
      onSwap(async (call) => {
        if (isExecuted) await call()
        throw new Error('no reply')
      })
      await advance(renewalMs)
      onSwap(undefined)
      loaded.open('value')
      await loading
      expect(await b.get('k')).toBe('value')
    }
  })

  test('is not renewed any more when another process has deleted it', async () => {
    const { a, b, swaps } = setUp()
    const { loaded, loading } = await load(a)
    await b.delete('k')
    await advance(renewalMs)
    const before = swaps.length
    await advance(10 * leaseMs)
    expect(swaps).toHaveLength(before)
    loaded.open('old')
    expect(await loading).toBe('old')
    expect(await b.get('k')).toBeUndefined()
  })

  test('that is found to be lost after the load does not abort what the loader left running', async () => {
    const { a, b, onSwap } = setUp()
    const [loaded, sent] = [gate<string>(), gate()]
    let signal: AbortSignal | undefined
    const loading = a.remember('k', hour, (context) => {
      signal = context.signal
      return loaded.opened
    })
    await settle()
    onSwap(async (call) => {
      await sent.opened
      return call()
    })
    await advance(renewalMs)
    await b.delete('k')
    loaded.open('value')
    await settle()
    sent.open()
    expect(await loading).toBe('value')
    expect(signal?.aborted).toBe(false)
  })

  test('is replaced by the value only after a renewal in flight', async () => {
    const { a, b, onSwap } = setUp()
    const { loaded, loading } = await load(a)
    const sent = gate()
    onSwap(async (call) => {
      await sent.opened
      return call()
    })
    await advance(renewalMs)
    onSwap(undefined)
    loaded.open('value')
    await settle()
    expect(await b.get('k')).toBeUndefined()
    sent.open()
    await loading
    await settle()
    expect(await b.get('k')).toBe('value')
  })
})

describe('a process that waits for the lease of another one', () => {
  const leaseOf = (count: number) => `\x01\x02Lother.${count}.${leaseMs}`

  test('takes it over when it was not renewed for its duration', async () => {
    const { a, backend, now } = setUp()
    await backend.set('k', leaseOf(0))
    const begun: number[] = []
    const call = a.remember('k', hour, () => {
      begun.push(now())
      return 'value'
    })
    await advance(leaseMs - 1)
    expect(begun).toEqual([])
    await advance(2 * maxPauseMs + 1)
    expect(await call).toBe('value')
    expect(begun).toHaveLength(1)
    expect(await a.get('k')).toBe('value')
  })

  test('waits for the whole duration again after each renewal', async () => {
    const { a, backend } = setUp()
    await backend.set('k', leaseOf(0))
    const loader = vi.fn(() => 'value')
    const call = a.remember('k', hour, loader)
    await advance(leaseMs - maxPauseMs)
    await backend.set('k', leaseOf(1))
    await advance(leaseMs - 1)
    expect(loader).not.toHaveBeenCalled()
    await advance(2 * maxPauseMs + 1)
    expect(await call).toBe('value')
  })

  test('reads it at least four times a second, and not much more often', async () => {
    const { a, b, backend, reads } = setUp()
    await backend.set('k', leaseOf(0))
    const call = a.remember('k', hour, () => 'value')
    await advance(10_000)
    reads.length = 0
    await advance(10_000)
    expect(reads.length).toBeGreaterThanOrEqual(10_000 / maxPauseMs - 1)
    expect(reads.length).toBeLessThanOrEqual(10_000 / 187 + 1)
    await b.set('k', 'of the other')
    await advance(maxPauseMs)
    expect(await call).toBe('of the other')
  })

  test('polls often at first, because most loads are short', async () => {
    const { a, backend, reads } = setUp()
    await backend.set('k', leaseOf(0))
    await advance(10_000)
    const call = a.remember('k', hour, () => 'value')
    await advance(15)
    expect(reads.length).toBeGreaterThanOrEqual(4)
    await backend.set('k', '"of the other"')
    await advance(5)
    expect(await Promise.race([call, 'waits'])).toBe('of the other')
  })

  test('polls once for all calls, also those that begin during the wait', async () => {
    const { a, backend, reads } = setUp()
    await backend.set('k', leaseOf(0))
    const calls = [a.remember('k', hour, () => 'value')]
    await advance(10_000)
    reads.length = 0
    for (let count = 0; count < 5; count++) calls.push(a.remember('k', hour, () => 'value'))
    await settle()
    expect(reads).toEqual([])
    await advance(10_000)
    expect(reads.length).toBeLessThanOrEqual(10_000 / 187 + 1)
    await backend.set('k', '"of the other"')
    await advance(maxPauseMs)
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['of the other']))
  })

  test('reads from the primary, although its replica still has the lease', async () => {
    const { clock, backend } = setUp()
    await backend.set('k', leaseOf(0))
    const store = wrapStore<ByteStore>(backend, (operation, call, args) => {
      const isStrong = (args[1] as { consistency?: string } | undefined)?.consistency === 'strong'
      return operation === 'get' && !isStrong ? (leaseOf(0) as never) : call()
    })
    const call = new Cache(store, { clock }).remember('k', hour, () => 'value')
    await advance(1_000)
    await backend.set('k', '"of the other"')
    await advance(maxPauseMs)
    expect(await Promise.race([call, 'waits'])).toBe('of the other')
  })

  test('reads the lease beside a stale value at once, because its load may have ended', async () => {
    const { a, b, reads } = setUp()
    const loaded = gate<string>()
    await b.set('k', 'old')
    const refresh = { ...hour, refresh: true } as const
    const other = b.remember('k', refresh, () => loaded.opened)
    await settle()
    // Two readings of a real clock differ.
    let now = performance.now()
    // Not a spy, as in `timersOf`.
    const fakeNow = performance.now
    performance.now = () => (now += 0.001)
    const call = a.remember('k', refresh, () => 'value')
    await settle()
    performance.now = fakeNow
    // The value before, and then both.
    expect(reads).toHaveLength(3)
    loaded.open('new')
    await advance(maxPauseMs)
    expect([await other, await call]).toEqual(['new', 'new'])
  })

  test('returns a value that is written although its refresh has not ended', async () => {
    const { a, b, backend } = setUp()
    await b.set('k', 'old')
    const refresh = { ...hour, refresh: true } as const
    const loaded = gate<string>()
    const other = b.remember('k', refresh, () => loaded.opened)
    await settle()
    const call = a.remember('k', refresh, () => 'value')
    await advance(1_000)
    await backend.set('k', '"written"')
    await advance(maxPauseMs)
    expect(await Promise.race([call, 'waits'])).toBe('written')
    loaded.open('new')
    await other
  })

  test('loads at once when the load of the other one was not stored', async () => {
    const { a, b, backend } = setUp()
    await backend.set('k', leaseOf(0))
    const call = a.remember('k', hour, () => 'value')
    await advance(10_000)
    await b.delete('k')
    await advance(maxPauseMs)
    expect(await call).toBe('value')
    expect(await b.get('k')).toBe('value')
  })

  test('does not wait longer than a second within a loader, for which the other may wait', async () => {
    const { a, b, backend } = setUp()
    await backend.set('k', leaseOf(0))
    const loader = vi.fn(() => 'value')
    const outer = a.remember('outer', hour, () => a.remember('k', hour, loader))
    await advance(999)
    expect(loader).not.toHaveBeenCalled()
    await advance(maxPauseMs)
    expect(await outer).toBe('value')
    // The lease of the other process remains.
    expect(await b.get('k')).toBeUndefined()
    expect(String(await backend.get('k'))).toBe(leaseOf(0))
  })
})

describe('a process that waits for the leases of many keys', () => {
  const lease = `\x01\x02Lother.0.${leaseMs}`
  const loadAll = (keys: readonly string[]) => keys.map(() => 'value')

  async function leased(intercept: (isStrong: boolean, call: Call) => unknown) {
    const { clock, backend } = setUp()
    await backend.setMany(['k', 'l'].map((key) => [key, lease] as const))
    const store = wrapStore<ByteStore>(backend, (operation, call, args) => {
      if (operation !== 'getMany') return call()
      const options = args[1] as { consistency?: string } | undefined
      return intercept(options?.consistency === 'strong', call) as never
    })
    return { cache: new Cache(store, { clock }), backend }
  }

  test('reads from the primary, although its replica still has the leases', async () => {
    const { cache, backend } = await leased((isStrong, call) =>
      isStrong ? call() : [lease, lease].map((text) => Buffer.from(text)),
    )
    const call = cache.rememberMany(['k', 'l'], hour, loadAll)
    await advance(1_000)
    await backend.setMany(['k', 'l'].map((key) => [key, '"of the other"'] as const))
    await advance(maxPauseMs)
    const values = await Promise.race([call, 'waits'])
    expect(values).toEqual(['of the other', 'of the other'])
  })
})

test('a value that was skipped is loaded without a lease until its time is over', async () => {
  const { a, clock, backend, swaps } = setUp()
  const skip = () =>
    a.remember<null>('k', hour, (context) => {
      context.skip({ for: 60_000 })
      return null
    })
  await skip()
  const mark = String(await backend.get('k'))
  expect(mark.slice(0, 3)).toBe('\x01\x02P')
  const before = swaps.length
  await clock.advance(59_000)
  await skip()
  await skip()
  expect(swaps).toHaveLength(before)
  expect(String(await backend.get('k'))).toBe(mark)
  await clock.advance(2_000)
  await skip()
  expect(String(await backend.get('k'))).not.toBe(mark)
})

test('a load whose lease may have been stored late is not shared with later calls', async () => {
  const { cache, b } = withLateLease()
  const loaded = gate<string>()
  const first = cache.remember('k', hour, () => loaded.opened)
  await settle()
  await b.delete('k')
  const second = cache.remember('k', hour, () => 'new')
  await settle()
  loaded.open('old')
  expect([await first, await second]).toEqual(['old', 'new'])
})

test('a value that was skipped after such a lease is loaded without one for a while', async () => {
  const { cache, operations } = withLateLease()
  const skip = () =>
    cache.remember<null>('k', hour, (context) => {
      context.skip({ for: 60_000 })
      return null
    })
  await skip()
  operations.length = 0
  await advance(59_000)
  await skip()
  expect(operations).toEqual(['get'])
  await advance(1_000)
  await skip()
  expect(operations).toContain('add')
})

test('a value that is loaded without a lease is not shared with calls after a delete', async () => {
  const { cache, b } = withLateLease()
  const skip = (load: () => string | Promise<string>) =>
    cache.remember('k', hour, (context) => {
      context.skip({ for: 60_000 })
      return load()
    })
  await skip(() => 'value')
  const loaded = gate<string>()
  const first = skip(() => loaded.opened)
  await settle()
  await b.delete('k')
  const second = skip(() => 'new')
  await settle()
  loaded.open('old')
  expect([await first, await second]).toEqual(['old', 'new'])
})

test('a process that skipped a value loads without a lease, although the mark of it is lost', async () => {
  const { a, backend, operations } = withOperations()
  const skip = () =>
    a.remember<null>('k', hour, (context) => {
      context.skip({ for: 60_000 })
      return null
    })
  await skip()
  await backend.delete('k')
  operations.length = 0
  await skip()
  expect(operations).toEqual(['get'])
})

test('the save of a collection begins when the lease is stored', async () => {
  const { a, delay } = withOperations()
  const stored = gate()
  delay('set', stored.opened)
  const save = vi.fn(() => 'saved')
  const users = a.collection<string, string>('users', { load: () => 'loaded', save })
  const saving = users.set('1', 'value')
  await settle()
  expect(save).not.toHaveBeenCalled()
  stored.open()
  await saving
  expect(save).toHaveBeenCalledOnce()
})

test('the renewal of a lease does not keep the process alive', async () => {
  const { a } = setUp()
  const loaded = gate<string>()
  const timers = await timersOf('setInterval', async () => {
    void a.remember('k', hour, () => loaded.opened)
    await settle()
  })
  expect(timers.map(({ timer }) => timer.hasRef())).toEqual([false])
  loaded.open('value')
  await settle()
})

/** A process whose operations a test observes and delays. */
function withOperations() {
  const { backend, clock } = setUp()
  const operations: string[] = []
  const delays = new Map<string, Promise<void>>()
  const store = wrapStore<ByteStore>(backend, async (operation, call) => {
    operations.push(operation)
    await delays.get(operation)
    return call()
  })
  const delay = (operation: string, until: Promise<void>) => void delays.set(operation, until)
  return { a: new Cache(store, { clock }), backend, operations, delay }
}

test('a load that fails after such a lease ends it for others', async () => {
  const { cache, backend } = withLateLease({ isStored: true })
  const failing = cache.remember('k', hour, () => Promise.reject(new Error('down')))
  await expect(failing).rejects.toThrow('down')
  expect(String(await backend.get('k')).slice(0, 3)).toBe('\x01\x02P')
})

/** A process whose first lease has no reply in time. */
function withLateLease({ isStored = false } = {}) {
  const { b, backend, clock } = setUp()
  const operations: string[] = []
  const store = wrapStore<ByteStore>(backend, async (operation, call) => {
    operations.push(operation)
    if (operation !== 'add' || operations.filter((name) => name === 'add').length > 1) return call()
    if (isStored) await call()
    throw new CacheError('ERR_CACHE_TIMEOUT', 'no reply', { store: 'test', operation })
  })
  return { cache: new Cache(store, { clock }), b, backend, operations }
}
