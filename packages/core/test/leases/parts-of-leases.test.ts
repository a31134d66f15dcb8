import { ManualClock, referenceStore } from '@stowage/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  endMark,
  Lease,
  LeaseHolders,
  LocalClaim,
  noClaim,
  withoutValue,
} from '../../src/leases/claims.ts'
import { beginLocalBackoff, HitForMiss, isInLocalBackoff } from '../../src/leases/hit-for-miss.ts'
import { awaitLease, type LeasePolls } from '../../src/leases/lease-wait.ts'
import { Flight } from '../../src/loading/single-flight.ts'
import { SharedPolls } from '../../src/remember/shared-steps.ts'
import type { AnyStore } from '../../src/store.ts'
import { Mark } from '../../src/values/mark.ts'
import { gate, settle } from '../remember/two-processes.ts'

const failed = new Mark('failure', 'token', 0, 50, 1_050)
const passed = new Mark('hitForMiss', 'token', 0, 50, 1_050)
const leaseMs = 30_000
const leaseOf = (count: number) => `\x01\x02Lother.${count}.${leaseMs}`
const otherStore = {} as AnyStore

describe('the claim of a load without a lease', () => {
  function setUp(seen: unknown, replacesStale = false) {
    const calls: unknown[][] = []
    const note =
      (name: string) =>
      (...args: unknown[]) => {
        calls.push([name, ...args])
        return name === 'add'
      }
    const store = {
      payload: 'bytes',
      add: note('add'),
      compareAndSet: note('compareAndSet'),
    } as unknown as AnyStore
    const flight = new Flight('k')
    return { claim: new LocalClaim(store, flight, seen, replacesStale), flight, calls }
  }

  test('stores a value in the place of none, or of the one that was read', async () => {
    const missing = setUp(undefined)
    expect(await missing.claim.replace('item', 9)).toBe(true)
    expect(missing.calls).toEqual([['add', 'k', 'item', 9]])
    const stale = setUp('old', true)
    expect(await stale.claim.replace('item', 9)).toBe(false)
    expect(stale.calls).toEqual([['compareAndSet', 'k', 'old', 'item', 9]])
    expect([missing.claim, stale.claim].map((claim) => claim.canBeLost)).toEqual([false, false])
    expect([missing.claim, stale.claim].map((claim) => claim.replacesStale)).toEqual([false, true])
  })

  test('stores a failure for its time, and no hit-for-miss', async () => {
    const { claim, calls } = setUp(undefined)
    expect([await claim.end(), await claim.end(passed), await claim.end(failed)]).toEqual(
      Array(3).fill(true),
    )
    expect(calls).toEqual([['add', 'k', failed.toString(), 50]])
  })

  test('stores no failure beside a stale value', async () => {
    const { claim, calls } = setUp('old', true)
    expect([await claim.end(failed), calls]).toEqual([true, []])
  })

  test('stores no failure after a write of this process', async () => {
    const { claim, flight, calls } = setUp(undefined)
    flight.isCurrent = false
    expect([await claim.end(failed), calls]).toEqual([true, []])
  })

  test('that stores no value ends the lease that it had, and waits for that', async () => {
    const ends: (Mark | undefined)[] = []
    let ended = 0
    const lease = {
      ...noClaim,
      end: async (mark?: Mark) => {
        ends.push(mark)
        await settle()
        ended++
        return true
      },
    }
    const claim = withoutValue(lease)
    expect([claim.canBeLost, claim.replacesStale]).toEqual([true, false])
    expect([await claim.replace('item', 9), ended]).toEqual([false, 1])
    expect(await claim.end(failed)).toBe(true)
    expect(ends).toEqual([undefined, failed])
    expect([noClaim.canBeLost, await noClaim.replace('item', 9)]).toEqual([false, false])
  })
})

