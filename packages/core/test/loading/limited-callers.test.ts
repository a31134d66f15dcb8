import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  hasLimits,
  type LimitedCall,
  LimitedCaller,
  withLimits,
} from '../../src/loading/limited-caller.ts'
import { Flight, type StaleValue } from '../../src/loading/single-flight.ts'
import { gate, settle } from '../remember/two-processes.ts'

const never = new Promise<never>(() => {})

/** A stale value, which is read again with what the test decides. */
function staleValue(value: unknown, again: () => Promise<StaleValue | undefined> = () => never) {
  return { decode: () => value, readAgain: vi.fn(again) }
}

describe('a caller with limits', () => {
  test('receives the stale value of the flight that it waits for', () => {
    const caller = new LimitedCaller(true)
    expect([caller.staleValue, caller.isAnswered]).toEqual([undefined, false])
    const flight = new Flight('k')
    caller.enter(flight)
    expect(caller.staleValue).toBeUndefined()
    flight.stale = staleValue('old')
    expect(caller.staleValue).toBe('old')
    expect(flight.stale.readAgain).not.toHaveBeenCalled()
  })

  test('reads a stale value again that the flight has read before', async () => {
    const caller = new LimitedCaller(true)
    const flight = new Flight('k')
    const read = gate<StaleValue | undefined>()
    const stale = staleValue('old', () => read.opened)
    flight.stale = stale
    caller.enter(flight)
    expect(stale.readAgain).toHaveBeenCalledOnce()
    expect(caller.staleValue).toBeUndefined()
    read.open(staleValue('read again'))
    await read.opened
    expect(caller.staleValue).toBe('read again')
  })

  test('receives no stale value if the second read finds none, or fails', async () => {
    for (const again of [async () => undefined, () => Promise.reject(new Error('down'))]) {
      const caller = new LimitedCaller(true)
      const flight = new Flight('k')
      flight.stale = staleValue('old', again)
      caller.enter(flight)
      await settle()
      expect(caller.staleValue).toBeUndefined()
    }
  })

  test('reads nothing again without a timeout', () => {
    const flight = new Flight('k')
    const stale = staleValue('old')
    flight.stale = stale
    new LimitedCaller(false).enter(flight)
    expect(stale.readAgain).not.toHaveBeenCalled()
  })

  test('forgets what it has read when it waits for another flight', async () => {
    const caller = new LimitedCaller(true)
    const [first, second] = [new Flight('k'), new Flight('k')]
    first.stale = staleValue('old', async () => staleValue('read again'))
    caller.enter(first)
    await settle()
    caller.enter(second)
    expect(caller.staleValue).toBeUndefined()
    second.stale = staleValue('newer')
    expect(caller.staleValue).toBe('newer')
  })

  test('leaves the flight when it gives up, and each one that it enters later', () => {
    const caller = new LimitedCaller(false)
    const [first, second, other] = [new Flight('k'), new Flight('k'), new Flight('k')]
    caller.enter(first)
    expect(first.givenUp).toBeUndefined()
    caller.giveUp('left')
    caller.enter(second)
    expect([first.givenUp, second.givenUp]).toEqual([{ reason: 'left' }, { reason: 'left' }])
    const early = new LimitedCaller(false)
    early.giveUp('early')
    early.enter(other)
    expect(other.givenUp).toEqual({ reason: 'early' })
  })

  test('counts as one of the callers of the flight', () => {
    const flight = new Flight('k')
    const [one, two] = [new LimitedCaller(false), new LimitedCaller(false)]
    one.enter(flight)
    two.enter(flight)
    one.giveUp('left')
    expect(flight.givenUp).toBeUndefined()
  })
})

test.each([
  [{}, false],
  [{ timeout: undefined, signal: undefined }, false],
  [{ timeout: 0 }, true],
  [{ signal: new AbortController().signal }, true],
])('a call has limits if it has a timeout or a signal: %o', (limits, expected) => {
  expect(hasLimits(limits)).toBe(expected)
})

