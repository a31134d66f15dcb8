import { CacheError, channels } from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { Recovery } from '../../src/failover/recovery/recovery.ts'
import { gate } from '../remember/two-processes.ts'

const unreachable = new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'x' })
const readOnly = new CacheError('ERR_CACHE_REJECTED', 'refused', {
  ...{ retryable: true, cause: new Error('READONLY') },
})

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
})
afterEach(() => {
  vi.mocked(Math.random).mockRestore()
  vi.useRealTimers()
})

/** A recovery between two stores, and what happens when, in milliseconds. */
function setUp({ isShared = true, hasScan = true, journal = 100, share = 0.5 } = {}) {
  const timeline: string[] = []
  const startedAt = performance.now()
  const note = (event: string) => {
    timeline.push(`${Math.round(performance.now() - startedAt)} ${event}`)
  }
  const items = referenceStore({ clock: { now: () => performance.now(), sleep: async () => {} } })
  const state = { isDown: false, before: (_call: string): unknown => undefined }
  const primary = new Proxy(items, {
    get(target, name) {
      const member = Reflect.get(target, name, target)
      if (name === 'scan' && !hasScan) return undefined
      if (name === 'name') return 'primary'
      if (typeof member !== 'function' || name === 'scan') return member
      return async (...args: unknown[]) => {
        const isRead = args[1] !== null && typeof args[1] === 'object'
        const call =
          `${String(name)} ${args[0] ?? ''}${isRead ? ` ${JSON.stringify(args[1])}` : ''}`.trim()
        if (!call.includes('~probe')) note(call)
        await state.before(call)
        if (state.isDown) throw unreachable
        return member.apply(target, args)
      }
    },
  }) as unknown as ByteStore
  const fallback = {
    ...{ isShared, store: { name: 'fallback' }, onReplaced: () => {} },
    get: async () => undefined,
    deleteMany: async (keys: string[]) => note(`fallback deletes ${keys}`),
    refresh: () => note('refresh'),
    renew: async (isAway: boolean) => note(`renew ${isAway}`),
    drop: async () => note('drop'),
    end: async () => note('end'),
  }
  const settings = { share, calls: 4, windowMs: 2_000, probeMs: 1_000, journal, settleMs: 300 }
  const recovery = new Recovery(primary, fallback as never, settings)
  recovery.onSettled((keys) => note(`settled ${keys ?? 'all'}`))
  const onFailover = (event: unknown) => {
    const {
      store,
      fallback: other,
      phase,
      journal: size,
      hasOverflown,
    } = event as Record<string, unknown>
    note(`${store} ${other} ${phase} ${size} ${hasOverflown}`)
  }
  const onBreaker = (event: unknown) => {
    const { store, state: breaker, error } = event as Record<string, unknown>
    note(`${store} ${breaker}${error === undefined ? '' : ` ${(error as Error).message}`}`)
  }
  channels.failover.subscribe(onFailover)
  channels.breaker.subscribe(onBreaker)
  onTestFinished(async () => {
    channels.failover.unsubscribe(onFailover)
    channels.breaker.unsubscribe(onBreaker)
    state.isDown = false
    await recovery.close()
  })
  const succeed = (calls: number) => {
    for (let call = 0; call < calls; call++) recovery.rate.succeed(undefined)
  }
  const fail = (calls: number) => {
    for (let call = 0; call < calls; call++) recovery.noteFailure(unreachable)
  }
  /** What happens in the next milliseconds. */
  const next = async (ms: number) => {
    await vi.advanceTimersByTimeAsync(ms)
    return timeline.splice(0)
  }
  return { recovery, state, items, fallback, succeed, fail, next, timeline }
}

const phase = (name: string, size = 0, hasOverflown = false) =>
  `primary fallback ${name} ${size} ${hasOverflown}`
const settlingRead = 'get ~settling {"consistency":"strong"}'
/** Events of the same moment. */
const at = (ms: number, ...events: string[]) => events.map((event) => `${ms} ${event}`)
const renewals = (from: number, to: number, isAway: boolean) =>
  Array.from({ length: (to - from) / 100 + 1 }, (_, step) => `${from + step * 100} renew ${isAway}`)