test('a process pauses after a failed refresh, for each key and until its time', async () => {
  const clock = new ManualClock()
  const scope = { hitForMiss: new HitForMiss(), clock }
  beginLocalBackoff(scope, 'k', 1_000)
  expect([isInLocalBackoff(scope, 'k'), isInLocalBackoff(scope, 'l')]).toEqual([true, false])
  expect(scope.hitForMiss.has('k', clock.now())).toBe(false)
  await clock.advance(999)
  expect(isInLocalBackoff(scope, 'k')).toBe(true)
  await clock.advance(1)
  expect(isInLocalBackoff(scope, 'k')).toBe(false)
})

test('a hit-for-miss ends at its time, or when it is deleted', () => {
  const hits = new HitForMiss()
  hits.add('k', 10, 100)
  expect([99, 109, 110].map((now) => hits.has('k', now))).toEqual([true, true, false])
  hits.delete('k')
  expect(hits.has('k', 100)).toBe(false)
})

test('a flight that has lost a lease to another one does not remove that', () => {
  const holders = new LeaseHolders()
  const [first, second] = [new Flight('k'), new Flight('k')]
  const releaseFirst = holders.hold('k', first)
  const releaseSecond = holders.hold('k', second)
  releaseFirst()
  expect([holders.get('k') === second, holders.has('k')]).toEqual([true, true])
  releaseSecond()
  expect(holders.has('k')).toBe(false)
})

test('the mark of a load that ends without a value lasts for at least a millisecond', () => {
  expect(endMark({ kind: 'failure', ms: 50 }, 1_000)).toMatchObject({ ms: 50, end: 1_050 })
  expect(endMark({ kind: 'hitForMiss', ms: 0 }, 1_000)).toMatchObject({
    kind: 'hitForMiss',
    ms: 1,
    end: 1_001,
  })
})

