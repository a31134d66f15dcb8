import { getEventListeners } from 'node:events'
import { Cache, CacheError, type InvalidationListener, type Lock } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { gate, settle } from '../remember/two-processes.ts'
import { timersOf } from '../timers-of.ts'

/** The longest pause between two polls, with its jitter. */
const maxPauseMs = 250
const maxTimerMs = 2 ** 31 - 1

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  vi.advanceTimersByTime(1_000)
})

afterEach(() => {
  vi.useRealTimers()
})

const advance = (ms: number) => vi.advanceTimersByTimeAsync(ms)

/** A lock that another process holds, and calls of this process that wait for it. */
async function held(options: object = {}) {
  const backend = referenceStore({ clock: new ManualClock() })
  const operations: string[] = []
  let intercept: ((operation: string) => Promise<void>) | undefined
  const store = wrapStore<ByteStore>(backend, async (operation, call) => {
    operations.push(operation)
    const result = await call()
    await intercept?.(operation)
    return result
  })
  const cache = new Cache(store, options)
  await new Cache(backend).lock('report', { ttl: '1h' }).acquire()
  const release = () => backend.delete('~lock:report')
  const acquired: string[] = []
  const locks = new Map<string, Lock>()
  const block = (name: string, wait: number | string = '1h', signal?: AbortSignal) => {
    const lock = cache.lock('report', { ttl: '1h', owner: name })
    locks.set(name, lock)
    const options = signal === undefined ? {} : { signal }
    const blocking = lock.block(wait as number, options).then(() => void acquired.push(name))
    blocking.catch(() => {})
    return blocking
  }
  const delayReplies = (delay: typeof intercept) => {
    intercept = delay
  }
  const free = (name: string) => (locks.get(name) as Lock).release()
  return { backend, store, cache, operations, release, acquired, block, free, delayReplies }
}

test('calls that wait receive the lock in their order', async () => {
  const { operations, release, acquired, block, free } = await held()
  for (const name of ['first', 'second', 'third']) block(name)
  await advance(10_000)
  await release()
  for (let ms = 0; ms < maxPauseMs && acquired.length === 0; ms++) await advance(1)
  await settle()
  expect(acquired).toEqual(['first'])
  // The next one polls later: it cannot succeed now.
  expect(operations.slice(-2)).toEqual(['get', 'add'])
  await free('first')
  await settle()
  expect(acquired).toEqual(['first', 'second'])
  await free('second')
  await settle()
  expect(acquired).toEqual(['first', 'second', 'third'])
})

test('a release wakes the calls of other caches over the same store', async () => {
  const { store, release, acquired, block } = await held()
  await release()
  const holder = new Cache(store).lock('report', { ttl: '1h' })
  await holder.acquire()
  block('first')
  await advance(10_000)
  await holder.release()
  await settle()
  expect(acquired).toEqual(['first'])
})

test('only the first call that waits polls, less and less often', async () => {
  const { operations, block } = await held()
  for (const name of ['first', 'second', 'third']) block(name)
  await settle()
  await advance(10_000)
  operations.length = 0
  await advance(10_000)
  expect(new Set(operations)).toEqual(new Set(['get']))
  expect(operations.length).toBeLessThanOrEqual(10_000 / 150)
  expect(operations.length).toBeGreaterThanOrEqual(10_000 / maxPauseMs)
})

test('a call that begins to wait pauses after its first attempt', async () => {
  const { operations, block } = await held()
  block('first')
  await settle()
  expect(operations).toEqual(['add'])
})

test('calls that give up do not delay the poll of the first one', async () => {
  const { acquired, block, release } = await held()
  block('first')
  await advance(10_000)
  await release()
  for (let ms = 0; ms < maxPauseMs; ms += 10) {
    block(`behind it, ${ms}`, 5)
    await advance(10)
  }
  expect(acquired).toEqual(['first'])
})

test('after one call has taken a slot, the next one makes an attempt at once', async () => {
  const { bus, notify } = testBus()
  const { backend, cache } = await held({ bus })
  const end = gate()
  const limit = (cache: Cache) => cache.concurrency('exports', { limit: 2, ttl: '1h' })
  const others = [1, 2].map(() => limit(new Cache(backend)).run(() => end.opened))
  await settle()
  const began: string[] = []
  const work = (name: string) => () => {
    began.push(name)
    return gate().opened
  }
  for (const name of ['first', 'second']) void limit(cache).run(work(name), { wait: '1h' })
  await advance(10_000)
  end.open()
  await Promise.all(others)
  notify(undefined)
  await settle()
  expect(began).toEqual(['first', 'second'])
})

