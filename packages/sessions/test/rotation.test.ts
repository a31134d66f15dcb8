import { Cache, type CacheStore } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { Sessions, type SessionsOptions } from '@stowage/sessions'
import { sessionKey } from '@stowage/sessions/tools'
import { ManualClock } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

type Session = Record<string, unknown> & { user?: string }

function create(options: Partial<SessionsOptions<Session>> = {}, store?: CacheStore) {
  const clock = new ManualClock()
  const cache = new Cache(store ?? memory({ clock }), { prefix: 'session:', ttl: '1d', clock })
  return { clock, cache, sessions: new Sessions<Session>({ cache, rotation: true, ...options }) }
}

const index = { index: ({ user }: Session) => user, indexSecret: 'a secret of the test' }
const [old, renewed] = ['the id of a session, at first', 'the id of a session, later']

async function read(sessions: Sessions<Session>, id: string): Promise<Session> {
  return (await sessions.read(id)) as Session
}

/** The cache of a process whose clock is fast. */
function cacheWith(store: CacheStore, clock: ManualClock, fastBy = 0): Cache {
  const fast = {
    now: () => clock.now() + fastBy,
    monotonic: () => clock.monotonic(),
    sleep: clock.sleep.bind(clock),
  }
  return new Cache(store, { prefix: 'session:', ttl: '1d', clock: fast })
}

/** The keys of the lists of users, which exist as long as they are not empty. */
async function listedKeys(cache: Cache): Promise<string[]> {
  const kept: string[] = []
  for await (const key of cache.keys()) if (key.startsWith('u1:')) kept.push(key)
  return kept
}