describe('the way back', () => {
  test.each([
    ['after an outage', ({ fail }: ReturnType<typeof setUp>) => fail(1)],
    [
      'after a few failures',
      ({ recovery, succeed }: ReturnType<typeof setUp>) => {
        succeed(20)
        recovery.noteFailure(unreachable)
      },
    ],
  ])('what is written while a generation begins is unsettled in that: %s', async (_, begin) => {
    const setup = setUp({ hasScan: false, isShared: false })
    const { recovery, state, items, next } = setup
    const used = 'mjuohs03.EMMm5HCm'
    await items.set('p:~generation', 'mjuohs04.adG4v7T-')
    begin(setup)
    recovery.drain.unsettled.noteId('p:~generation', used)
    recovery.noteWrite(`p:${used}:before`)
    state.before = (call) => {
      if (call.startsWith('compareAndSet')) {
        for (const key of [`p:${used}:k`, 'other']) recovery.noteWrite(key)
      }
      // The caches know the generation.
      if (call.startsWith('delete ')) recovery.noteWrite(`p:${used}:after`)
    }
    while (String(items.get('p:~generation')).startsWith('mjuohs04')) await next(100)
    const prefix = `p:${items.get('p:~generation')}:`
    const readsFallback = () =>
      [`${prefix}k`, `${prefix}before`, `${prefix}after`, 'other'].map((key) =>
        recovery.readsFallback(key),
      )
    expect(readsFallback()).toEqual([true, false, false, false])
    // Another process has loaded it before.
    await items.set(`${prefix}k`, 'old')
    const events = await next(200)
    expect(items.get(`${prefix}k`)).toBeUndefined()
    events.push(...(await next(400)))
    const deletions = events.filter((event) => /delete/.test(event)).map((event) => event.slice(4))
    expect(deletions).toEqual([
      ...[`delete ${prefix}k`, `delete ${prefix}k`, `fallback deletes ${prefix}k`],
    ])
    expect(readsFallback()).toEqual([false, false, false, false])
  })

  test('after a few failures deletes what they may have changed, twice', async () => {
    const { recovery, succeed, next } = setUp()
    succeed(20)
    recovery.noteFailedChange(['k'], unreachable)
    recovery.noteFailedChange(['r'], readOnly)
    expect(await next(1_500)).toEqual([
      ...at(0, phase('partial')),
      ...at(100, 'renew false', 'deleteMany k,r'),
      ...renewals(200, 400, false),
      ...at(400, 'deleteMany k,r', 'settled k,r', 'ping', phase('primary'), 'settled all', 'end'),
    ])
  })

  test('after most calls of a moment have failed begins with a ping', async () => {
    const { fail, next } = setUp()
    fail(1)
    expect(await next(1_500)).toEqual([
      ...at(0, phase('partial'), 'refresh', phase('suspected')),
      ...at(0, 'renew true', 'ping', phase('settling'), 'set ~settling'),
      ...renewals(100, 300, true),
      ...at(300, settlingRead, phase('partial'), 'settled all'),
      ...renewals(400, 600, false),
      ...at(600, 'ping', phase('primary'), 'settled all', 'end'),
    ])
  })

  test.each([
    [0, 800],
    [0.5, 1_000],
    [1, 1_200],
  ])('after an outage is found by pings: %d, every %d ms', async (random, interval) => {
    vi.mocked(Math.random).mockReturnValue(random)
    const { recovery, state, fail, next } = setUp()
    state.isDown = true
    fail(4)
    recovery.noteChange('k')
    expect(recovery.phase).toBe('fallback')
    const pinged = (ms: number) =>
      at(ms, 'renew true', 'primary half-open', 'ping', 'primary open down')
    expect(await next(2.5 * interval)).toEqual([
      ...at(0, phase('partial'), 'refresh', phase('suspected')),
      ...at(0, 'refresh', phase('fallback'), 'primary open down'),
      ...[0, interval, 2 * interval].flatMap(pinged),
    ])
    fail(4)
    recovery.noteChange('k')
    state.isDown = false
    const back = 3 * interval
    expect(await next(2_500)).toEqual([
      ...at(back, 'renew true', 'primary half-open', 'ping', 'primary closed'),
      ...at(back, phase('settling', 1), 'set ~settling', 'delete k'),
      ...renewals(back + 100, back + 300, true),
      ...at(back + 300, settlingRead, phase('partial'), 'settled all'),
      ...renewals(back + 400, back + 600, false),
      ...at(back + 600, 'ping', phase('primary'), 'settled all', 'end'),
    ])
  })

  test('after an outage that begins with the first failure is found by a ping', async () => {
    const { recovery, succeed, fail, next } = setUp({ share: 0.25 })
    succeed(3)
    fail(1)
    expect(recovery.phase).toBe('fallback')
    expect(await next(1_000)).toContain('1000 ping')
  })

  test('drops the items of a fallback store that others do not write to', async () => {
    const { recovery, state, fail, next } = setUp({ isShared: false })
    state.isDown = true
    fail(1)
    recovery.noteChange('k')
    expect(await next(900)).toEqual([
      ...at(0, phase('partial'), 'refresh', phase('suspected')),
      ...at(0, 'renew true', 'ping', 'refresh', phase('fallback', 1), 'primary open down'),
    ])
    state.isDown = false
    expect(await next(450)).toEqual([
      ...at(1_000, 'renew true', 'primary half-open', 'ping', 'primary closed'),
      ...at(1_000, phase('settling', 1), 'set ~settling', 'delete k'),
      ...renewals(1_100, 1_300, true),
      ...at(1_300, settlingRead, 'drop', phase('partial'), 'settled all'),
    ])
  })

  test('deletes what changes while it settles, and marks that it does', async () => {
    const { recovery, fail, next } = setUp()
    fail(1)
    await next(50)
    recovery.noteChange('k')
    expect(await next(100)).toEqual([...at(100, 'renew true', 'set ~settling', 'delete k')])
  })

  test('waits for other processes that settle, but not for ever', async () => {
    const { items, fail, next } = setUp()
    fail(1)
    await next(0)
    items.set('~settling', 'by another one')
    expect((await next(2_950)).at(-1)).toBe(`2900 ${settlingRead}`)
    expect(await next(60)).toEqual(at(3_000, 'renew true', phase('partial'), 'settled all'))
  })

  test('does not wait for others if that cannot be found out', async () => {
    const { state, fail, next } = setUp()
    fail(1)
    state.before = (call) => {
      if (call === settlingRead || call === 'set ~settling') throw unreachable
    }
    expect((await next(310)).slice(-3)).toEqual(
      at(300, settlingRead, phase('partial'), 'settled all'),
    )
  })

  test('deletes twice what a call with an unknown outcome has changed, before it is read', async () => {
    const { recovery, state, next } = setUp()
    recovery.noteFailedChange(['k'], unreachable)
    expect(await next(250)).toContain('0 delete k')
    const reply = gate()
    state.before = (call) => call === 'delete k' && reply.opened
    const [event] = (await next(100)).slice(-1)
    const { phase: before } = recovery
    reply.open()
    expect([event, before]).toEqual(['300 delete k', 'settling'])
    expect(await next(0)).toEqual(at(350, phase('partial'), 'settled all'))
  })

  test.each([
    ['for the first time', false],
    ['for the second time', true],
  ])('does not end if an outage begins while it deletes a key %s', async (_, isSecond) => {
    const { recovery, state, fail, next } = setUp()
    if (isSecond) recovery.noteFailedChange(['k'], unreachable)
    else fail(1)
    await next(250)
    if (!isSecond) recovery.noteChange('k')
    state.before = (call) => {
      if (call !== 'delete k') return
      state.isDown = true
      fail(4)
    }
    const events = await next(100)
    expect(events).toContain(`300 ${phase('fallback', isSecond ? 0 : 1)}`)
    expect(events).not.toContain(`300 ${phase('partial')}`)
    expect(events.includes(`300 ${settlingRead}`)).toBe(isSecond)
  })

  test.each([
    ['until the generation of the outage is replaced', 1, 400],
    ['no longer than for others, if that generation cannot be replaced', Infinity, 3_000],
  ])('waits %s', async (_, failures, returned) => {
    const { recovery, state, fail, next } = setUp()
    fail(1)
    await next(0)
    recovery.drain.unsettled.noteId('a:~generation', 'mjuohs18.vy8MR5Cn')
    let calls = 0
    state.before = (call) => {
      if (call.startsWith('add a:~generation') && calls++ < failures) throw unreachable
    }
    expect(await next(returned - 10)).not.toContainEqual(expect.stringContaining(phase('partial')))
    expect(await next(20)).toContain(`${returned} ${phase('partial')}`)
  })

  test('waits until the items of the outage are dropped', async () => {
    const { fallback, fail, next } = setUp({ isShared: false })
    const dropped = gate()
    fallback.drop = () => dropped.opened
    fail(1)
    const events = await next(450)
    dropped.open()
    expect(events.at(-1)).toBe(`300 ${settlingRead}`)
    expect(await next(0)).toEqual(at(450, phase('partial'), 'settled all'))
  })

  test('counts the failures while it settles only', async () => {
    const { recovery, succeed, fail, next } = setUp()
    fail(4)
    await next(50)
    succeed(4)
    fail(1)
    expect(recovery.phase).toBe('settling')
  })

  test('counts the calls since its end', async () => {
    const { recovery, succeed, fail, next } = setUp()
    fail(1)
    await next(250)
    succeed(100)
    await next(100)
    fail(1)
    expect(recovery.phase).toBe('suspected')
  })

  test('settles the id of a generation in one step', async () => {
    const { recovery, succeed, next } = setUp()
    succeed(20)
    recovery.noteFailedChange(['p:~generation'], readOnly)
    expect(await next(150)).toContain('100 settled p:~generation')
  })

  test('waits until all prefixes are cleared', async () => {
    const { recovery, state, fail, next } = setUp()
    state.isDown = true
    fail(4)
    await next(10)
    recovery.noteClear('')
    state.isDown = false
    state.before = (call) => {
      if (call === 'clear') throw unreachable
    }
    await next(2_000)
    expect([recovery.phase, recovery.drain.isIncomplete]).toEqual(['settling', true])
    state.before = () => undefined
    await next(200)
    expect(recovery.phase).toBe('partial')
    recovery.noteClear('')
    expect(recovery.drain.isIncomplete).toBe(false)
  })

  test('ends when nothing has failed for a while, and a ping is answered', async () => {
    const { state, recovery, succeed, fail, next } = setUp()
    succeed(20)
    fail(1)
    await next(250)
    succeed(20)
    fail(1)
    expect((await next(250)).filter((event) => event.includes('ping'))).toEqual([])
    state.isDown = true
    const events = (await next(150)).filter((event) => !event.includes('renew'))
    expect(events.slice(0, 3)).toEqual(at(600, 'ping', 'refresh', phase('suspected')))
    expect(recovery.phase).toBe('fallback')
  })

  test('does not end if something fails during its ping', async () => {
    const { recovery, succeed, fail, state, next } = setUp()
    succeed(20)
    fail(1)
    state.before = (call) => {
      if (call !== 'ping') return
      succeed(20)
      fail(1)
    }
    await next(310)
    expect(recovery.phase).toBe('partial')
  })
})

