import { Cache, CacheError } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { SessionStore } from '@stowage/express'
import { memory } from '@stowage/memory'
import type { SessionData } from 'express-session'
import { describe, expect, test } from 'vitest'

/** A session store on a manual clock. */
function setup(values: 'bytes' | 'shared' = 'bytes') {
  let now = Date.now()
  const clock = { now: () => now, sleep: async () => {} }
  const cache = new Cache(memory({ values, clock }), { prefix: 'session:', ttl: '1d', clock })
  return {
    cache,
    ...promisified(new SessionStore({ cache })),
    advance: (ms: number) => (now += ms),
  }
}

/** The methods of a session store as functions that return promises. */
function promisified(store: SessionStore) {
  const call = <T>(method: (callback: (error: unknown, result?: T) => void) => void) =>
    new Promise<T | undefined>((resolve, reject) => {
      method((error, result) => (error ? reject(error) : resolve(result)))
    })
  return {
    store,
    get: (id: string) => call<SessionData | null>((done) => store.get(id, done)),
    set: (id: string, session: SessionData) => call<void>((done) => store.set(id, session, done)),
    touch: (id: string, session: SessionData) =>
      call<void>((done) => store.touch(id, session, done)),
    destroy: (id: string) => call<void>((done) => store.destroy(id, done)),
    all: () => call((done) => store.all(done)),
    length: () => call<number>((done) => store.length(done)),
    clear: () => call<void>((done) => store.clear(done)),
  }
}

type Cookie = Partial<SessionData['cookie']>
const sessionWith = (cookie: Cookie, data: object = {}) => ({ cookie, ...data }) as SessionData
const sessionOf = (ms: number, data?: object) =>
  sessionWith({ expires: new Date(Date.now() + ms), originalMaxAge: ms }, data)

describe.each(['bytes', 'shared'] as const)('a cache with values: %s', (values) => {
  test('get returns a copy of the session that set stored', async () => {
    const { get, set } = setup(values)
    const session = sessionOf(60_000, { user: { name: 'Ada' } }) as SessionData & {
      user: { name: string }
    }
    await set('id', session)
    session.user.name = 'changed after set'
    const first = (await get('id')) as typeof session
    expect(first.user).toEqual({ name: 'Ada' })
    first.user.name = 'changed after get'
    expect(await get('id')).toMatchObject({ user: { name: 'Ada' } })
  })

  test('get passes null for a missing session', async () => {
    expect(await setup(values).get('missing')).toBeNull()
  })
})

describe('the ttl of a session', () => {
  test('is that of the cache for a cookie whose maxAge is not a number', async () => {
    const { get, set } = setup()
    await set(
      'id',
      sessionWith({ expires: new Date(Number.NaN), originalMaxAge: Number.NaN }, { a: 1 }),
    )
    expect(await get('id')).toMatchObject({ a: 1, cookie: { expires: null, originalMaxAge: null } })
  })

  test('is the maxAge of its cookie, to the millisecond', async () => {
    const { get, set, advance } = setup()
    await set('id', sessionOf(1_500))
    advance(1_400)
    expect(await get('id')).not.toBeNull()
    advance(100)
    expect(await get('id')).toBeNull()
  })

  test('is that of the cache if the cookie has no expiry', async () => {
    for (const expires of [null, undefined, false, new Date('never')]) {
      const { get, set, advance } = setup()
      await set('id', sessionWith({ expires: expires as null, originalMaxAge: null }))
      advance(86_399_000)
      expect(await get('id')).not.toBeNull()
      advance(1_001)
      expect(await get('id')).toBeNull()
    }
  })

  test('is read from a cookie that was parsed from JSON', async () => {
    const { get, set, advance } = setup()
    await set('id', JSON.parse(JSON.stringify(sessionOf(5_000))))
    advance(5_001)
    expect(await get('id')).toBeNull()
  })

  test('is not shortened by a save with an expiry that touch has moved', async () => {
    const { get, set } = setup()
    await set('id', sessionWith({ expires: new Date(Date.now() - 10_000), originalMaxAge: 60_000 }))
    expect(await get('id')).not.toBeNull()
  })

  test('starts again when a session that was touched is saved', async () => {
    const { get, set, touch, advance } = setup()
    await set('id', sessionOf(1_000))
    advance(600)
    await touch('id', sessionOf(1_000))
    advance(350)
    await set('id', (await get('id')) as SessionData)
    advance(900)
    expect(await get('id')).not.toBeNull()
  })

  test('is over if the application set a negative maxAge', async () => {
    const { get, set } = setup()
    await set('id', sessionOf(60_000))
    await set('id', sessionWith({ expires: new Date(Date.now() - 1), originalMaxAge: -1 }))
    expect(await get('id')).toBeNull()
  })

  test('can be longer than 30 days', async () => {
    const { get, set, advance } = setup()
    await set('id', sessionOf(31 * 86_400_000))
    advance(30.9 * 86_400_000)
    expect(await get('id')).not.toBeNull()
  })
})