describe.each([
  ['without users', {}],
  ['with users', index],
])('rotation, %s', (_, options) => {
  test('the old id leads to the session for some seconds, and then to nothing', async () => {
    const { sessions, clock } = create(options)
    await sessions.create(old, { user: 'ada' })
    const session = await read(sessions, old)
    expect(await sessions.rotate(old, renewed, session, '20s')).toBe('rotated')
    expect(await sessions.read(renewed)).toEqual({ user: 'ada' })
    expect(await sessions.read(old)).toEqual({ user: 'ada' })
    await clock.advance(20_001)
    expect(await sessions.read(old)).toBeUndefined()
    expect(await sessions.read(renewed)).toEqual({ user: 'ada' })
  })

  test.each([120_000, -120_000])(
    'the old id leads to the session for as long in a process whose clock is fast by %i ms',
    async (fastBy) => {
      const clock = new ManualClock()
      const store = Object.assign(memory({ clock }), { time: () => clock.now() })
      const { sessions } = create({ ...options, cache: cacheWith(store, clock) })
      const others = create({ ...options, cache: cacheWith(store, clock, fastBy) }).sessions
      await sessions.create(old, { user: 'ada' })
      await sessions.rotate(old, renewed, await read(sessions, old), '20s')
      expect(await others.read(old)).toEqual({ user: 'ada' })
      await clock.advance(20_001)
      expect(await others.read(old)).toBeUndefined()
    },
  )

  test('the store contains the data once', async () => {
    const { sessions, cache } = create(options)
    await sessions.create(old, { user: 'ada', data: 'something private' })
    await sessions.rotate(old, renewed, await read(sessions, old))
    const values = await Promise.all([old, renewed].map((id) => cache.get(sessionKey(id))))
    expect(values).not.toContain(undefined)
    const copies = values.filter((value) => JSON.stringify(value).includes('private'))
    expect(copies).toHaveLength(1)
    expect(JSON.stringify(values)).not.toContain(renewed)
  })

  test.each([old, renewed])('destroying either id ends the session: %s', async (id) => {
    const { sessions, cache } = create(options)
    await sessions.create(old, { user: 'ada' })
    await sessions.rotate(old, renewed, await read(sessions, old))
    await sessions.destroy(id)
    expect(await sessions.read(old)).toBeUndefined()
    expect(await sessions.read(renewed)).toBeUndefined()
    expect(await listedKeys(cache)).toEqual([])
  })

  test('a session ends with its object even if the backend has lost what its old id leads to', async () => {
    const { sessions, cache } = create(options)
    await sessions.create(old, { user: 'ada' })
    await sessions.rotate(old, renewed, await read(sessions, old))
    const session = await read(sessions, old)
    await cache.delete(sessionKey(old))
    await sessions.destroy(old, session)
    expect(await sessions.read(renewed)).toBeUndefined()
    expect(await listedKeys(cache)).toEqual([])
  })

  test('changes of a request that has read the session before are kept', async () => {
    const { sessions } = create(options)
    await sessions.create(old, { user: 'ada' })
    const slow = await read(sessions, old)
    const fast = await read(sessions, old)
    await sessions.rotate(old, renewed, fast)
    expect(await sessions.update(old, Object.assign(slow, { slow: 1 }))).toBe('saved')
    expect(await sessions.update(renewed, Object.assign(fast, { fast: 1 }))).toBe('saved')
    expect(await sessions.read(renewed)).toEqual({ user: 'ada', slow: 1, fast: 1 })
  })

  test('a session that was created by its request keeps both ids after a rotation', async () => {
    const { sessions } = create(options)
    const session: Session = { user: 'ada' }
    await sessions.create(old, session)
    await sessions.rotate(old, renewed, session)
    expect(await sessions.update(old, Object.assign(session, { a: 1 }))).toBe('saved')
    expect(await sessions.update(renewed, Object.assign(session, { b: 1 }))).toBe('saved')
    expect(await sessions.read(renewed)).toEqual({ user: 'ada', a: 1, b: 1 })
    expect(await sessions.read(old)).toEqual({ user: 'ada', a: 1, b: 1 })
  })

  test('a session that a request has rotated is not stored twice after another rotation, nor after its end', async () => {
    const store = memory()
    const [one, two] = [create(options, store).sessions, create(options, store).sessions]
    await one.create(old, { user: 'ada' })
    const session = await read(one, old)
    await one.rotate(old, renewed, session)
    await two.rotate(renewed, 'its third id', await read(two, renewed))
    for (const n of [1, 2]) {
      expect(await one.update(renewed, Object.assign(session, { n }))).toBe('saved')
    }
    expect(await two.all()).toHaveLength(1)
    await two.destroy('its third id')
    expect(await one.update(renewed, Object.assign(session, { n: 3 }))).toBe('dropped')
    expect(await one.read(renewed)).toBeUndefined()
  })

  test('a request that has read the session before can read it again after the grace', async () => {
    const { sessions, clock } = create(options)
    await sessions.create(old, { user: 'ada' })
    await sessions.rotate(old, renewed, await read(sessions, old), '20s')
    await clock.advance(60_000)
    expect((await sessions.readAgain(old))?.session).toEqual({ user: 'ada' })
    await clock.advance(3_600_000)
    expect(await sessions.readAgain(old)).toBeUndefined()
  })

  test('all ids of a session have the same lock', async () => {
    const { sessions, clock } = create(options)
    const [third, minute] = ['the third id of the session', 60_000]
    await sessions.create(old, { user: 'ada' })
    const before = await read(sessions, old)
    const lock = sessions.lockOf(old, '1h', before)
    expect(await lock.acquire()).toBe(true)
    await sessions.rotate(old, renewed, await read(sessions, old))
    const isLocked = async (id: string) =>
      sessions.lockOf(id, '1h', await read(sessions, id)).isLocked()
    expect([await isLocked(old), await isLocked(renewed)]).toEqual([true, true])
    await clock.advance(minute)
    await sessions.update(renewed, Object.assign(await read(sessions, renewed), { n: 1 }))
    await sessions.rotate(renewed, third, await read(sessions, renewed))
    expect([await isLocked(renewed), await isLocked(third)]).toEqual([true, true])
    expect(await read(sessions, third)).toEqual({ user: 'ada', n: 1 })
    await lock.release()
    expect(await isLocked(third)).toBe(false)
  })

  test('of two requests that rotate at once, one succeeds, and the other must not send an id', async () => {
    const { sessions } = create(options)
    await sessions.create(old, { user: 'ada' })
    const [first, second] = [await read(sessions, old), await read(sessions, old)]
    expect(await sessions.rotate(old, renewed, first)).toBe('rotated')
    expect(await sessions.rotate(old, 'another id of the session', second)).toBe('unchanged')
    expect(await sessions.read('another id of the session')).toBeUndefined()
    const late = await read(sessions, old)
    expect(sessions.hasOtherId(old, late)).toBe(true)
    expect(sessions.hasOtherId(renewed, await read(sessions, renewed))).toBe(false)
  })

  test('a session that has ended is not rotated', async () => {
    const { sessions } = create(options)
    await sessions.create(old, { user: 'ada' })
    const session = await read(sessions, old)
    await sessions.destroy(old)
    expect(await sessions.rotate(old, renewed, session)).toBe('dropped')
    expect(await sessions.keys()).toEqual([])
  })

  test('a session keeps its beginning, and the age of its id begins again', async () => {
    const { sessions, clock } = create({ ...options, absoluteTimeout: '1h' })
    await sessions.create(old, { user: 'ada' })
    await clock.advance(1_800_000)
    const session = await read(sessions, old)
    expect(sessions.ageOfId(session)).toBe(1_800_000)
    await sessions.rotate(old, renewed, session)
    expect(sessions.ageOfId(await read(sessions, renewed))).toBe(0)
    await sessions.update(renewed, Object.assign(session, { n: 1 }))
    await clock.advance(1_000)
    expect(sessions.ageOfId(await read(sessions, renewed))).toBe(1_000)
    await clock.advance(1_800_000)
    expect(await sessions.read(renewed)).toBeUndefined()
  })
})

