import { inspect } from 'node:util'
import { Cache, CacheError } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { migrating, Sessions } from '@stowage/sessions'
import { sessionKey } from '@stowage/sessions/tools'
import { describe, expect, test } from 'vitest'
import { cookieOf, readExisting, setup } from './fixture.ts'

/** Sessions of another program, as JSON under their ids. */
function oldSessions() {
  const context = setup()
  const { clock, backend, create } = context
  const cache = new Cache(backend, { prefix: 'sess:', clock })
  const until = new Date(clock.now() + 86_400_000)
  const moving = () => create({ migrateFrom: { cache, until } })
  return { ...context, cache, one: moving(), two: moving(), moving }
}

describe('migrateFrom', () => {
  test('a session is read where it was, and moved when it is written', async () => {
    const { one, cache, clock } = oldSessions()
    await cache.set('id', { cookie: cookieOf(60_000, clock.now()), user: 'ada' }, { ttl: '1m' })
    const session = await readExisting(one)
    expect(session).toMatchObject({ user: 'ada' })
    session.n = 1
    expect(await one.update('id', session)).toBe('saved')
    expect(await cache.get('id')).toBeUndefined()
    expect(await one.read('id')).toMatchObject({ user: 'ada', n: 1 })
    expect(await one.keys()).toHaveLength(1)
  })

  test('plain keys of the same cache are read until the date, but not the keys of sessions', async () => {
    const { create, createCache, clock, advance } = setup()
    const until = new Date(clock.now() + 1_000)
    const sessions = create({ migrateFrom: { until } })
    await createCache().set('plain', { user: 'ada' })
    expect(await sessions.read('plain')).toEqual({ user: 'ada' })
    await sessions.create('id', { user: 'bob' })
    const [key] = (await sessions.keys()) as [string]
    expect(await sessions.read(key)).toBeUndefined()
    advance(1_000)
    expect(await sessions.read('plain')).toBeUndefined()
  })

  test('the key of the list of a user in the same cache opens no session, and ends none', async () => {
    const { create, createCache, clock } = setup()
    const index = ({ user }: Record<string, unknown>) => user as string | undefined
    const migrateFrom = { until: new Date(clock.now() + 1_000) }
    const sessions = create({ index, indexSecret: 'a secret of the test', migrateFrom })
    await sessions.create('id', { user: 'ada' })
    for await (const key of createCache().keys()) {
      if (!key.startsWith('u1:')) continue
      expect(await sessions.read(key)).toBeUndefined()
      await sessions.destroy(key)
    }
    expect(await sessions.read('id')).toEqual({ user: 'ada' })
  })

  test('the key of a session in the old cache opens none there, and ends it', async () => {
    const { create, cache, clock } = oldSessions()
    const until = new Date(clock.now() + 86_400_000)
    const before = new Sessions({ cache })
    await before.create('id', { user: 'ada' })
    const sessions = create({ migrateFrom: { cache, keys: 'digests', until } })
    const key = sessionKey('id')
    expect(await sessions.read(key)).toBeUndefined()
    expect(await sessions.readAgain(key)).toBeUndefined()
    expect(await sessions.read('id')).toEqual({ user: 'ada' })
    await sessions.destroy(key)
    expect(await before.read('id')).toBeUndefined()
  })

  test('a session that was left where it was by a process that ended does not come back after a rotation', async () => {
    const { create, cache, clock, advance } = oldSessions()
    const until = new Date(clock.now() + 86_400_000)
    const sessions = create({ rotation: true, migrateFrom: { cache, until } })
    await cache.set('id', { user: 'ada' })
    await sessions.update('id', await readExisting(sessions))
    await cache.set('id', { user: 'ada' })
    const session = await readExisting(sessions)
    expect(await sessions.rotate('id', 'new id', session)).toBe('rotated')
    await sessions.destroy('new id')
    advance(7_200_000)
    expect(await sessions.read('id')).toBeUndefined()
  })

  test.each(['has the same keys', 'is unreachable'])(
    'a session gets another id although the cache that it may have been moved from %s',
    async (problem) => {
      const { create, createCache, clock } = setup()
      const cache = createCache()
      const until = new Date(clock.now() + 86_400_000)
      const migrateFrom = { cache, keys: 'digests', until } as const
      const sessions = create({ rotation: true, migrateFrom })
      await sessions.create('id', { user: 'ada' })
      const session = await readExisting(sessions)
      if (problem === 'is unreachable') {
        cache.snapshot = () => Promise.reject(new CacheError('ERR_CACHE_UNAVAILABLE', 'down'))
      }
      expect(await sessions.rotate('id', 'new id', session)).toBe('rotated')
      expect(await sessions.read('new id')).toEqual({ user: 'ada' })
    },
  )

  test('keys does not contain sessions that have ended', async () => {
    const { one } = oldSessions()
    await one.create('id', {})
    await one.destroy('id')
    expect(await one.keys()).toEqual([])
  })

  test('two requests that move a session keep the changes of both', async () => {
    const { one, two, cache } = oldSessions()
    await cache.set('id', { n: 0 })
    const [a, b] = [await readExisting(one), await readExisting(two)]
    a.a = 1
    b.b = 1
    await Promise.all([one.update('id', a), two.update('id', b)])
    expect(await one.read('id')).toEqual({ n: 0, a: 1, b: 1 })
    expect(await cache.get('id')).toBeUndefined()
  })

  test.each(['destroy', 'clear'] as const)(
    '%s just after the date ends what a slow request or a slower process has read',
    async (end) => {
      for (const fastBy of [0, 1_800_000]) {
        const { create, createCache, cache, clock, advance } = oldSessions()
        const migrateFrom = { cache, until: new Date(clock.now() + 60_000) }
        const slower = create({ migrateFrom })
        await cache.set('id', { n: 0 })
        const slow = await readExisting(slower)
        if (fastBy === 0) advance(60_000)
        const fast = create({ migrateFrom, cache: createCache(fastBy) })
        if (end === 'destroy') await fast.destroy('id')
        else await fast.clear()
        slow.n = 1
        expect(await slower.update('id', slow)).toBe('dropped')
        expect(await slower.read('id')).toBeUndefined()
      }
    },
  )

  test('a session that was destroyed before or after it was moved does not come back', async () => {
    for (const isMoved of [false, true]) {
      const { one, two, moving, cache } = oldSessions()
      await cache.set('id', { n: 0 })
      const [slow, mover] = [await readExisting(one), await readExisting(two)]
      mover.moved = true
      if (isMoved) await two.update('id', mover)
      await moving().destroy('id')
      slow.n = 1
      expect(await one.update('id', slow)).toBe('dropped')
      mover.n = 2
      expect(await two.update('id', mover)).toBe('dropped')
      expect(await one.read('id')).toBeUndefined()
      expect(await cache.get('id')).toBeUndefined()
    }
  })

  test('a logout with the object that was read keeps the mark that stops slower requests from moving it', async () => {
    const { create, cache, backend, clock } = oldSessions()
    const until = new Date(clock.now() + 86_400_000)
    const sessions = create({ migrateFrom: { cache, until }, rotation: true })
    await cache.set('id', { n: 0 })
    await sessions.destroy('id', await readExisting(sessions))
    expect(await backend.get(`s:${sessionKey('id')}`)).toBeDefined()
    expect(await sessions.read('id')).toBeUndefined()
    expect(await cache.get('id')).toBeUndefined()
  })

  test('a session that has ended where it was is not stored for a moment', async () => {
    const { one, two, cache, calls } = oldSessions()
    await cache.set('id', { n: 0 })
    const slow = await readExisting(one)
    await two.clear()
    calls.length = 0
    expect(await one.update('id', Object.assign(slow, { n: 1 }))).toBe('dropped')
    expect(calls).not.toContain('add')
  })

  test('a clear that fails there does not bring back the sessions that were ended with all of their user', async () => {
    const { create, cache, clock } = oldSessions()
    const index = ({ user }: Record<string, unknown>) => user as string | undefined
    const migrateFrom = { cache, until: new Date(clock.now() + 86_400_000) }
    const sessions = create({ index, indexSecret: 'a secret of the test', migrateFrom })
    await cache.set('stolen', { user: 'ada' })
    await sessions.destroyAllFor('ada')
    await sessions.create('id', { user: 'ada' })
    cache.clear = () => Promise.reject(new Error('The old store is down.'))
    await expect(sessions.clear()).rejects.toThrow('down')
    expect(await sessions.read('id')).toBeUndefined()
    expect(await sessions.read('stolen')).toBeUndefined()
  })

  test('a change of the other program during the move is kept, and so is its logout', async () => {
    for (const isEnded of [false, true]) {
      const { one, cache } = oldSessions()
      await cache.set('id', { n: 0 })
      const session = await readExisting(one)
      if (isEnded) await cache.delete('id')
      else await cache.set('id', { n: 0, other: 1 })
      session.own = 1
      expect(await one.update('id', session)).toBe(isEnded ? 'dropped' : 'saved')
      expect(await one.read('id')).toEqual(isEnded ? undefined : { n: 0, other: 1, own: 1 })
    }
  })
})

