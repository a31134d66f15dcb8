import { setTimeout as sleep } from 'node:timers/promises'
import {
  Cache,
  channels,
  type InvalidationListener,
  type LockEvent,
  withTimeout,
} from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { expect, test, vi } from 'vitest'
import { gate, settle, twoProcesses } from '../remember/two-processes.ts'

test('acquire and release are one call of the store each', async () => {
  const { a, reads, writes } = twoProcesses()
  const lock = a.lock('report')
  expect(await lock.acquire()).toBe(true)
  expect(await lock.release()).toBe(true)
  await a.lock('report').run(() => {})
  expect(writes).toEqual(['add', 'compareAndSet', 'add', 'compareAndSet'])
  expect(reads).toEqual([])
})

test('a fencing number takes an increment and a swap, once the time of the backend is known', async () => {
  const { a, writes } = twoProcesses()
  await a.lock('report').run(async ({ fence }) => {
    await fence()
    writes.length = 0
    await fence()
    expect(writes).toEqual(['increment', 'compareAndSet'])
  })
})

test('a fencing counter that lost its last numbers is raised to the time of the backend by one swap', async () => {
  const { a, b, backend, clock, writes } = twoProcesses()
  const draw = (cache: Cache) => cache.lock('report').run(({ fence }) => fence())
  const first = await draw(a)
  const replicated = await backend.get('~fence:report')
  const lost = [await draw(a), await draw(a)]
  // A replica without the last writes is promoted.
  await backend.set('~fence:report', replicated as Uint8Array)
  await clock.advance(1_000)
  writes.length = 0
  const later = await draw(b)
  expect(writes).toEqual([
    'add',
    ...['increment', 'compareAndSet'],
    ...['compareAndSet', 'compareAndSet'], // The swap and the release of the lock.
  ])
  expect(later).toBeGreaterThan(Math.max(first, ...lost))
  expect(await draw(a)).toBeGreaterThan(later)
})

test('processes that raise a fencing counter at the same time receive different numbers', async () => {
  const { a, b, clock } = twoProcesses()
  const first = await a.lock('report').run(({ fence }) => fence())
  await clock.advance(60_000)
  // Holders of slots that share the counter draw at the same time.
  const drawing = a.lock('report').run(async ({ fence }) => Promise.all([fence(), fence()]))
  clock.advance(1_000).catch(() => {})
  const numbers = await drawing
  const next = await b.lock('report').run(({ fence }) => fence())
  expect(new Set([first, ...numbers, next]).size).toBe(4)
  expect(Math.max(first, ...numbers)).toBeLessThan(next)
})

test('a lock that was acquired too late is confirmed before it is used', async () => {
  const { backend, a } = twoProcesses()
  const reply = gate()
  const slow = wrapStore(backend, async (operation, call) => {
    const result = await call()
    if (operation === 'add') await reply.opened
    return result
  })
  const acquiring = new Cache(slow).lock('report', { ttl: 50 }).acquire()
  await sleep(60)
  // Another owner acquires it meanwhile.
  await backend.delete('~lock:report')
  expect(await a.lock('report').acquire()).toBe(true)
  reply.open()
  expect(await acquiring).toBe(false)
})

test('the signal aborts before the ttl is over if the store cannot be reached', async () => {
  const { backend } = twoProcesses()
  let isDown = false
  const store = wrapStore(backend, (_operation, call) => {
    if (isDown) throw new Error('down')
    return call()
  })
  const published = vi.fn()
  channels.error.subscribe(published)
  await new Cache(store).lock('report', { ttl: 300 }).run(async ({ signal }) => {
    isDown = true
    // After the timers of the lock: those that are due after a pause of this process run in their order.
    let isTtlOver = false
    setTimeout(() => {
      isTtlOver = true
    }, 300)
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    expect(signal.reason.code).toBe('ERR_CACHE_LOCKED')
    expect(isTtlOver).toBe(false)
  })
  channels.error.unsubscribe(published)
  // The release has failed, and yet the work has not.
  expect(published.mock.calls[0]?.[0]).toMatchObject({ key: '~lock:report' })
})

test('an add whose outcome is unknown is taken back', async () => {
  const { backend, a } = twoProcesses()
  const store = wrapStore(backend, async (operation, call) => {
    const result = await call()
    if (operation === 'add') throw new Error('no reply')
    return result
  })
  await expect(new Cache(store).lock('report').acquire()).rejects.toThrow('no reply')
  await expect.poll(() => a.lock('report').isLocked()).toBe(false)
})