test('the sessions of a user contain a rotated one once, and "except" accepts its old id', async () => {
  const { sessions } = create(index)
  await sessions.create(old, { user: 'ada' })
  await sessions.create('the id of another session', { user: 'ada' })
  await sessions.rotate(old, renewed, await read(sessions, old))
  expect(await sessions.of('ada')).toHaveLength(2)
  await sessions.destroyAllFor('ada', { except: old })
  expect(await sessions.read('the id of another session')).toBeUndefined()
  expect(await sessions.read(renewed)).toEqual({ user: 'ada' })
})

test('a logout ends a session that another process has rotated, though the backend has lost its old id', async () => {
  const store = memory()
  const [one, two] = [create(index, store), create(index, store)]
  await one.sessions.create(old, { user: 'ada' })
  await one.sessions.create('the id of another session', { user: 'ada' })
  const session = await read(one.sessions, old)
  await two.sessions.rotate(old, renewed, await read(two.sessions, old))
  await two.cache.delete(sessionKey(old))
  await one.sessions.destroy(old, session)
  expect(await two.sessions.read(renewed)).toBeUndefined()
  expect(await two.sessions.read('the id of another session')).toBeDefined()
})

test('a second logout does not end another session of the user that began at the same time', async () => {
  const { sessions } = create(index)
  await sessions.create(old, { user: 'ada' })
  await sessions.create('the id of another session', { user: 'ada' })
  const session = await read(sessions, old)
  await sessions.destroy(old, session)
  await sessions.destroy(old, session)
  expect(await sessions.read('the id of another session')).toBeDefined()
})

test('keys contains a rotated session once', async () => {
  const { sessions } = create()
  await sessions.create(old, { user: 'ada' })
  await sessions.rotate(old, renewed, await read(sessions, old))
  expect(await sessions.keys()).toEqual([sessionKey(renewed)])
  expect(await sessions.all()).toHaveLength(1)
})

test('rotate requires the option rotation', async () => {
  const { sessions } = create({ rotation: false })
  await sessions.create(old, {})
  const session = await read(sessions, old)
  await expect(sessions.rotate(old, renewed, session)).rejects.toThrow('requires the option')
})