describe('the cache that sessions are moved from', () => {
  const hour = 3_600_000

  test('is cleared until slow requests have ended, before the sessions that were moved', async () => {
    const { cache, clock, advance, create, createCache } = oldSessions()
    const cleared: string[] = []
    const clears = (name: string, cleaned: Cache, turns: number) =>
      Object.assign(cleaned, {
        clear: async () => {
          for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
          cleared.push(name)
        },
      })
    const until = new Date(clock.now() + hour)
    const migrateFrom = { cache: clears('old', cache, 10), until }
    const sessions = create({ cache: clears('new', createCache(), 1), migrateFrom })
    await sessions.clear()
    advance(2 * hour)
    await sessions.clear()
    expect(cleared).toEqual(['old', 'new', 'new'])
  })

  test('keeps what another program has stored under the key of a session', async () => {
    const { one, cache } = oldSessions()
    await cache.set(sessionKey('id'), 'of another program')
    await one.destroy(sessionKey('id'))
    expect(await cache.get(sessionKey('id'))).toBe('of another program')
  })

  test('fails with the errors of an application as they are', async () => {
    const { one, cache } = oldSessions()
    const mistake = new TypeError('a mistake')
    cache.snapshot = () => Promise.reject(mistake)
    await expect(one.read('id')).rejects.toBe(mistake)
  })
})