test('locks are in the primary store of a store that fails over', async () => {
  const [primary, fallback] = [referenceStore(), referenceStore()]
  const store = Object.assign(
    wrapStore<ByteStore>(fallback, (_operation, call) => call()),
    { primary: Object.assign(referenceStore(), { primary }) },
  )
  await new Cache(withTimeout(store, '1s'), { prefix: 'app:' }).lock('report').acquire()
  expect(await primary.get('app:~lock:report')).toBeDefined()
  expect(await fallback.get('app:~lock:report')).toBeUndefined()
})

test('a release wakes waiting calls of its process at once, and of others over a bus', async () => {
  const { backend } = twoProcesses()
  const listeners = new Set<InvalidationListener>()
  const bus = {
    connected: true,
    publish: (keys: readonly string[]) => {
      for (const listener of listeners) listener(keys)
    },
    subscribe: async (listener: InvalidationListener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close: async () => {},
  }
  let polls = 0
  const connect = () =>
    wrapStore(backend, (operation, call) => {
      if (operation === 'get') polls++
      return call()
    })
  const [a, b] = [new Cache(connect(), { bus }), new Cache(connect(), { bus })]
  const held = a.lock('report')
  await held.acquire()
  const waiting = [a, b].map((cache) => cache.lock('report').run(() => {}, { wait: '1m' }))
  // Until the pauses between two polls are long.
  await vi.waitFor(() => expect(polls).toBeGreaterThan(30), 10_000)
  const before = polls
  await held.release()
  await Promise.all(waiting)
  expect(polls - before).toBeLessThanOrEqual(2)
})

test('close() aborts work under a lock, and waits for it', async () => {
  const { backend } = twoProcesses()
  const cache = new Cache(wrapStore(backend, (_operation, call) => call()))
  const ended: string[] = []
  const begun = gate()
  const running = cache.lock('report').run(async ({ signal }) => {
    begun.open()
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    await sleep(10)
    ended.push('work')
    expect(signal.reason.code).toBe('ERR_CACHE_CLOSED')
  })
  await begun.opened
  await Promise.all([running, cache.close().then(() => ended.push('close'))])
  expect(ended).toEqual(['work', 'close'])
})

test('close() aborts work whose lock is acquired meanwhile', async () => {
  const { backend } = twoProcesses()
  const [adding, mayAdd] = [gate(), gate()]
  const store = wrapStore(backend, async (operation, call) => {
    if (operation !== 'add') return call()
    adding.open()
    await mayAdd.opened
    return call()
  })
  const cache = new Cache(store)
  const running = cache.lock('report').run(
    ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
      }),
  )
  const rejected = expect(running).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
  await adding.opened
  const closed = cache.close()
  mayAdd.open()
  await rejected
  await closed
})

test('publishes what happens to a lock', async () => {
  const { a } = twoProcesses({ name: 'main' })
  const events: LockEvent[] = []
  const collect = (event: unknown) => events.push(event as LockEvent)
  channels.lock.subscribe(collect)
  const lock = a.lock('report')
  await lock.acquire()
  await a.lock('report').acquire()
  await lock.release()
  await a.lock('report').run(() => {})
  channels.lock.unsubscribe(collect)
  const outcomes = ['acquired', 'refused', 'released', 'acquired', 'released']
  expect(events.map(({ outcome }) => outcome)).toEqual(outcomes)
  expect(events[0]).toMatchObject({ cache: 'main', store: 'reference', key: '~lock:report' })
})

test('a driver that keeps nothing has no locks and no limits', () => {
  const store = wrapStore<ByteStore>(referenceStore(), (_operation, call) => call())
  const cache = new Cache(Object.assign(store, { name: 'null' }))
  expect(() => cache.lock('x')).toThrow('keeps nothing')
  expect(() => cache.rateLimit('x', { limit: 1, window: '1m' })).toThrow('keeps nothing')
  expect(() => cache.concurrency('x', { limit: 1 })).toThrow('keeps nothing')
})

test('rejects invalid arguments', () => {
  const { a } = twoProcesses()
  expect(() => a.lock('')).toThrow(TypeError)
  expect(() => a.lock('x', { owner: '' })).toThrow(TypeError)
  expect(() => a.lock('x', { ttl: 0 })).toThrow('lock: ttl must be')
  expect(() => a.lock('x', { tll: 5 } as object)).toThrow('Did you mean ttl?')
})

test('the calls that wait for a lock end with the first one of them after close()', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const cache = new Cache(referenceStore())
    await cache.lock('report', { ttl: '1h' }).acquire()
    const waits = Array.from({ length: 5 }, () => cache.lock('report').block('1h'))
    const outcomes = Promise.allSettled(waits)
    await settle()
    await cache.close()
    // The next poll of the first call.
    vi.advanceTimersToNextTimer()
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ reason: { code: 'ERR_CACHE_CLOSED' } })
    }
  } finally {
    vi.useRealTimers()
  }
})
