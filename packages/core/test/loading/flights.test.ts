import { describe, expect, test } from 'vitest'
import { Flight, FlightGroup, FlightGroups, noResult } from '../../src/loading/single-flight.ts'
import { gate } from '../remember/two-processes.ts'

const never = new Promise<never>(() => {})

describe('a flight', () => {
  test('is reading until its second step, and counts its reads and loads', () => {
    const flight = new Flight('k')
    expect([flight.key, flight.step, flight.isReading]).toEqual(['k', 1, true])
    flight.beginRead()
    expect([flight.step, flight.isReading]).toEqual([2, false])
    flight.beginLoad()
    expect(flight.step).toBe(3)
  })

  test('begins with a value that may be stored, and with nobody who has given up', () => {
    const { isCurrent, isAbandoned, givenUp } = new Flight('k')
    expect({ isCurrent, isAbandoned, givenUp }).toEqual({
      isCurrent: true,
      isAbandoned: false,
      givenUp: undefined,
    })
  })

  test.each([
    ['all', [true, true, true, true, true]],
    ['beforeLoad', [true, true, true, false, false]],
    ['beforeRead', [true, true, false, false, false]],
    ['leader', [false, false, false, false, false]],
    ['nobody', [false, false, false, false, false]],
  ] as const)('gives a result for %s to callers that joined before', (audience, expected) => {
    const flight = new Flight('k')
    flight.beginRead()
    flight.endRead()
    flight.beginLoad()
    const joins = [0, 1, 2, 3, 4]
    const isReceived = joins.map((joined) => flight.isReceivedBy(joined, { ...noResult, audience }))
    expect(isReceived).toEqual(expected)
  })

  test('gives what it read first only to callers that joined before it began', () => {
    const flight = new Flight('k')
    const found = { ...noResult, audience: 'beforeRead' } as const
    // A read that failed does not count.
    flight.beginRead()
    expect([0, 1].map((joined) => flight.isReceivedBy(joined, found))).toEqual([true, false])
  })

  test('gives a value that no loader has returned to every caller that waits for the load', () => {
    const result = { ...noResult, audience: 'beforeLoad' } as const
    expect(new Flight('k').isReceivedBy(100, result)).toBe(true)
  })

  test('settles all that have joined, in the same way', async () => {
    const [resolved, rejected, alone] = [new Flight('a'), new Flight('b'), new Flight('c')]
    const joined = [resolved.result(), resolved.result()]
    resolved.resolve(noResult)
    expect(await Promise.all(joined)).toEqual([noResult, noResult])
    const failing = [rejected.result(), rejected.result()]
    rejected.reject('down')
    for (const each of failing) await expect(each).rejects.toBe('down')
    // Nobody handles the rejection of a flight that nobody has joined.
    alone.reject('down')
  })

  test('is aborted by the last caller that gives up, and abandoned', () => {
    const flight = new Flight('k')
    const reasons: unknown[] = []
    flight.abort = (reason) => reasons.push(reason)
    flight.enter()
    flight.enter()
    flight.leave('first')
    expect([reasons, flight.isAbandoned, flight.givenUp]).toEqual([[], false, undefined])
    flight.leave('last')
    expect([reasons, flight.isAbandoned]).toEqual([['last'], true])
    expect(flight.givenUp).toEqual({ reason: 'last' })
  })

  test('is not abandoned before its load, because another caller may join', () => {
    const flight = new Flight('k')
    flight.enter()
    flight.leave('left')
    expect([flight.isAbandoned, flight.givenUp]).toEqual([false, { reason: 'left' }])
    flight.enter()
    expect(flight.givenUp).toBeUndefined()
  })

  test('reaches those that it waits for, directly or through others, until it stops waiting', () => {
    const [a, b, c, other] = ['a', 'b', 'c', 'd'].map((key) => new Flight(key)) as [
      Flight,
      Flight,
      Flight,
      Flight,
    ]
    expect([a.reaches(a), a.reaches(b)]).toEqual([true, false])
    a.stopWaitingFor(b)
    a.startWaitingFor(other)
    a.startWaitingFor(b)
    b.startWaitingFor(c)
    expect([a.reaches(b), a.reaches(c), a.reaches(other), c.reaches(a)]).toEqual([
      true,
      true,
      true,
      false,
    ])
    a.stopWaitingFor(b)
    expect([a.reaches(b), a.reaches(c), a.reaches(other)]).toEqual([false, false, true])
  })

  test('is searched once, however many wait in a circle', () => {
    const [a, b] = [new Flight('a'), new Flight('b')]
    a.startWaitingFor(b)
    b.startWaitingFor(a)
    expect([a.reaches(b), a.reaches(new Flight('c'))]).toEqual([true, false])
  })
})