test('a call waits for as long as it wants, and says for how long', async () => {
  const { block } = await held()
  const settled = vi.fn()
  const [first, second] = [block('first', 5_000), block('second', 3_000)]
  second.catch(settled)
  await advance(2_999)
  expect(settled).not.toHaveBeenCalled()
  await advance(1)
  await expect(second).rejects.toMatchObject({
    code: 'ERR_CACHE_LOCKED',
    retryable: true,
    message: 'reference lock failed: "report" is held by another owner. Waited for 3000 ms.',
  })
  await advance(2_000)
  await expect(first).rejects.toThrow('Waited for 5000 ms.')
})

test('a call that does not wait makes one attempt, although others wait', async () => {
  const { block, operations } = await held()
  block('first')
  await settle()
  operations.length = 0
  await expect(block('second', 0)).rejects.toThrow('is held by another owner')
  expect(operations).toEqual(['add'])
})

test('a call acquires a free lock at once, unless others wait', async () => {
  const { operations, release, acquired, block, free } = await held()
  await release()
  await block('first')
  block('second')
  await settle()
  operations.length = 0
  block('third')
  await settle()
  expect(operations).toEqual([])
  await free('first')
  await settle()
  await free('second')
  await settle()
  await free('third')
  await block('fourth')
  expect(acquired).toEqual(['first', 'second', 'third', 'fourth'])
})

test('a call behind others makes no attempt when its time is over', async () => {
  const { operations, block, delayReplies } = await held()
  const reply = gate()
  block('first')
  const second = block('second', 3_000)
  await advance(1_000)
  delayReplies(() => reply.opened)
  await advance(1_999)
  operations.length = 0
  await advance(1)
  await expect(second).rejects.toThrow('Waited for 3000 ms.')
  expect(operations).toEqual([])
  reply.open()
})

test('when the first call gives up, the next one polls', async () => {
  const { release, acquired, block } = await held()
  const controller = new AbortController()
  const first = block('first', '1h', controller.signal)
  block('second')
  await advance(1_000)
  controller.abort(new Error('the caller has left'))
  // One timer, of the second call.
  expect(vi.getTimerCount()).toBe(1)
  await expect(first).rejects.toThrow('the caller has left')
  await release()
  await advance(maxPauseMs)
  expect(acquired).toEqual(['second'])
  expect(vi.getTimerCount()).toBe(0)
})

test('after close(), all calls that wait reject with the first one', async () => {
  const { cache, block } = await held()
  const codes: unknown[] = []
  for (const name of ['first', 'second', 'third']) block(name).catch(({ code }) => codes.push(code))
  await advance(10_000)
  await cache.close()
  for (let ms = 0; ms < maxPauseMs && codes.length === 0; ms++) await advance(1)
  await settle()
  expect(codes).toEqual(['ERR_CACHE_CLOSED', 'ERR_CACHE_CLOSED', 'ERR_CACHE_CLOSED'])
})

test('after an error of the first call, the next one polls later', async () => {
  const { block, operations, delayReplies } = await held()
  const codes: unknown[] = []
  for (const name of ['first', 'second']) block(name).catch(({ code }) => codes.push(code))
  await advance(10_000)
  delayReplies(async () => {
    delayReplies(undefined)
    throw new CacheError('ERR_CACHE_TIMEOUT', 'a test', { store: 'test', operation: 'add' })
  })
  const attempts = operations.length
  for (let ms = 0; ms < maxPauseMs && codes.length === 0; ms++) await advance(1)
  await settle()
  expect([codes, operations.length]).toEqual([['ERR_CACHE_TIMEOUT'], attempts + 1])
})