test('errors of the cache that sessions are moved from do not contain ids', async () => {
  const { cache: old, backend, clock, create } = oldSessions()
  const id = 'an id that must stay secret'
  await old.set(id, { n: 0 })
  let failing: string[] = []
  const store = wrapStore(backend, (operation, call) => {
    if (!failing.includes(operation)) return call()
    throw new CacheError('ERR_CACHE_UNAVAILABLE', 'The backend is unreachable.', {
      ...{ store: 'test', operation, key: `sess:${id}`, cause: new Error(`GET sess:${id}`) },
    })
  })
  const cache = new Cache(store, { prefix: 'sess:', clock })
  const until = new Date(clock.now() + 86_400_000)
  const sessions = create({ migrateFrom: { cache, until } })
  const session = await readExisting(sessions, id)
  session.n = 1
  const calls: [string, () => Promise<unknown>][] = [
    ['get', () => sessions.read(id)],
    ['compareAndSet', () => sessions.update(id, session)],
    ['delete', () => sessions.destroy(id)],
  ]
  for (const [operation, call] of calls) {
    failing = [operation]
    const error = await call().catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE', store: 'test', operation })
    expect(inspect(error, { showHidden: true })).not.toContain(id)
  }
})

describe('migrating', () => {
  const index = {
    index: ({ user }: Record<string, unknown>) => user as string | undefined,
    indexSecret: 'a secret of the test',
  }

  /** Sessions of this package, on another backend. */
  async function change() {
    const [before, after] = [setup(), setup()]
    const { clock } = before
    const from = new Cache(before.backend, { prefix: 'session:', ttl: '1d', clock })
    const cache = new Cache(after.backend, { prefix: 'session:', ttl: '1d', clock })
    const until = new Date(clock.now() + 86_400_000)
    const old = new Sessions({ cache: from, ...index })
    await old.create('id', { user: 'ada' })
    const open = () => migrating({ from, to: { cache, ...index }, until })
    const lists = async () => {
      const keys: string[] = []
      for await (const key of cache.keys()) if (key.startsWith('u1:')) keys.push(key)
      return keys
    }
    return { old, open, lists, advance: before.advance }
  }

  test('moves sessions to another backend, with their users', async () => {
    const { old, open } = await change()
    const sessions = open()
    const session = await readExisting(sessions)
    expect(session).toEqual({ user: 'ada' })
    session.n = 1
    expect(await sessions.update('id', session)).toBe('saved')
    expect(await old.keys()).toEqual([])
    expect(await open().read('id')).toEqual({ user: 'ada', n: 1 })
    expect(await open().of('ada')).toHaveLength(1)
    await open().destroyAllFor('ada')
    expect(await open().read('id')).toBeUndefined()
  })

  test('a logout ends a session in both places, and no slower request moves it', async () => {
    for (const handle of ['id', 'key'] as const) {
      const { old, open } = await change()
      const slowSessions = open()
      const slow = await readExisting(slowSessions)
      await open().destroy(handle === 'id' ? 'id' : ((await old.keys())[0] as string))
      slow.n = 1
      expect(await slowSessions.update('id', slow)).toBe('dropped')
      expect(await old.read('id')).toBeUndefined()
      expect(await open().read('id')).toBeUndefined()
    }
  })

  test('clear ends the sessions that were not moved, also for a slower request', async () => {
    const { old, open } = await change()
    const slowSessions = open()
    const slow = await readExisting(slowSessions)
    await open().clear()
    slow.n = 1
    expect(await slowSessions.update('id', slow)).toBe('dropped')
    expect(await open().read('id')).toBeUndefined()
    expect(await old.read('id')).toBeUndefined()
  })

  test('destroyAllFor ends the sessions that were not moved, also for a slower request', async () => {
    const { old, open } = await change()
    await old.create('bob', { user: 'bob' })
    await old.create('kept', { user: 'ada' })
    const slowSessions = open()
    const slow = await readExisting(slowSessions)
    await open().destroyAllFor('ada', { except: 'kept' })
    slow.n = 1
    expect(await slowSessions.update('id', slow)).toBe('dropped')
    expect(await open().read('id')).toBeUndefined()
    expect(await open().read('bob')).toEqual({ user: 'bob' })
    expect(await open().read('kept')).toEqual({ user: 'ada' })
    await open().destroyAllFor('ada')
    expect(await open().read('kept')).toBeUndefined()
  })

  test('destroyAllFor outlasts later logins and logouts, and spares later sessions', async () => {
    const { old, open, advance, lists } = await change()
    await open().destroyAllFor('ada')
    await open().create('new', { user: 'ada' })
    await open().destroy('new')
    expect(await open().read('id')).toBeUndefined()
    // Longer than the clocks of two processes may differ.
    advance(1_800_001)
    // Of a process that does not move sessions yet.
    await old.create('later', { user: 'ada' })
    expect(await open().read('later')).toEqual({ user: 'ada' })
    advance(86_400_000)
    await open().create('last', { user: 'ada' })
    await open().destroyAllFor('ada')
    // It contains nothing but the mark.
    expect(await lists()).toHaveLength(1)
    expect(await open().of('ada')).toEqual([])
  })

  test('moves sessions without a user, too', async () => {
    const { cache, clock, create } = oldSessions()
    const until = new Date(clock.now() + 86_400_000)
    await cache.set('id', { n: 1 })
    const sessions = create({ ...index, migrateFrom: { cache, until } })
    expect(await sessions.read('id')).toEqual({ n: 1 })
  })

  test('destroyAllFor ends all sessions of another program, which do not say when they began', async () => {
    const { cache, clock, create, advance } = oldSessions()
    const until = new Date(clock.now() + 86_400_000)
    const sessions = create({ ...index, migrateFrom: { cache, until } })
    await cache.set('id', { user: 'ada' })
    await sessions.destroyAllFor('ada')
    advance(1_000)
    await cache.set('later', { user: 'ada' })
    expect(await sessions.read('id')).toBeUndefined()
    expect(await sessions.read('later')).toBeUndefined()
  })

  test('destroyAllFor ends them until the end of the move, however short the absolute timeout', async () => {
    const { cache, clock, create, advance } = oldSessions()
    const until = new Date(clock.now() + 86_400_000)
    const sessions = create({ ...index, absoluteTimeout: '1h', migrateFrom: { cache, until } })
    await cache.set('id', { user: 'ada' })
    await sessions.destroyAllFor('ada')
    advance(86_399_999)
    expect(await sessions.read('id')).toBeUndefined()
  })
})
