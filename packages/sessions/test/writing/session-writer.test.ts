import { Cache } from '@stowage/core'
import { type Interceptor, wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { type DroppedEvent, Sessions, sessionChannels } from '@stowage/sessions'
import { sessionKey } from '@stowage/sessions/tools'
import { ManualClock } from '@stowage/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { toText } from '../../src/data/session-item.ts'
import { SessionReader } from '../../src/reading/session-reader.ts'
import { resolveOptions } from '../../src/session-context.ts'
import { SessionBaseline } from '../../src/writing/session-baseline.ts'
import type { SessionQueue } from '../../src/writing/session-queues.ts'
import { SessionWriter } from '../../src/writing/session-writer.ts'
import { cookieOf, type TestSession } from '../fixture.ts'

const users = {
  index: ({ user }: TestSession) => user as string | undefined,
  indexSecret: 'a secret of the test',
}
const hour = 3_600_000
const [id, newId, otherId] = ['id', 'newId', 'otherId']

/** The writer of a process, whose calls a test sees and intercepts, and the sessions of another one. */
function setUp(options: object = {}, { isMoving = false } = {}) {
  const clock = new ManualClock()
  const backend = memory({ clock })
  const calls: string[] = []
  const state: { intercept: Interceptor } = { intercept: (_, call) => call() }
  const store = wrapStore(backend, (operation, call, args) => {
    calls.push(
      `${operation === 'compareAndSet' && args[2] === undefined ? 'remove' : operation} ${nameOf(args[0])}`,
    )
    return state.intercept(operation, call, args)
  })
  const cacheOf = (prefix: string, used = store) => new Cache(used, { prefix, ttl: '1d', clock })
  const old = cacheOf('old:')
  const migrateFrom = isMoving
    ? { cache: old, until: new Date(clock.now() + 24 * hour) }
    : undefined
  const all = { rotation: true, migrateFrom, ...options }
  const context = { ...resolveOptions({ cache: cacheOf('s:'), ...all }) }
  const reader = new SessionReader(context)
  const writer = new SessionWriter(context, reader)
  const other = new Sessions<TestSession>({ cache: cacheOf('s:', backend), ...all })
  const newMark = () => new SessionBaseline(clock.now())
  const read = async (name = id) => {
    const key = sessionKey(name)
    const found = await reader.readToWrite(key, name)
    if (found === undefined) throw new Error(`${name} does not exist.`)
    return new SessionBaseline(found.stored.created, key, found)
  }
  const target = (
    baseline: SessionBaseline,
    name = id,
    queue: SessionQueue = { last: undefined },
  ) => ({
    ...{ key: sessionKey(name), id: name, baseline, queue },
  })
  const create = async (fields: TestSession, name = id) => {
    const created = target(newMark(), name)
    await writer.create(created, toText(fields))
    return target(created.baseline, name)
  }
  /** The calls that `work` makes, without reads. */
  const writesOf = async (work: () => Promise<unknown>) => {
    calls.length = 0
    await work()
    return calls.filter((call) => !call.startsWith('get'))
  }
  /** Makes a call fail. */
  const fail = (failing: string) => {
    state.intercept = (_, call) => {
      if (calls.at(-1) !== failing) return call()
      throw new Error(`${failing} fails`)
    }
  }
  /** Makes a call fail once it has been executed. */
  const loseReply = (losing: string) => {
    state.intercept = async (_, call) => {
      const name = calls.at(-1)
      const result = await call()
      if (name !== losing) return result
      state.intercept = (__, each) => each()
      throw new Error('no reply')
    }
  }
  /** Lets another process do something before a call. */
  const before = (awaited: string, work: () => Promise<unknown>) => {
    state.intercept = async (_, call) => {
      if (calls.at(-1) === awaited) {
        state.intercept = (__, each) => each()
        await work()
      }
      return call()
    }
  }
  const all_ = { clock, calls, context, writer, other, old, newMark, read, target, create }
  return { ...all_, writesOf, fail, loseReply, before }
}

function nameOf(key: unknown): string {
  const text = String(key)
  if (text.startsWith('s:u1:')) return 'list'
  const known = [id, newId, otherId]
  const found = known.find((each) => text === `s:${sessionKey(each)}`)
  return found ?? text
}

/** The events of a test: what happened, and to which session. */
let events: string[] = []
const listeners = (['created', 'merged', 'dropped'] as const).map((name) => {
  const listener = (event: unknown) => {
    const { key, reason = '' } = event as DroppedEvent
    events.push(`${name} ${nameOf(`s:${key}`)} ${reason}`.trim())
  }
  return [sessionChannels[name], listener] as const
})
beforeEach(() => {
  events = []
  for (const [channel, listener] of listeners) channel.subscribe(listener)
})
afterEach(() => {
  for (const [channel, listener] of listeners) channel.unsubscribe(listener)
})

const over = { cookie: { originalMaxAge: 0 } }

describe('create', () => {
  test('lists a session before it is stored', async () => {
    const { create, writesOf } = setUp(users)
    expect(await writesOf(() => create({ user: 'ada' }))).toEqual(['add list', `add ${id}`])
    expect(events).toEqual([`created ${id}`])
  })

  test('stores nothing if the session has ended, or if its time is over', async () => {
    const { writer, newMark, target, writesOf } = setUp()
    const ended = target(newMark(), id, { last: 'ended' })
    const drop = async () => expect(await writer.create(ended, toText({}))).toBe('dropped')
    expect(await writesOf(drop)).toEqual([])
    const ending = target(newMark())
    const end = async () => expect(await writer.create(ending, toText(over))).toBe('saved')
    expect(await writesOf(end)).toEqual([`delete ${id}`])
    expect([ending.queue.last, ending.baseline.hasEnded]).toEqual(['ended', true])
    expect(events).toEqual([`dropped ${id} ended`])
  })

  test('makes one call, and rejects an id that exists', async () => {
    const { create, calls, clock, other } = setUp()
    await create({ user: 'ada' })
    expect(calls).toEqual([`add ${id}`])
    await expect(create({ user: 'bob' })).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    await clock.advance(1)
    for (const fields of [{ user: 'ada' }, { user: 'bob' }])
      await expect(create(fields)).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    expect(await other.read(id)).toEqual({ user: 'ada' })
  })

  test('accepts what an earlier attempt has stored, whose reply was lost', async () => {
    const { writer, newMark, target, loseReply, writesOf } = setUp()
    const baseline = newMark()
    loseReply(`add ${id}`)
    await expect(writer.create(target(baseline), toText({ n: 1 }))).rejects.toThrow('no reply')
    expect(await writer.create(target(baseline), toText({ n: 1 }))).toBe('saved')
    const update = async () =>
      expect(await writer.update(target(baseline), toText({ n: 2 }))).toBe('saved')
    expect(await writesOf(update)).toEqual([`compareAndSet ${id}`])
  })

  test('does not bound the sessions of users', async () => {
    const { create, other } = setUp({ ...users, maxAnonymous: 1 })
    await create({ n: 1 })
    await create({ user: 'ada' }, otherId)
    expect([await other.read(id), await other.read(otherId)]).toEqual([{ n: 1 }, { user: 'ada' }])
  })

  test('knows what it has stored, although the bound cannot be kept', async () => {
    const { writer, context, newMark, target } = setUp()
    const add = async () => {
      throw new Error('no reply')
    }
    Object.assign(context, { anonymous: { add, remove() {} } })
    const created = target(newMark())
    const ours = toText({ n: 1 })
    await expect(writer.create(created, ours)).rejects.toThrow('no reply')
    expect(created.baseline.view).toBe(ours)
    expect(created.queue.last).toBe(created.baseline.seen)
    expect(created.queue.last).toMatchObject({ key: sessionKey(id), isOld: false })
    expect(events).toEqual([])
  })
})

describe('update', () => {
  test('makes one call, and knows what it has stored', async () => {
    const { writer, create, writesOf } = setUp()
    const created = await create({ n: 1 })
    const ours = toText({ n: 2 })
    const update = async () => expect(await writer.update(created, ours)).toBe('saved')
    expect(await writesOf(update)).toEqual([`compareAndSet ${id}`])
    expect(created.baseline.view).toBe(ours)
    expect(created.queue.last).toBe(created.baseline.seen)
    const next = async () => expect(await writer.update(created, toText({ n: 3 }))).toBe('saved')
    expect(await writesOf(next)).toEqual([`compareAndSet ${id}`])
    expect(events).toEqual([`created ${id}`])
  })

  test('makes none after the end of the session', async () => {
    const { writer, create, target, calls } = setUp()
    const created = await create({ n: 1 })
    created.baseline.hasEnded = true
    calls.length = 0
    expect(await writer.update(created, toText({ n: 2 }))).toBe('dropped')
    expect(await writer.rotate(target(created.baseline), sessionKey(newId), 0)).toBe('dropped')
    expect(calls).toEqual([])
  })

  test('drops the changes of a session that has ended, or is another one', async () => {
    const { writer, create, read, target, other, clock, writesOf } = setUp()
    const created = await create({ n: 1 })
    const changed = toText({ n: 2 })
    const [inTurn, rotating] = [
      target(created.baseline.clone(), id, { last: 'ended' }),
      target(created.baseline.clone()),
    ]
    const drop = async () => expect(await writer.update(inTurn, changed)).toBe('dropped')
    expect(await writesOf(drop)).toEqual([])
    expect(inTurn.baseline.hasEnded).toBe(true)
    await clock.advance(1)
    await other.destroy(id)
    const ended = target(created.baseline.clone())
    expect(await writer.update(ended, changed)).toBe('dropped')
    expect([ended.baseline.hasEnded, ended.queue.last]).toEqual([true, 'ended'])
    await other.create(id, { n: 1 })
    expect(await writer.update(created, changed)).toBe('dropped')
    rotating.queue.last = (await read()).seen
    expect(await writer.rotate(rotating, sessionKey(newId), 0)).toBe('dropped')
    expect(await other.read(id)).toEqual({ n: 1 })
  })

  test('ends a session under both of its keys when its time is over', async () => {
    const { writer, create, target, read, writesOf } = setUp()
    const created = await create({ n: 1 })
    const end = async () => expect(await writer.update(created, toText(over))).toBe('saved')
    expect(await writesOf(end)).toEqual([`delete ${id}`])
    expect([created.queue.last, created.baseline.hasEnded]).toEqual(['ended', true])
    const rotated = await create({ n: 1 })
    await writer.rotate(rotated, sessionKey(newId), hour)
    const slow = target(await read(id))
    expect(await writesOf(() => writer.update(slow, toText(over)))).toEqual([
      `delete ${newId}`,
      `delete ${id}`,
    ])
  })

  test.each([
    [id, [`delete ${newId}`, `delete ${id}`]],
    [newId, [`delete ${newId}`]],
  ])('rejects if the end cannot be stored: %s', async (failing, expected) => {
    const { writer, create, target, read, writesOf, fail } = setUp()
    await writer.rotate(await create({ n: 1 }), sessionKey(newId), hour)
    const slow = target(await read(id))
    fail(`delete ${failing}`)
    const end = () => expect(writer.update(slow, toText(over))).rejects.toThrow('fails')
    expect(await writesOf(end)).toEqual(expected)
  })

  test('drops the changes of another user, and does not end the session', async () => {
    const { writer, create, other } = setUp(users)
    const created = await create({ user: 'ada' })
    await other.update(id, Object.assign((await other.read(id)) as TestSession, { user: 'bob' }))
    expect(await writer.update(created, toText({ user: 'ada', n: 1 }))).toBe('dropped')
    expect([created.baseline.hasEnded, created.queue.last]).toEqual([false, undefined])
    expect(events).toEqual([`created ${id}`, `dropped ${id} identity`])
  })

  test('publishes that it was merged', async () => {
    const { writer, create, other } = setUp()
    const created = await create({ n: 1 })
    await other.update(id, Object.assign((await other.read(id)) as TestSession, { other: 1 }))
    expect(await writer.update(created, toText({ n: 2 }))).toBe('saved')
    expect(await other.read(id)).toEqual({ n: 2, other: 1 })
    expect(events).toEqual([`created ${id}`, `merged ${id}`])
  })

  test.each([
    ['lastWrite', { n: 2 }],
    ['reject', { n: 1, other: 1 }],
  ])('replaces the changes of another process, or fails: %s', async (concurrency, expected) => {
    const { writer, create, other } = setUp({ concurrency })
    const created = await create({ n: 1 })
    await other.update(id, Object.assign((await other.read(id)) as TestSession, { other: 1 }))
    const update = writer.update(created, toText({ n: 2 }))
    const rejected = { code: 'ERR_CACHE_REJECTED', retryable: true, operation: 'save' }
    if (concurrency === 'reject') await expect(update).rejects.toMatchObject(rejected)
    else expect(await update).toBe('saved')
    expect(await other.read(id)).toEqual(expected)
    expect(events).toEqual([`created ${id}`])
  })

  test('lists a session before it is stored, and takes it out of the other list after it', async () => {
    const { writer, create, writesOf } = setUp(users)
    const created = await create({ n: 1 })
    const login = () => writer.update(created, toText({ user: 'ada' }))
    expect(await writesOf(login)).toEqual(['add list', `compareAndSet ${id}`])
    const other = () => writer.update(created, toText({ user: 'bob' }))
    expect(await writesOf(other)).toEqual(['add list', `compareAndSet ${id}`, 'remove list'])
  })

  test('leaves the list of a user alone as long as the session is that of the user', async () => {
    const { writer, create, other, before } = setUp(users)
    const created = await create({ user: 'ada' })
    before(`compareAndSet ${id}`, async () => {
      await other.update(id, Object.assign((await other.read(id)) as TestSession, { n: 1 }))
    })
    expect(await writer.update(created, toText({ user: 'bob' }))).toBe('saved')
    expect(await other.read(id)).toEqual({ user: 'bob', n: 1 })
    expect([await other.of('ada'), (await other.of('bob')).length]).toEqual([[], 1])
  })

  test('rejects if the list of the user before cannot be changed', async () => {
    const { writer, create, fail } = setUp(users)
    const created = await create({ user: 'ada' })
    fail('remove list')
    await expect(writer.update(created, toText({ user: 'bob' }))).rejects.toThrow('fails')
  })

  test.each([
    ['that gets a user counts no longer', { user: 'ada' }, true],
    ['that stays without one counts once', { n: 1 }, false],
  ])('a session %s', async (_, fields, isKept) => {
    const { writer, create, other } = setUp({ ...users, maxAnonymous: 2 })
    await create({}, otherId)
    await writer.update(await create({}), toText(fields))
    await create({}, newId)
    expect((await other.read(otherId)) !== undefined).toBe(isKept)
  })
})

describe('an update without changes', () => {
  test('moves the expiry once for all calls of a queue', async () => {
    const { writer, create, clock, target, writesOf } = setUp()
    const created = await create({ n: 1 })
    await clock.advance(hour)
    const ours = toText({ n: 1 })
    const { baseline, queue } = created
    const touch = async () => expect(await writer.update(created, ours)).toBe('saved')
    expect(await writesOf(touch)).toEqual([`compareAndSet ${id}`])
    expect([baseline.view, baseline.seen]).toEqual([ours, queue.last])
    await clock.advance(hour)
    const again = async () => expect(await writer.update(created, ours)).toBe('unchanged')
    expect(await writesOf(again)).toEqual([])
    expect(await writesOf(() => writer.update(target(baseline), ours))).toHaveLength(1)
    expect(await writesOf(() => writer.update(target(baseline), ours))).toEqual([])
  })

  test('ends a session whose time is over', async () => {
    const { writer, create, clock, writesOf } = setUp({ absoluteTimeout: '1h' })
    const created = await create({ n: 1 })
    await clock.advance(hour)
    const end = async () => expect(await writer.update(created, toText({ n: 1 }))).toBe('saved')
    expect(await writesOf(end)).toEqual([`delete ${id}`])
    expect([created.queue.last, created.baseline.hasEnded]).toEqual(['ended', true])
  })

  test('leaves alone what another process has changed', async () => {
    const { writer, create, clock, other } = setUp()
    const created = await create({ n: 1 })
    const { seen } = created.baseline
    await other.update(id, Object.assign((await other.read(id)) as TestSession, { n: 2 }))
    await clock.advance(hour)
    expect(await writer.update(created, toText({ n: 1 }))).toBe('unchanged')
    expect([created.baseline.seen, created.queue.last]).toEqual([seen, undefined])
    expect(await other.read(id)).toEqual({ n: 2 })
  })
})

describe('rotate', () => {
  const [newKey, thirdKey] = [sessionKey(newId), sessionKey(otherId)]

  test('stores the session under its new key before the old one leads to it', async () => {
    const { writer, create, writesOf } = setUp()
    const created = await create({ n: 1 })
    const rotate = async () => expect(await writer.rotate(created, newKey, 0)).toBe('rotated')
    expect(await writesOf(rotate)).toEqual([`add ${newId}`, `compareAndSet ${id}`])
    expect(created.queue.last).toBe(created.baseline.seen)
    expect(created.baseline.seen?.key).toBe(newKey)
  })

  test('lets the old id lead to the session for some time', async () => {
    const { writer, create, clock, other } = setUp()
    await writer.rotate(await create({ n: 1 }), newKey, 2 * hour)
    await clock.advance(2 * hour - 1)
    expect(await other.read(id)).toEqual({ n: 1 })
    await clock.advance(1)
    expect([await other.read(id), await other.read(newId)]).toEqual([undefined, { n: 1 }])
  })

  test('lists both keys, and then the new one', async () => {
    const { writer, create, writesOf } = setUp(users)
    const created = await create({ user: 'ada' })
    expect(await writesOf(() => writer.rotate(created, newKey, 0))).toEqual([
      'compareAndSet list',
      `add ${newId}`,
      `compareAndSet ${id}`,
      'compareAndSet list',
    ])
  })

  test('first lists a session that was not listed yet', async () => {
    const { writer, read, target, other, context, writesOf } = setUp(users)
    await new Sessions({ cache: context.cache }).create(id, { user: 'ada' })
    const unlisted = target(await read())
    expect(await writesOf(() => writer.rotate(unlisted, newKey, 0))).toEqual([
      'add list',
      'compareAndSet list',
      `add ${newId}`,
      `compareAndSet ${id}`,
      'compareAndSet list',
    ])
    expect(await other.of('ada')).toHaveLength(1)
  })

  test('accepts a session again that it has rotated, under its new id', async () => {
    const { writer, create, target } = setUp()
    const { baseline } = await create({ n: 1 })
    expect(await writer.rotate(target(baseline), newKey, hour)).toBe('rotated')
    expect(await writer.rotate(target(baseline), thirdKey, hour)).toBe('unchanged')
    expect(await writer.rotate(target(baseline, newId), thirdKey, hour)).toBe('rotated')
    expect(baseline.seen?.stored.firstKey).toBe(sessionKey(id))
  })

  test('accepts a session that another call of the queue has created', async () => {
    const { writer, create, target, newMark } = setUp()
    const { baseline } = await create({ n: 1 })
    const rotating = target(newMark(), id, { last: baseline.seen })
    expect(await writer.rotate(rotating, newKey, hour)).toBe('rotated')
  })

  test('leaves a session alone that has not been moved yet', async () => {
    const { writer, old, read, target, writesOf } = setUp({}, { isMoving: true })
    await old.set(id, { n: 1 })
    const moving = target(await read())
    const rotate = async () => expect(await writer.rotate(moving, newKey, 0)).toBe('unchanged')
    expect(await writesOf(rotate)).toEqual([])
  })

  test.each(['ada', 'bob'])(
    'rejects an id that exists, and leaves both sessions as they are: that of %s',
    async (user) => {
      const { writer, create, other, clock } = setUp(users)
      const created = await create({ user: 'ada' })
      await clock.advance(1)
      await create({ user }, newId)
      const rotation = writer.rotate(created, newKey, hour)
      await expect(rotation).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
      expect([await other.read(id), await other.read(newId)]).toEqual([{ user: 'ada' }, { user }])
    },
  )

  test('drops a session whose time is over', async () => {
    const { writer, create, clock, writesOf } = setUp({ absoluteTimeout: '1h' })
    const created = await create({ n: 1 })
    await clock.advance(hour)
    const rotate = async () => expect(await writer.rotate(created, newKey, 0)).toBe('dropped')
    expect(await writesOf(rotate)).toEqual([])
  })

  test('repeats the move of a session that another process has changed meanwhile', async () => {
    const { writer, create, other, before } = setUp(users)
    const created = await create({ user: 'ada' })
    before(`compareAndSet ${id}`, async () => {
      await other.update(id, Object.assign((await other.read(id)) as TestSession, { n: 1 }))
    })
    expect(await writer.rotate(created, newKey, hour)).toBe('rotated')
    expect(await other.read(newId)).toEqual({ user: 'ada', n: 1 })
    const [listed, ...more] = await other.of('ada')
    expect([listed?.key, more]).toEqual([newKey, []])
  })

  test.each([`remove ${newId}`, 'compareAndSet list'])(
    'rejects if a failed move cannot be taken back: %s',
    async (failing) => {
      const { writer, create, other, before, fail } = setUp(users)
      const created = await create({ user: 'ada' })
      before(`compareAndSet ${id}`, async () => {
        await other.update(id, Object.assign((await other.read(id)) as TestSession, { n: 1 }))
        fail(failing)
      })
      await expect(writer.rotate(created, newKey, hour)).rejects.toThrow('fails')
    },
  )

  test('does not outlast an end of all sessions of the user, whenever that comes', async () => {
    for (const awaited of ['compareAndSet list', `add ${newId}`, `compareAndSet ${id}`]) {
      const { writer, create, other, before } = setUp(users)
      const created = await create({ user: 'ada' })
      before(awaited, () => other.destroyAllFor('ada'))
      expect(await writer.rotate(created, newKey, hour), awaited).toBe('dropped')
      expect(await other.read(newId), awaited).toBeUndefined()
      expect(await other.read(id), awaited).toBeUndefined()
    }
  })

  test('lets a session without a user count once', async () => {
    const { writer, create, other } = setUp({ ...users, maxAnonymous: 2 })
    await create({ n: 1 }, otherId)
    await writer.rotate(await create({ n: 2 }), newKey, hour)
    expect(await other.read(otherId)).toEqual({ n: 1 })
    await create({ n: 3 }, 'a fourth id')
    await create({ n: 4 }, 'a fifth id')
    expect([await other.read(otherId), await other.read(newId)]).toEqual([undefined, undefined])
  })

  test('rejects if the bound cannot be kept', async () => {
    const { writer, create, context } = setUp()
    const created = await create({ n: 1 })
    const removed: string[] = []
    const add = async () => {
      throw new Error('no reply')
    }
    Object.assign(context, { anonymous: { add, remove: (key: string) => removed.push(key) } })
    await expect(writer.rotate(created, newKey, hour)).rejects.toThrow('no reply')
    expect(removed).toEqual([sessionKey(id)])
  })
})

describe('put', () => {
  test('replaces what is stored, and knows it then', async () => {
    const { writer, create, newMark, target, other, writesOf } = setUp()
    const missing = target(newMark(), newId)
    expect(await writesOf(() => writer.put(missing, toText({ n: 1 })))).toEqual([`add ${newId}`])
    await create({ user: 'ada' })
    const existing = target(newMark())
    expect(await writesOf(() => writer.put(existing, toText({ n: 1 })))).toEqual([
      `add ${id}`,
      `compareAndSet ${id}`,
    ])
    for (const each of [missing, existing]) {
      expect(each.queue.last).toBe(each.baseline.seen)
      const update = () => writer.update(each, toText({ n: 2 }))
      expect(await writesOf(update)).toEqual([`compareAndSet ${each.id}`])
      expect(await other.read(each.id)).toEqual({ n: 2 })
    }
  })

  test('lists a session before it is stored', async () => {
    const { writer, newMark, target, writesOf } = setUp(users)
    const put = () => writer.put(target(newMark()), toText({ user: 'ada' }))
    expect(await writesOf(put)).toEqual(['add list', `add ${id}`])
  })

  test('tries again if another process stores the session meanwhile', async () => {
    const { writer, create, newMark, target, other, before } = setUp()
    await create({ user: 'ada' })
    before(`compareAndSet ${id}`, () => other.update(id, { user: 'bob' }))
    expect(await writer.put(target(newMark()), toText({ n: 1 }))).toBe('saved')
    expect(await other.read(id)).toEqual({ n: 1 })
  })

  test('ends a session whose time is over', async () => {
    const { writer, create, newMark, target, writesOf } = setUp()
    await create({ user: 'ada' })
    const put = async () => expect(await writer.put(target(newMark()), toText(over))).toBe('saved')
    expect(await writesOf(put)).toEqual([`delete ${id}`])
  })

  test('bounds the sessions without a user', async () => {
    const { writer, newMark, target, other } = setUp({ ...users, maxAnonymous: 1 })
    for (const name of [id, newId]) await writer.put(target(newMark(), name), toText({}))
    expect([await other.read(id), await other.read(newId)]).toEqual([undefined, {}])
  })

  test.each(['where sessions are moved from', 'the bound'])(
    'rejects if %s fails',
    async (failing) => {
      const { writer, old, context, newMark, target, fail } = setUp({}, { isMoving: true })
      const bounded: string[] = []
      const add = async (key: string) => {
        bounded.push(key)
        if (failing === 'the bound') throw new Error('the bound fails')
      }
      Object.assign(context, { anonymous: { add, remove() {} } })
      await old.set(id, { n: 1 })
      if (failing !== 'the bound') fail(`remove old:${id}`)
      const put = target(newMark())
      await expect(writer.put(put, toText({ n: 2 }))).rejects.toThrow('fails')
      expect(put.baseline.seen?.key).toBe(sessionKey(id))
      expect(bounded).toHaveLength(failing === 'the bound' ? 1 : 0)
    },
  )
})

describe('a session that has not been moved yet', () => {
  const moving = async () => {
    const all = setUp({}, { isMoving: true })
    await all.old.set(id, { n: 1 })
    return { ...all, read: async () => all.target(await all.read()) }
  }

  test('is moved by an update', async () => {
    const { writer, read, writesOf, old } = await moving()
    const session = await read()
    const update = () => writer.update(session, toText({ n: 2 }))
    expect(await writesOf(update)).toEqual([`add ${id}`, `remove old:${id}`])
    expect(session.baseline.seen?.isOld).toBe(false)
    expect(await old.get(id)).toBeUndefined()
  })

  test('is replaced by a put, and ended where it is', async () => {
    const { writer, newMark, target, old, writesOf } = await moving()
    const put = () => writer.put(target(newMark()), toText({ n: 2 }))
    expect(await writesOf(put)).toEqual([`add ${id}`, `remove old:${id}`])
    await old.set(id, { n: 1 })
    const end = () => writer.put(target(newMark()), toText(over))
    expect(await writesOf(end)).toEqual([`delete ${id}`, `remove old:${id}`])
  })

  test.each([`delete ${id}`, `remove old:${id}`])(
    'rejects if its end fails: %s',
    async (failing) => {
      const { writer, newMark, target, fail, writesOf } = await moving()
      fail(failing)
      const end = () => expect(writer.put(target(newMark()), toText(over))).rejects.toThrow('fails')
      const all = [`delete ${id}`, `remove old:${id}`]
      expect(await writesOf(end)).toEqual(all.slice(0, all.indexOf(failing) + 1))
    },
  )

  test('is not moved twice', async () => {
    const { writer, read, other } = await moving()
    const session = await read()
    await other.update(id, Object.assign((await other.read(id)) as TestSession, { other: 1 }))
    expect(await writer.update(session, toText({ n: 2 }))).toBe('saved')
    expect(await other.read(id)).toEqual({ n: 2, other: 1 })
  })

  test('rejects if a failed move cannot be taken back', async () => {
    const { writer, read, before, fail, old } = await moving()
    const session = await read()
    before(`remove old:${id}`, async () => {
      await old.set(id, { n: 5 })
      fail(`remove ${id}`)
    })
    await expect(writer.update(session, toText({ n: 2 }))).rejects.toThrow('fails')
  })
})

describe('a session is due', () => {
  const due = async (fields: TestSession = { n: 1 }) => {
    const all = setUp()
    const { baseline } = await all.create(fields)
    return {
      ...all,
      baseline,
      isDue: (ours: TestSession) => all.writer.isDue(baseline, toText(ours)),
    }
  }

  test('if it is new, has changed, or its expiry has moved, but not after its end', async () => {
    const { writer, baseline, isDue, clock, newMark } = await due()
    expect(isDue({ n: 1 })).toBe(false)
    expect(isDue({ n: 2 })).toBe(true)
    expect(writer.isDue(newMark(), toText({ n: 1 }))).toBe(true)
    expect(writer.isCookieDue(newMark(), undefined)).toBe(true)
    await clock.advance(hour)
    expect(isDue({ n: 1 })).toBe(true)
    baseline.hasEnded = true
    expect([isDue({ n: 1 }), isDue({ n: 2 })]).toEqual([false, false])
  })

  test('if its cookie has other attributes', async () => {
    const { isDue, clock } = await due({ n: 1, cookie: cookieOf(hour, new ManualClock().now()) })
    const cookie = cookieOf(hour, clock.now())
    expect(isDue({ n: 1, cookie })).toBe(false)
    expect(isDue({ n: 1, cookie: { ...cookie, path: '/other' } })).toBe(true)
  })
})
