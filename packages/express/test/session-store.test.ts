import { Cache, CacheError, wrapStore } from '@stowage/core'
import { SessionStore } from '@stowage/express'
import { memory } from '@stowage/memory'
import type { SessionData } from 'express-session'
import { describe, expect, test } from 'vitest'

/** A store on a manual clock, and its methods as promises. */
function setup(values: 'bytes' | 'shared' = 'bytes') {
  let now = Date.now()
  const clock = { now: () => now, sleep: async () => {} }
  const cache = new Cache(memory({ values, clock }), { prefix: 'session:', ttl: '1d', clock })
  return { cache, ...promised(new SessionStore({ cache })), advance: (ms: number) => (now += ms) }
}

function promised(store: SessionStore) {
  const call = <T>(start: (callback: (error: unknown, result?: T) => void) => void) =>
    new Promise<T | undefined>((resolve, reject) => {
      start((error, result) => (error ? reject(error) : resolve(result)))
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
const sessionOf = (cookie: Cookie, data: object = {}) => ({ cookie, ...data }) as SessionData
const lasting = (ms: number, data?: object) =>
  sessionOf({ expires: new Date(Date.now() + ms), originalMaxAge: ms }, data)

describe.each(['bytes', 'shared'] as const)('sessions in memory (%s)', (values) => {
  test('come back as they were, and as copies', async () => {
    const { get, set } = setup(values)
    const session = lasting(60_000, { user: { name: 'Ada' } }) as SessionData & {
      user: { name: string }
    }
    await set('id', session)
    session.user.name = 'changed after set'
    const first = (await get('id')) as typeof session
    expect(first.user).toEqual({ name: 'Ada' })
    first.user.name = 'changed after get'
    expect(await get('id')).toMatchObject({ user: { name: 'Ada' } })
  })

  test('a session that is not there is null, without an error', async () => {
    expect(await setup(values).get('nobody')).toBeNull()
  })
})

describe('lifetime', () => {
  test('is the cookie’s, to the millisecond', async () => {
    const { get, set, advance } = setup()
    await set('id', lasting(1_500))
    advance(1_400)
    expect(await get('id')).not.toBeNull()
    advance(100)
    expect(await get('id')).toBeNull()
  })

  test('without one in the cookie it is the cache’s', async () => {
    for (const expires of [null, undefined, false, new Date('never')]) {
      const { get, set, advance } = setup()
      await set('id', sessionOf({ expires: expires as null, originalMaxAge: null }))
      advance(86_399_000)
      expect(await get('id')).not.toBeNull()
      advance(1_001)
      expect(await get('id')).toBeNull()
    }
  })

  test('an expiry that went through JSON counts', async () => {
    const { get, set, advance } = setup()
    await set('id', JSON.parse(JSON.stringify(lasting(5_000))))
    advance(5_001)
    expect(await get('id')).toBeNull()
  })

  test('a session that was only touched since is not ended by a save with the expiry it was loaded with', async () => {
    const { get, set } = setup()
    await set('id', sessionOf({ expires: new Date(Date.now() - 10_000), originalMaxAge: 60_000 }))
    expect(await get('id')).not.toBeNull()
  })

  test('a save outside a request gives a touched session its whole time again', async () => {
    const { get, set, touch, advance } = setup()
    await set('id', lasting(1_000))
    advance(600)
    await touch('id', lasting(1_000))
    advance(350)
    await set('id', (await get('id')) as SessionData)
    advance(900)
    expect(await get('id')).not.toBeNull()
  })

  test('a session the application has ended is gone', async () => {
    const { get, set } = setup()
    await set('id', lasting(60_000))
    await set('id', sessionOf({ expires: new Date(Date.now() - 1), originalMaxAge: -1 }))
    expect(await get('id')).toBeNull()
  })

  test('31 days are 31 days', async () => {
    const { get, set, advance } = setup()
    await set('id', lasting(31 * 86_400_000))
    advance(30.9 * 86_400_000)
    expect(await get('id')).not.toBeNull()
  })
})

describe('touch', () => {
  test('moves the expiry and leaves the data another request wrote', async () => {
    const { get, set, touch, advance } = setup()
    await set('id', lasting(1_000, { visits: 2 }))
    await touch('id', lasting(60_000, { visits: 1 }))
    advance(30_000)
    expect(await get('id')).toMatchObject({ visits: 2 })
  })

  test('never brings back a session that is gone, and does not complain', async () => {
    const { get, set, touch, destroy } = setup()
    await set('id', lasting(1_000))
    await destroy('id')
    await touch('id', lasting(1_000))
    expect(await get('id')).toBeNull()
  })
})

describe('all, length and clear', () => {
  test('see living sessions only, with their ids', async () => {
    const { set, all, length, advance } = setup()
    await set('a', lasting(1_000, { n: 1 }))
    await set('b', lasting(60_000, { n: 2 }))
    expect(await length()).toBe(2)
    advance(2_000)
    expect(await all()).toMatchObject([{ id: 'b', n: 2 }])
    expect(await length()).toBe(1)
  })

  test('clear ends every session and nothing else', async () => {
    const store = memory()
    await new Cache(store, { prefix: 'pages:' }).set('k', 1)
    const { set, clear, length } = promised(
      new SessionStore({ cache: new Cache(store, { prefix: 'session:' }) }),
    )
    await set('a', lasting(1_000))
    await clear()
    expect(await length()).toBe(0)
    expect(store.get('pages:k')).toBe('1')
  })

  test('on a driver that cannot list, they say so, and clear works', async () => {
    const listless = wrapStore(memory(), (_, call) => call())
    delete (listless as { scan?: unknown }).scan
    const cache = new Cache(listless, { prefix: 'session:' })
    const { set, get, clear, length, all } = promised(new SessionStore({ cache }))
    await set('a', lasting(1_000))
    await expect(length()).rejects.toMatchObject({ code: 'ERR_CACHE_UNSUPPORTED' })
    await expect(all()).rejects.toMatchObject({ code: 'ERR_CACHE_UNSUPPORTED' })
    await clear()
    expect(await get('a')).toBeNull()
  })
})

describe('what is not a session', () => {
  test.each([1, 'text', null, {}, ['x']])('%j is as good as nothing', async (value) => {
    const { cache, get, all } = setup()
    await cache.set('id', value)
    expect(await get('id')).toBeNull()
    expect(await all()).toEqual([])
  })

  test('a session without a cookie can be stored without an exception', async () => {
    const { set } = setup()
    await set('id', {} as SessionData)
  })
})

describe('callbacks', () => {
  test('get the CacheError of a store that fails', async () => {
    const broken = wrapStore(memory(), () => {
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down')
    })
    const { get, set, touch, destroy } = promised(new SessionStore({ cache: new Cache(broken) }))
    const session = lasting(1_000)
    for (const call of [get('id'), set('id', session), touch('id', session), destroy('id')]) {
      await expect(call).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    }
  })

  test('may be left out, also when the store fails', async () => {
    const broken = wrapStore(memory(), async () => {
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down')
    })
    const store = new SessionStore({ cache: new Cache(broken) })
    store.destroy('id')
    store.set('id', lasting(1_000))
    await new Promise((resolve) => setImmediate(resolve))
  })

  test('that throw are called once, and the exception is the application’s own', async () => {
    const { store, set } = setup()
    await set('id', lasting(1_000))
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
] as const)('with consistency: %s a session is read as %s', async (consistency, expected) => {
  const asked: unknown[] = []
  const store = wrapStore(memory(), (operation, call, [, options]) => {
    if (operation === 'get') asked.push(options)
    return call()
  })
  const sessions = promised(new SessionStore({ cache: new Cache(store), consistency }))
  await sessions.set('id', lasting(60_000))
  expect(await sessions.get('id')).not.toBeNull()
  expect(asked).toEqual([{ consistency: expected }])
})