describe('the flights of a key', () => {
  const setUp = () => {
    const groups = new FlightGroups()
    return { group: new FlightGroup(groups), groups }
  }

  test('are the one that callers join, and the one that refreshes', () => {
    const { group } = setUp()
    expect([group.find('k'), group.findRefresh('k')]).toEqual([undefined, undefined])
    const refresh = group.beginRefresh('k')
    expect(group.find('k')).toBeUndefined()
    const flight = group.begin('k')
    expect([flight.key, refresh.key]).toEqual(['k', 'k'])
    expect([group.find('k'), group.findRefresh('k'), group.find('other')]).toEqual([
      flight,
      refresh,
      undefined,
    ])
    expect(flight).not.toBe(refresh)
    group.end(flight)
    group.end(refresh)
    expect([group.find('k'), group.findRefresh('k')]).toEqual([undefined, undefined])
  })

  test('are not joined any more when they are abandoned', () => {
    const { group } = setUp()
    group.begin('k').isAbandoned = true
    expect(group.find('k')).toBeUndefined()
  })

  test('resolve when they end with a result', async () => {
    const { group } = setUp()
    const flight = group.begin('k')
    const joined = flight.result()
    group.end(flight, noResult)
    expect(await joined).toBe(noResult)
  })

  test('may reject when they have ended without a result', async () => {
    const { group } = setUp()
    const flight = group.begin('k')
    const joined = flight.result()
    group.end(flight)
    flight.reject('down')
    await expect(joined).rejects.toBe('down')
  })

  test('end one by one: neither the refresh nor an earlier flight ends the one that callers join', () => {
    const { group } = setUp()
    const earlier = group.begin('k')
    const flight = group.begin('k')
    const refresh = group.beginRefresh('k')
    group.end(refresh)
    group.end(earlier)
    expect([group.find('k'), group.findRefresh('k')]).toEqual([flight, undefined])
    const next = group.beginRefresh('k')
    group.end(flight)
    group.end(earlier)
    expect([group.find('k'), group.findRefresh('k')]).toEqual([undefined, next])
  })

  test('store nothing after a write of the key, also those that another one has replaced', () => {
    const { group } = setUp()
    const [replaced, flight, refresh] = [
      group.begin('k'),
      group.begin('k'),
      group.beginRefresh('k'),
    ]
    const [earlier, other, otherRefresh] = [
      group.begin('o'),
      group.begin('o'),
      group.beginRefresh('o'),
    ]
    group.invalidate('k')
    expect([replaced, flight, refresh].map((each) => each.isCurrent)).toEqual([false, false, false])
    expect([earlier, other, otherRefresh].map((each) => each.isCurrent)).toEqual([true, true, true])
    expect([group.find('k'), group.findRefresh('k')]).toEqual([undefined, undefined])
    expect([group.find('o'), group.findRefresh('o')]).toEqual([other, otherRefresh])
  })

  test.each([
    ['that callers join', (group: FlightGroup) => group.begin('p:k')],
    ['that refreshes', (group: FlightGroup) => group.beginRefresh('p:k')],
    [
      'that another one has replaced',
      (group: FlightGroup) => {
        const flight = group.begin('p:k')
        group.end(group.begin('p:k'))
        return flight
      },
    ],
  ])('store nothing after a clear: one %s', (_, begin) => {
    const { group } = setUp()
    const flight = begin(group)
    group.invalidateAll('q:')
    expect(flight.isCurrent).toBe(true)
    group.invalidateAll('p:')
    expect(flight.isCurrent).toBe(false)
  })

  test('remain after a write of a key that has none', () => {
    const { group } = setUp()
    const flights = [group.begin('k'), group.beginRefresh('k')]
    group.invalidate('other')
    expect(flights.map((each) => each.isCurrent)).toEqual([true, true])
  })

  test('leave other keys alone when a prefix is cleared', () => {
    const { group } = setUp()
    const [inside, outside] = [group.begin('p:k'), group.begin('k')]
    group.invalidateAll('p:')
    expect([inside.isCurrent, outside.isCurrent]).toEqual([false, true])
  })
})