describe('a step', () => {
  test('does not lead back if an outage has begun during its ping, however late the reply', async () => {
    const { recovery, state, succeed, fail, next } = setUp()
    const reply = gate()
    succeed(20)
    fail(1)
    state.before = (call) => call === 'ping' && reply.opened
    await next(310)
    fail(30)
    await next(350)
    reply.open()
    await next(0)
    expect(recovery.phase).toBe('fallback')
  })

  test('that fails is followed by the next one', async () => {
    const { fallback, succeed, fail, next } = setUp()
    const renew = vi.spyOn(fallback, 'renew').mockRejectedValue(new Error('down'))
    succeed(20)
    fail(1)
    await next(250)
    expect(renew).toHaveBeenCalledTimes(2)
  })

  test('begins with the renewal of the outage, and waits for it', async () => {
    const { fallback, fail, next } = setUp()
    const renewed = gate()
    fallback.renew = () => renewed.opened
    fail(1)
    expect(await next(50)).not.toContain('0 ping')
    renewed.open()
    expect(await next(0)).toContain('50 ping')
  })

  test('is not taken before the outage has ended', async () => {
    const { fallback, succeed, fail, next } = setUp()
    const ended = gate()
    fallback.end = () => ended.opened
    succeed(20)
    fail(1)
    await next(350)
    succeed(20)
    fail(1)
    const events = await next(200)
    ended.open()
    expect(events).toEqual(at(350, phase('partial')))
    expect(await next(100)).toContain('650 renew false')
  })

  test('of an outage follows an interval after the last one has begun', async () => {
    const { state, fail, next } = setUp()
    const reply = gate()
    state.isDown = true
    state.before = (call) => call === 'ping' && reply.opened
    fail(4)
    await next(400)
    reply.open()
    expect((await next(600)).slice(-4)).toEqual(
      at(1_000, 'renew true', 'primary half-open', 'ping', 'primary open down'),
    )
  })

  test('that takes long is the only one', async () => {
    const { recovery, state, succeed, fail, next } = setUp()
    succeed(20)
    fail(1)
    recovery.noteChange('k')
    const reply = gate()
    state.before = (call) => call === 'delete k' && reply.opened
    await next(150)
    succeed(20)
    fail(1)
    const meanwhile = await next(200)
    reply.open()
    expect(meanwhile).toEqual([])
    expect(await next(100)).toEqual(
      at(450, 'renew false', 'ping', phase('primary'), 'settled all', 'end'),
    )
  })

  test.each([
    ['set ~settling', 0],
    ['delete k', 0],
    ['set ~settling', 100],
    ['delete k', 100],
  ])('waits for each call while the primary store settles: %s, %d ms', async (slow, ms) => {
    const { recovery, state, fail, next } = setUp()
    const reply = gate()
    fail(1)
    if (ms > 0) await next(50)
    state.before = (call) => call === slow && reply.opened
    recovery.noteChange('k')
    const events = await next(250)
    reply.open()
    expect(events.at(-1)).toBe(`${ms} ${slow}`)
  })

  test('is taken earlier if more calls fail', async () => {
    const { state, succeed, fail, next } = setUp()
    succeed(20)
    fail(1)
    await next(50)
    state.isDown = true
    fail(30)
    expect((await next(1)).at(-1)).toBe('50 primary open down')
  })

  test('takes the place of the one that was planned later', async () => {
    const { succeed, fail, next } = setUp()
    succeed(20)
    await next(500)
    fail(1)
    await next(50)
    fail(8)
    const renewed = (await next(100)).filter((event) => event.includes('renew'))
    expect(renewed).toEqual(['550 renew true', '650 renew true'])
  })

  test('is not taken while only the primary store is used, or after close', async () => {
    const { recovery, succeed, fail, next } = setUp()
    expect(await next(1_000)).toEqual([])
    succeed(20)
    fail(1)
    recovery.noteChange('k')
    await recovery.close()
    expect(await next(1_000)).toEqual([...at(1_000, phase('partial'), 'delete k')])
    fail(1)
    recovery.noteChange('l')
    expect(await next(1_000)).toEqual([])
    expect(recovery.phase).toBe('partial')
  })
})