test('a call that has waited leaves no listener of its signal', async () => {
  const { release, block } = await held()
  const { signal } = new AbortController()
  const first = block('first', '1h', signal)
  await advance(1_000)
  await release()
  await advance(maxPauseMs)
  await first
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

test('a call that gives up in the middle of the queue leaves the others in it', async () => {
  const { operations, release, acquired, block, free } = await held()
  const controller = new AbortController()
  block('first')
  block('second', '1h', controller.signal)
  block('third')
  await advance(1_000)
  operations.length = 0
  controller.abort()
  await settle()
  expect(operations).toEqual([])
  await release()
  await advance(maxPauseMs)
  await free('first')
  await settle()
  expect(acquired).toEqual(['first', 'third'])
})

test('a call whose signal has aborted does not begin to wait', async () => {
  const { operations, block } = await held()
  const reason = new Error('the caller has left')
  operations.length = 0
  await expect(block('first', '1h', AbortSignal.abort(reason))).rejects.toBe(reason)
  expect(operations).toEqual([])
})

test('an abort during an attempt ends the wait after it', async () => {
  const { block, delayReplies } = await held()
  const controller = new AbortController()
  const reply = gate()
  const first = block('first', '1h', controller.signal)
  await advance(1_000)
  delayReplies(() => reply.opened)
  await advance(maxPauseMs)
  controller.abort(new Error('the caller has left'))
  reply.open()
  await expect(first).rejects.toThrow('the caller has left')
})

test('a release during an attempt is followed by another attempt at once', async () => {
  const { backend, cache, acquired, block, release, delayReplies } = await held()
  await release()
  const holder = cache.lock('report', { ttl: '1h', owner: 'holder' })
  expect(await holder.acquire()).toBe(true)
  block('first')
  await advance(10_000)
  const reply = gate()
  delayReplies((operation) => (operation === 'get' ? reply.opened : Promise.resolve()))
  // The reply is that the lock is held, and arrives after its release.
  await advance(maxPauseMs)
  expect(await holder.release()).toBe(true)
  reply.open()
  await settle()
  expect(acquired).toEqual(['first'])
  expect(await backend.get('~lock:report')).toBeDefined()
})

test('a wait that is longer than a timer can be does not end at once', async () => {
  const { block } = await held()
  const timers = await timersOf('setTimeout', async () => {
    block('first', '90d')
    block('second', '90d')
    await settle()
  })
  const delays = timers.map(({ ms }) => ms as number)
  expect(delays).toContain(maxTimerMs)
  expect(Math.max(...delays)).toBe(maxTimerMs)
})

function testBus() {
  const listeners = new Set<InvalidationListener>()
  const published: (readonly string[])[] = []
  const subscribe = vi.fn(async (listener: InvalidationListener) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  })
  const bus = {
    connected: true,
    subscribe,
    publish: async (keys: readonly string[]) => void published.push(keys),
    close: async () => {},
  }
  const notify = (keys: readonly string[] | undefined) => {
    for (const listener of listeners) listener(keys)
  }
  return { bus, published, subscribe, notify }
}

test.each([
  ['of its key', ['~lock:report'], true],
  ['that messages may have been lost', undefined, true],
  ['of another key', ['~lock:other'], false],
])('a message %s wakes the first call: %j', async (_, keys, isWoken) => {
  const { bus, notify } = testBus()
  const { release, acquired, block } = await held({ bus })
  block('first')
  await advance(10_000)
  await release()
  notify(keys)
  await settle()
  expect(acquired).toEqual(isWoken ? ['first'] : [])
})

test('a cache subscribes to its bus once, when a call waits, and again after a failure', async () => {
  const { bus, subscribe } = testBus()
  const { block } = await held({ bus })
  await expect(block('none', 0)).rejects.toThrow('held')
  expect(subscribe).not.toHaveBeenCalled()
  subscribe.mockRejectedValueOnce(new Error('down'))
  block('first')
  await settle()
  block('second')
  block('third')
  await settle()
  expect(subscribe).toHaveBeenCalledTimes(2)
})

test('a release is published to other processes while the bus is connected', async () => {
  const { bus, published } = testBus()
  const { cache, release } = await held({ bus })
  await release()
  await cache.lock('report').run(() => {})
  expect(published).toEqual([['~lock:report']])
  // A lock that was lost may have another holder.
  await cache.lock('report').run(release)
  expect(published).toHaveLength(1)
  bus.connected = false
  await cache.lock('report').run(() => {})
  expect(published).toHaveLength(1)
})

test('a release succeeds although its message cannot be published', async () => {
  const { bus } = testBus()
  let attempts = 0
  // A function of `vi` would handle the rejection.
  const publish = async () => {
    attempts++
    throw new Error('down')
  }
  const unhandled = vi.fn()
  process.on('unhandledRejection', unhandled)
  const { cache, release } = await held({ bus: { ...bus, publish } })
  await release()
  await cache.lock('report').run(() => {})
  await settle()
  process.off('unhandledRejection', unhandled)
  expect(attempts).toBe(1)
  expect(unhandled).not.toHaveBeenCalled()
})