describe('a call with limits', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  function setUp() {
    const published: string[] = []
    const notes: string[] = []
    const observed = {
      isAborted: false,
      note: (outcome: string) => notes.push(outcome),
    }
    const entries = {
      store: { name: 'store' },
      publishStale: (key: string) => published.push(key),
    }
    const call = { entries, storageKey: 'p:k', observed } as unknown as LimitedCall
    return { call, observed, published, notes }
  }

  test('returns what it waits for, and leaves neither a timer nor a listener', async () => {
    const controller = new AbortController()
    const { signal } = controller
    const removed = vi.spyOn(signal, 'removeEventListener')
    const { call, observed } = setUp()
    const value = withLimits({ timeout: '1s', signal }, call, async () => 'value')
    expect(vi.getTimerCount()).toBe(1)
    expect(await value).toBe('value')
    expect(vi.getTimerCount()).toBe(0)
    expect(removed).toHaveBeenCalledOnce()
    controller.abort()
    expect(observed.isAborted).toBe(false)
  })

  test('rejects as what it waits for does, and leaves no timer', async () => {
    const { call } = setUp()
    const failing = withLimits({ timeout: '1s' }, call, () => Promise.reject(new Error('down')))
    await expect(failing).rejects.toThrow('down')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('without a timeout has no timer', async () => {
    const { call } = setUp()
    const { signal } = new AbortController()
    const value = withLimits({ signal }, call, async (caller) => {
      const flight = new Flight('k')
      const stale = staleValue('old')
      flight.stale = stale
      caller.enter(flight)
      return stale.readAgain.mock.calls.length
    })
    expect(vi.getTimerCount()).toBe(0)
    expect(await value).toBe(0)
  })

  test('rejects with the reason of its signal, and gives the load up', async () => {
    const controller = new AbortController()
    const { call, observed } = setUp()
    const flight = new Flight('k')
    const { signal } = controller
    const waiting = withLimits({ signal }, call, (caller) => {
      caller.enter(flight)
      return never
    })
    expect(observed.isAborted).toBe(false)
    controller.abort('left')
    await expect(waiting).rejects.toBe('left')
    expect([flight.givenUp, observed.isAborted]).toEqual([{ reason: 'left' }, true])
  })

  test('does not begin if its signal has aborted', async () => {
    const { call, observed } = setUp()
    const run = vi.fn(async () => 'value')
    const signal = AbortSignal.abort('gone')
    await expect(withLimits({ signal }, call, run)).rejects.toBe('gone')
    expect([run.mock.calls, observed.isAborted]).toEqual([[], true])
    await expect(withLimits({ signal }, { ...call, observed: undefined }, run)).rejects.toBe('gone')
  })

  test('does not begin if its timeout is not a duration', async () => {
    const run = vi.fn(async () => 'value')
    const invalid = withLimits({ timeout: 'soon' as never }, setUp().call, run)
    await expect(invalid).rejects.toThrow('remember: timeout is not a duration')
    expect(run).not.toHaveBeenCalled()
  })

  test('returns the stale value after its timeout, and publishes that', async () => {
    const { call, published, notes } = setUp()
    let caller: LimitedCaller | undefined
    const waiting = withLimits({ timeout: '1s' }, call, (own) => {
      caller = own
      const flight = new Flight('k')
      own.enter(flight)
      flight.stale = staleValue('old')
      return never
    })
    await vi.advanceTimersByTimeAsync(999)
    expect([published, notes, caller?.isAnswered]).toEqual([[], [], false])
    await vi.advanceTimersByTimeAsync(1)
    expect(await waiting).toBe('old')
    expect([published, notes, caller?.isAnswered]).toEqual([['p:k'], ['stale'], true])
  })

  test('rejects after its timeout without a stale value', async () => {
    const { call, published, notes } = setUp()
    const waiting = withLimits({ timeout: '1s' }, call, () => never)
    const rejected = expect(waiting).rejects.toMatchObject({
      code: 'ERR_CACHE_TIMEOUT',
      message: expect.stringContaining('remember failed: no value within 1000 ms.'),
      store: 'store',
      operation: 'remember',
      key: 'p:k',
    })
    await vi.advanceTimersByTimeAsync(1_000)
    await rejected
    expect([published, notes]).toEqual([[], []])
  })
})