describe('close', () => {
  test.each([
    ['primary', 0, []],
    ['fallback', 4, []],
    ['settling', 1, at(0, 'delete k')],
  ] as const)(
    'deletes the journal if the primary store replies: %s',
    async (name, failures, deletes) => {
      const { recovery, state, fail, next } = setUp()
      state.isDown = name === 'fallback'
      fail(failures)
      await next(0)
      expect(recovery.phase).toBe(name)
      recovery.drain.unsettled.add('k', false)
      await recovery.close()
      expect((await next(0)).filter((event) => event.includes('delete'))).toEqual(deletes)
    },
  )

  test('waits for the deletes', async () => {
    const { recovery, state, succeed, fail, next } = setUp()
    succeed(20)
    fail(1)
    recovery.noteChange('k')
    let isDeleted = false
    state.before = async (call) => {
      if (call !== 'delete k') return
      await new Promise(setImmediate)
      isDeleted = true
    }
    await recovery.close()
    expect([isDeleted, await next(0)]).toEqual([true, at(0, phase('partial'), 'delete k')])
  })
})

describe('what is used', () => {
  test.each([
    ['primary', true, false, false, false],
    ['primary', false, false, false, false],
    ['partial', true, false, false, true],
    ['partial', false, false, false, false],
    ['suspected', true, true, true, true],
    ['fallback', false, true, true, true],
    ['settling', true, true, true, true],
  ] as const)('in the phase %s, shared %s', (name, isShared, isAway, readsFallback, isMirrored) => {
    const { recovery } = setUp({ isShared })
    recovery.phase = name
    const { isAway: away, isMirrored: mirrored } = recovery
    expect([away, recovery.readsFallback('k'), mirrored]).toEqual([
      isAway,
      readsFallback,
      isMirrored,
    ])
    recovery.drain.unsettled.add('k', false)
    expect([recovery.readsFallback('k'), recovery.readsFallback('l')]).toEqual([true, isAway])
    recovery.phase = 'primary'
  })

  test('does not change for another error', async () => {
    const { recovery, next } = setUp()
    const mistake = new TypeError('a mistake')
    expect(() => recovery.noteFailure(mistake)).toThrow(mistake)
    expect(() => recovery.noteFailedChange(['k'], mistake)).toThrow(mistake)
    expect([recovery.phase, recovery.drain.isDone, await next(500)]).toEqual(['primary', true, []])
  })

  test('is only the fallback store for reads when it is not known what is outdated', async () => {
    const { recovery, succeed, next } = setUp({ journal: 1 })
    succeed(20)
    recovery.noteFailedChange(['a'], unreachable)
    expect(recovery.phase).toBe('partial')
    recovery.noteFailedChange(['b'], unreachable)
    expect(recovery.phase).toBe('suspected')
    expect((await next(0)).slice(0, 3)).toEqual(
      at(0, phase('partial'), 'refresh', phase('suspected', 1, true)),
    )
  })

  test('is the fallback store alone, also if more keys have changed than the journal holds', async () => {
    const { recovery, state, fail, next } = setUp({ journal: 1 })
    state.isDown = true
    fail(4)
    for (const key of ['a', 'b']) recovery.noteChange(key)
    expect([recovery.phase, recovery.drain.isIncomplete]).toEqual(['fallback', true])
    await next(0)
  })

  test('is not known after other processes have replaced the items of the outage', () => {
    const listable = setUp()
    listable.fallback.onReplaced()
    expect(listable.recovery.drain.isIncomplete).toBe(false)
    const { recovery, fallback } = setUp({ hasScan: false })
    fallback.onReplaced()
    expect(recovery.drain.isIncomplete).toBe(true)
  })

  test('is the primary store again for a key that it has settled', async () => {
    const { recovery, items, state, next } = setUp()
    items.set('k', 'v')
    await recovery.settle('k')
    expect(items.get('k')).toBeUndefined()
    await recovery.settle('p:~generation')
    expect(items.get('p:~generation')).toBeDefined()
    await next(0)
    state.before = () => new Promise(setImmediate)
    await recovery.settle('k')
    expect(await next(0)).toEqual(at(0, 'delete k'))
    state.isDown = true
    for (const key of ['k', 'q:~generation']) {
      await recovery.settle(key)
      expect(recovery.drain.unsettled.has(key)).toBe(true)
    }
  })

  test('of a change in the fallback store is deleted in the next step', async () => {
    const { recovery, fail, next } = setUp()
    fail(1)
    await next(1_500)
    recovery.phase = 'partial'
    recovery.noteChange('k')
    expect((await next(150)).filter((event) => event.includes('delete'))).toEqual(
      at(1_600, 'delete k'),
    )
  })
})