describe('touch', () => {
  test('changes the expiry and keeps the data that another request wrote', async () => {
    const { get, set, touch, advance } = setup()
    await set('id', sessionOf(1_000, { visits: 2 }))
    await touch('id', sessionOf(60_000, { visits: 1 }))
    advance(30_000)
    expect(await get('id')).toMatchObject({ visits: 2 })
  })

  test('does not restore a destroyed session, and succeeds', async () => {
    const { get, set, touch, destroy } = setup()
    await set('id', sessionOf(1_000))
    await destroy('id')
    await touch('id', sessionOf(1_000))
    expect(await get('id')).toBeNull()
  })
})

describe('all, length and clear', () => {
  test('all and length ignore expired sessions, and all returns keys', async () => {
    const { set, all, length, advance } = setup()
    await set('a', sessionOf(1_000, { n: 1 }))
    await set('b', sessionOf(60_000, { n: 2 }))
    expect(await length()).toBe(2)
    advance(2_000)
    expect(await all()).toMatchObject([{ id: expect.stringMatching(/^v1:/), n: 2 }])
    expect(await length()).toBe(1)
  })

  test('clear deletes all sessions and no other entries', async () => {
    const store = memory()
    await new Cache(store, { prefix: 'pages:' }).set('k', 1)
    const { set, clear, length } = promisified(
      new SessionStore({ cache: new Cache(store, { prefix: 'session:' }) }),
    )
    await set('a', sessionOf(1_000))
    await clear()
    expect(await length()).toBe(0)
    expect(store.get('pages:k')).toBe('1')
  })

  test('all and length fail if the driver cannot list keys, but clear works', async () => {
    const unlistable = wrapStore(memory(), (_, call) => call())
    delete (unlistable as { scan?: unknown }).scan
    const cache = new Cache(unlistable, { prefix: 'session:' })
    const { set, get, clear, length, all } = promisified(new SessionStore({ cache }))
    await set('a', sessionOf(1_000))
    await expect(length()).rejects.toMatchObject({ code: 'ERR_CACHE_UNSUPPORTED' })
    await expect(all()).rejects.toMatchObject({ code: 'ERR_CACHE_UNSUPPORTED' })
    await clear()
    expect(await get('a')).toBeNull()
  })
})

describe('values that are not sessions', () => {
  test.each([1, 'text', null, {}, ['x']])('get and all ignore %j', async (value) => {
    const { cache, get, all } = setup()
    await cache.set('id', value)
    expect(await get('id')).toBeNull()
    expect(await all()).toEqual([])
  })

  test('set accepts a session without a cookie', async () => {
    const { set } = setup()
    await set('id', {} as SessionData)
  })
})

describe('callbacks', () => {
  test('get the CacheError of the store', async () => {
    const broken = wrapStore(memory(), () => {
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down')
    })
    const { get, set, touch, destroy } = promisified(new SessionStore({ cache: new Cache(broken) }))
    const session = sessionOf(1_000)
    for (const call of [get('id'), set('id', session), touch('id', session), destroy('id')]) {
      await expect(call).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    }
  })

  test('are optional, even if the store fails', async () => {
    const broken = wrapStore(memory(), async () => {
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down')
    })
    const store = new SessionStore({ cache: new Cache(broken) })
    store.destroy('id')
    store.set('id', sessionOf(1_000))
    await new Promise((resolve) => setImmediate(resolve))
  })

  test('that throw are called once and cause an uncaught exception', async () => {
    const { store, set } = setup()
    await set('id', sessionOf(1_000))
    const handlers = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    let calls = 0
    try {
      const thrown = new Promise((resolve) => process.once('uncaughtException', resolve))
      store.get('id', () => {
        calls++
        throw new Error('bug in the application')
      })
      expect(await thrown).toMatchObject({ message: 'bug in the application' })
    } finally {
      for (const handler of handlers) process.on('uncaughtException', handler)
    }
    expect(calls).toBe(1)
  })
})

test.each([
  [undefined, 'strong'],
  ['session', 'session'],
] as const)(
  'with the option consistency: %s, get and all read %s',
  async (consistency, expected) => {
    const readOptions: unknown[] = []
    const store = wrapStore(memory(), (operation, call, [, options]) => {
      if (operation === 'get' || operation === 'getMany') readOptions.push(options)
      return call()
    })
    const sessions = promisified(new SessionStore({ cache: new Cache(store), consistency }))
    await sessions.set('id', sessionOf(60_000))
    expect(await sessions.get('id')).not.toBeNull()
    expect(await sessions.all()).toHaveLength(1)
    expect(readOptions).toMatchObject([{ consistency: expected }, { consistency: expected }])
  },
)