describe('the writes of loaded values', () => {
  test('are listed by prefix until they settle, also in failure', async () => {
    const group = new FlightGroup(new FlightGroups())
    expect(group.writeBacks('')).toEqual([])
    const [stored, failed] = [gate<boolean>(), gate<boolean>()]
    const write = group.trackWriteBack('p:a', stored.opened)
    const failing = group.trackWriteBack('b', failed.opened)
    expect(write).toBe(stored.opened)
    expect(group.writeBacks('p:')).toEqual([write])
    expect(group.writeBacks('')).toEqual([write, failing])
    stored.open(true)
    await write
    expect(group.writeBacks('')).toEqual([failing])
    failed.fail('down')
    await failing.catch(() => {})
    expect(group.writeBacks('')).toEqual([])
  })
})

describe('the groups of flights of a scope', () => {
  /** Begins something in a group of its own. */
  const begins = {
    'a flight': (group: FlightGroup) => void group.begin('k'),
    'a refresh': (group: FlightGroup) => void group.beginRefresh('k'),
    'a write': (group: FlightGroup) => void group.trackWriteBack('k', never),
    'an earlier flight': (group: FlightGroup) => {
      group.begin('k')
      group.end(group.begin('k'))
    },
  }

  test.each(Object.entries(begins))(
    'contain one with %s, once, as long as it is busy',
    (_, begin) => {
      const groups = new FlightGroups()
      const busy = new FlightGroup(groups)
      expect(groups.all).toEqual([])
      begin(busy)
      begin(busy)
      expect(groups.all).toEqual([busy])
      // Idle ones are removed when eight are listed.
      for (let index = 0; index < 7; index++) groups.add(new FlightGroup(groups))
      expect(groups.all).toHaveLength(8)
      groups.add(new FlightGroup(groups))
      expect(groups.all).toHaveLength(2)
      expect(groups.all[0]).toBe(busy)
    },
  )

  test('list one again that was removed when it was idle', () => {
    const groups = new FlightGroups()
    const group = new FlightGroup(groups)
    group.end(group.begin('k'))
    expect(group.unlistIfIdle()).toBe(true)
    group.begin('k')
    expect(groups.all).toEqual([group, group])
    expect(group.unlistIfIdle()).toBe(false)
    group.begin('other')
    expect(groups.all).toEqual([group, group])
  })

  test('are searched for idle ones when twice as many are listed as were busy', () => {
    const groups = new FlightGroups()
    const add = (count: number) => {
      for (let index = 0; index < count; index++) new FlightGroup(groups).begin('k')
    }
    add(9)
    for (let index = 0; index < 7; index++) groups.add(new FlightGroup(groups))
    expect(groups.all).toHaveLength(16)
    groups.add(new FlightGroup(groups))
    expect(groups.all).toHaveLength(10)
  })
})