/** Logouts that come between any two commands of a rotation. */
test.each([old, renewed])('a logout at any moment of a rotation is final: %s', async (id) => {
  for (let moment = 0; moment < 8; moment++) {
    const store = memory()
    const other = create({}, store).sessions
    let calls = Number.NaN
    const interrupted = new Proxy(store, {
      get(target, name) {
        const member = Reflect.get(target, name, target)
        if (!['add', 'compareAndSet', 'get', 'set', 'delete'].includes(String(name))) {
          return typeof member === 'function' ? member.bind(target) : member
        }
        return async (...args: unknown[]) => {
          if (calls++ === moment && id === old) await other.destroy(id)
          return member.apply(target, args)
        }
      },
    })
    const { sessions } = create({}, interrupted)
    await other.create(old, { user: 'ada' })
    const session = await read(sessions, old)
    calls = 0
    await sessions.rotate(old, renewed, session)
    // A moment after the rotation, or, with the new id, which nothing knows before.
    if (calls <= moment || id === renewed) await other.destroy(id)
    expect(await other.read(renewed), `moment ${moment}`).toBeUndefined()
    expect(await other.read(old), `moment ${moment}`).toBeUndefined()
  }
})

test('a clear ends the sessions that get other ids meanwhile, and no new one', async () => {
  const store = memory()
  const { sessions } = create({}, store)
  await sessions.create(old, { user: 'ada' })
  const session = await read(sessions, old)
  let lists = 0
  const listed = wrapStore(store, async (operation, call) => {
    const page = await call()
    // What is added from here on is not on the page.
    if (operation === 'scan' && lists++ === 0) {
      await sessions.rotate(old, renewed, session)
      await sessions.create('the id of a new session', { user: 'bob' })
    }
    return page
  })
  await create({}, listed).sessions.clear()
  expect(await sessions.read(renewed)).toBeUndefined()
  expect(await sessions.read('the id of a new session')).toEqual({ user: 'bob' })
})

test.each(['has its first id', 'was listed under its first id', 'was listed under its second id'])(
  'an end of all other sessions spares one at any moment of its rotation, if it %s',
  async (name) => {
    for (let moment = 0; moment < 10; moment++) {
      const store = memory()
      const other = create(index, store).sessions
      let calls = Number.NaN
      const endOthers = () => other.destroyAllFor('ada', { except: old })
      const interrupted = wrapStore(store, async (_, call) => {
        if (calls++ === moment) await endOthers()
        return call()
      })
      const { sessions } = create(index, interrupted)
      await other.create('the id of another session', { user: 'ada' })
      const first = name === 'has its first id' ? old : 'its first id'
      await other.create(first, name.includes('second') ? {} : { user: 'ada' })
      if (first !== old) await other.rotate(first, old, await read(other, first))
      await other.update(old, Object.assign(await read(other, old), { user: 'ada' }))
      const session = await read(sessions, old)
      calls = 0
      expect(await sessions.rotate(old, renewed, session)).toBe('rotated')
      if (calls <= moment) await endOthers()
      expect(await other.read(renewed), `moment ${moment}`).toEqual({ user: 'ada' })
      expect(await other.read('the id of another session')).toBeUndefined()
    }
  },
)

test('old ids that lead to each other are missing sessions, and are deleted', async () => {
  const { sessions, cache, clock } = create()
  const pointerTo = (id: string) => ({ '~': ['moved', sessionKey(id), clock.now() + 60_000] })
  await cache.set(sessionKey(old), pointerTo(renewed))
  await cache.set(sessionKey(renewed), pointerTo(old))
  let reads = 0
  const snapshot = cache.snapshot.bind(cache)
  cache.snapshot = (...args) => {
    // Fails instead of an endless loop.
    if (++reads > 100) throw new Error('Too many reads')
    return snapshot(...args)
  }
  expect(await sessions.read(old)).toBeUndefined()
  expect(await sessions.readAgain(old)).toBeUndefined()
  await sessions.destroy(old)
  expect(await cache.getMany([old, renewed].map(sessionKey))).toEqual([undefined, undefined])
})