describe('a lease', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
  afterEach(() => void vi.useRealTimers())

  /** A lease of `k`, beside the stale item "old" of the key `value` if it refreshes that. */
  async function setUp(isRefresh = false) {
    const backend = referenceStore({ clock: new ManualClock() })
    await backend.set('value', 'old')
    const swaps: string[] = []
    let before = async (_key: string) => {}
    const compareAndSet = backend.compareAndSet.bind(backend)
    const store = Object.assign(Object.create(backend), {
      compareAndSet: async (...args: Parameters<typeof compareAndSet>) => {
        swaps.push(args[0])
        await before(args[0])
        return compareAndSet(...args)
      },
      add: backend.add.bind(backend),
      set: backend.set.bind(backend),
    }) as unknown as AnyStore
    const stale = isRefresh ? { store, key: 'value', item: Buffer.from('old') } : undefined
    const lease = new Lease(store, 'k', leaseMs, stale)
    const textOf = (key: string) => {
      const item = backend.get(key)
      return item === undefined ? undefined : String(item)
    }
    const beforeSwap = (work: typeof before) => {
      before = work
    }
    return { lease, backend, swaps, textOf, beforeSwap }
  }

  const renewal = () => vi.advanceTimersByTimeAsync(leaseMs / 3)

  test('has an id of its own if it refreshes a stale value', async () => {
    const [load, refresh] = [await setUp(), await setUp(true)]
    expect([load.lease.id, refresh.lease.id]).toEqual(['k', 'refresh k'])
    expect([load.lease.replacesStale, refresh.lease.replacesStale]).toEqual([false, true])
    expect(load.lease.canBeLost).toBe(true)
  })

  test('is taken from none, or from the item that was read', async () => {
    const { lease, backend, textOf } = await setUp()
    expect([await lease.acquire(undefined), await lease.acquire(undefined)]).toEqual([true, false])
    await backend.set('k', 'seen')
    expect(await lease.acquire(Buffer.from('other'))).toBe(false)
    expect(await lease.acquire(Buffer.from('seen'))).toBe(true)
    expect(textOf('k')?.startsWith('\x01\x02L')).toBe(true)
  })

  test('is replaced by the value, unless it was lost', async () => {
    const { lease, backend, textOf } = await setUp()
    await lease.acquire(undefined)
    expect(await lease.replace('value', undefined)).toBe(true)
    expect(textOf('k')).toBe('value')
    await backend.set('k', 'other')
    expect(await lease.replace('value', undefined)).toBe(false)
    expect([await lease.end(), textOf('k')]).toEqual([false, 'other'])
  })

  test('beside a stale value ends when that is replaced, or has changed', async () => {
    for (const isChanged of [false, true]) {
      const { lease, backend, textOf, swaps } = await setUp(true)
      await lease.acquire(undefined)
      if (isChanged) await backend.set('value', 'other')
      expect(await lease.replace('new', undefined)).toBe(!isChanged)
      expect([textOf('value'), textOf('k')]).toEqual([isChanged ? 'other' : 'new', undefined])
      expect(swaps).toEqual(['value', 'k'])
    }
  })

  test('beside a stale value ends after that was replaced', async () => {
    const { lease, beforeSwap, textOf } = await setUp(true)
    await lease.acquire(undefined)
    const sent = gate()
    beforeSwap((key) => (key === 'value' ? sent.opened : Promise.resolve()))
    const replacing = lease.replace('new', undefined)
    await settle()
    expect(textOf('k')).toBeDefined()
    sent.open()
    expect([await replacing, textOf('k')]).toEqual([true, undefined])
  })

  test('beside a stale value does not tell by its end whether that remains', async () => {
    const [load, refresh] = [await setUp(), await setUp(true)]
    await load.lease.acquire(undefined)
    await refresh.lease.acquire(undefined)
    expect([await load.lease.end(failed), await refresh.lease.end(failed)]).toEqual([true, false])
    expect([load.textOf('k'), refresh.textOf('k')]).toEqual(Array(2).fill(failed.toString()))
  })

  test('that is lost calls back once, and is not renewed again', async () => {
    const { lease, backend, swaps } = await setUp()
    const onLost = vi.fn()
    await lease.acquire(undefined)
    lease.keepAlive(onLost)
    await renewal()
    expect(onLost).not.toHaveBeenCalled()
    await backend.delete('k')
    await renewal()
    await renewal()
    expect(onLost).toHaveBeenCalledOnce()
    expect(swaps).toHaveLength(2)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('is not lost by a renewal that failed, and ends with either item', async () => {
    const { lease, beforeSwap, textOf } = await setUp()
    const onLost = vi.fn()
    await lease.acquire(undefined)
    const end = lease.keepAlive(onLost)
    beforeSwap(() => Promise.reject(new Error('no reply')))
    await renewal()
    beforeSwap(async () => {})
    expect(onLost).not.toHaveBeenCalled()
    end()
    expect([await lease.end(), textOf('k')]).toEqual([true, undefined])
  })

  test('has one item after each renewal, so that its end is one request', async () => {
    const { lease, backend, swaps } = await setUp()
    await lease.acquire(undefined)
    const end = lease.keepAlive(() => {})
    await renewal()
    await renewal()
    end()
    await backend.delete('k')
    swaps.length = 0
    expect([await lease.end(), swaps.length]).toEqual([false, 1])
  })

  test('that ends during a renewal waits for its outcome, and does not call back', async () => {
    const { lease, backend, beforeSwap, swaps } = await setUp()
    const onLost = vi.fn()
    await lease.acquire(undefined)
    const end = lease.keepAlive(onLost)
    const replied = gate()
    beforeSwap(() => replied.opened)
    await renewal()
    await backend.delete('k')
    end()
    const replacing = lease.replace('value', undefined)
    await settle()
    expect(swaps).toHaveLength(1)
    replied.open()
    expect(await replacing).toBe(false)
    expect(onLost).not.toHaveBeenCalled()
  })
})

describe('a wait for the lease of another process', () => {
  interface Reply {
    readonly item: unknown
    readonly lease?: unknown
    readonly at?: number
  }

  /** A wait whose reads return these replies, the last one again and again. */
  function begin(
    replies: readonly Reply[],
    { isElsewhere = false, ownAfter = Infinity, timeoutMs = 60_000 } = {},
  ) {
    const waits: number[] = []
    let reads = -1
    const reply = () => replies[Math.min(reads, replies.length - 1)] as Reply
    const polls: LeasePolls = {
      wait: async (ms) => {
        waits.push(ms)
        await settle()
      },
      read: async (store) => (store === otherStore ? reply().lease : reply().item),
      lastReadAt: () => reply().at ?? reads,
    }
    const outcome = awaitLease({
      store: {} as AnyStore,
      key: 'k',
      elsewhere: isElsewhere ? { store: otherStore, key: 'refresh k' } : undefined,
      found: 'old',
      timeoutMs,
      onRead: () => reads++,
      isOwn: () => reads >= ownAfter,
      polls,
    })
    return { outcome, waits, reads: () => reads + 1 }
  }

  test.each([
    ['there is a value', 'value'],
    ['there is nothing', undefined],
    ['the load has failed, which is read again', failed],
  ])('ends as a change if %s', async (_, item) => {
    const { outcome, waits, reads } = begin([{ item: leaseOf(0) }, { item }])
    expect([await outcome, waits.length, reads()]).toEqual([{ kind: 'changed' }, 2, 2])
  })

  test.each([
    ['changed', 'old', undefined],
    ['failed', 'old', failed],
    ['passed', 'old', passed],
    ['changed', 'new', leaseOf(0)],
    ['changed', 'new', failed],
  ])('beside a stale value is %s if those are %s and %s', async (kind, item, lease) => {
    const replies = [
      { item: 'old', lease: leaseOf(0) },
      { item, lease },
    ]
    const { outcome, waits } = begin(replies, { isElsewhere: true })
    // The first read is sent at once, because the lease may have ended.
    expect([await outcome, waits.length]).toEqual([{ kind }, 1])
  })

  test('ends if another load of this process has taken the lease', async () => {
    const { outcome, reads } = begin([{ item: leaseOf(0) }], { ownAfter: 2, timeoutMs: 2_000 })
    expect([await outcome, reads()]).toEqual([{ kind: 'changed' }, 3])
  })

  test('ends if the lease was not renewed for its duration, by the times of the reads', async () => {
    const item = leaseOf(1)
    const { outcome, reads } = begin([
      { item: leaseOf(0), at: 5 },
      { item, at: 5 + leaseMs },
      { item, at: 4 + 2 * leaseMs },
      { item, at: 5 + 2 * leaseMs },
    ])
    expect([await outcome, reads()]).toEqual([{ kind: 'abandoned', abandoned: item }, 4])
  })

  test('ends after its timeout, and does not pause for longer', async () => {
    const { outcome, waits } = begin([{ item: leaseOf(0), at: 0 }], { timeoutMs: 1 })
    expect(await outcome).toEqual({ kind: 'timeout' })
    expect(waits.every((ms) => ms <= 1)).toBe(true)
  })
})

describe('waits for several keys', () => {
  test('share a timer, until it has ended', async () => {
    const polls = new SharedPolls()
    const first = polls.wait(5)
    expect(polls.wait(60_000)).toBe(first)
    await first
    await settle()
    const next = polls.wait(1)
    expect(next).not.toBe(first)
    await next
  })

  test('share the reads of each store, from its primary, and their time', async () => {
    const calls: unknown[][] = []
    let repliedAt = 0
    const create = () => {
      const store = referenceStore()
      const getMany = store.getMany.bind(store)
      store.getMany = async (keys, options) => {
        calls.push([keys, options])
        await settle()
        repliedAt = performance.now()
        return getMany(keys, options)
      }
      return store as unknown as AnyStore
    }
    const [a, b] = [create(), create()]
    await a.set('k', 'value')
    const polls = new SharedPolls()
    const items = await Promise.all([polls.read(a, 'k'), polls.read(a, 'l'), polls.read(b, 'k')])
    expect([String(items[0]), items[1], items[2]]).toEqual(['value', undefined, undefined])
    const strong = { consistency: 'strong' }
    expect(calls).toEqual([
      [['k', 'l'], strong],
      [['k'], strong],
    ])
    expect(polls.lastReadAt()).toBeGreaterThanOrEqual(repliedAt)
  })
})
