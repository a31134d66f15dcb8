import { Cache, CacheError } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { type DroppedEvent, Sessions, sessionChannels } from '@stowage/sessions'
import { describe, expect, test } from 'vitest'
import { cookieOf, readExisting, setup, type TestSession } from './fixture.ts'

describe.each(['bytes', 'shared'] as const)('sessions in memory, values: %s', (values) => {
  const start = (options = {}) => setup(options, { values })

  test('read returns a copy of what create has stored', async () => {
    const { one, two } = start()
    const user = { name: 'Ada' }
    expect(await one.create('id', { user, since: new Date(0), none: undefined })).toBe('saved')
    user.name = 'changed after create'
    const session = await readExisting(two)
    expect(session).toEqual({ user: { name: 'Ada' }, since: '1970-01-01T00:00:00.000Z' })
    ;(session.user as typeof user).name = 'changed after read'
    expect(await two.read('id')).toMatchObject({ user: { name: 'Ada' } })
    expect(await two.read('other')).toBeUndefined()
  })

  test('update stores the changes of both requests, also deletions, and another key each', async () => {
    const { one, two } = start()
    await one.create('id', { kept: 1, deleted: 1, changed: 1, nested: { a: 1, b: 1 } })
    const [a, b] = [await readExisting(one), await readExisting(two)]
    delete a.deleted
    a.a = 1
    b.b = 1
    b.changed = 2
    expect(await one.update('id', a)).toBe('saved')
    expect(await two.update('id', b)).toBe('saved')
    expect(await one.read('id')).toEqual({
      kept: 1,
      changed: 2,
      nested: { a: 1, b: 1 },
      a: 1,
      b: 1,
    })
  })

  test('a second update after a merge keeps what the other request has written', async () => {
    const { one, two } = start()
    await one.create('id', { n: 0 })
    const [a, b] = [await readExisting(one), await readExisting(two)]
    a.a = 1
    await one.update('id', a)
    b.b = 1
    await two.update('id', b)
    b.n = 1
    await two.update('id', b)
    expect(await one.read('id')).toEqual({ n: 1, a: 1, b: 1 })
    // And once more, after it has changed again.
    a.a = 2
    await one.update('id', a)
    delete b.b
    await two.update('id', b)
    expect(await one.read('id')).toEqual({ n: 1, a: 2 })
  })

  test('a session that has ended is not stored again', async () => {
    const ends: Record<string, (setup: ReturnType<typeof start>) => Promise<unknown>> = {
      destroy: ({ two }) => two.destroy('id'),
      'destroy by key': async ({ two }) => two.destroy((await two.keys())[0] as string),
      clear: ({ two }) => two.clear(),
      expiry: async ({ advance }) => advance(86_400_001),
      eviction: ({ backend }) => Promise.resolve(backend.clear()),
    }
    for (const [name, end] of Object.entries(ends)) {
      const context = start()
      const { one, two } = context
      await one.create('id', { n: 0 })
      const [changed, unchanged, touched] = await Promise.all(
        [one, two, one].map((s) => readExisting(s)),
      )
      await end(context)
      Object.assign(changed as TestSession, { n: 1 })
      expect(await one.update('id', changed as TestSession), name).toBe('dropped')
      expect(await one.update('id', changed as TestSession), name).toBe('dropped')
      await two.update('id', unchanged as TestSession)
      await one.touch('id', touched as TestSession)
      expect(await two.read('id'), name).toBeUndefined()
    }
  })

  test('a session that was created again is not that of an earlier request', async () => {
    const { one, two, advance } = start()
    await one.create('id', { user: 'ada' })
    const old = await readExisting(one)
    await two.destroy('id')
    advance(1)
    await two.create('id', { user: 'bob' })
    old.n = 1
    expect(await one.update('id', old)).toBe('dropped')
    expect(await two.read('id')).toEqual({ user: 'bob' })
  })

  test('an object that was not read is stored as it is', async () => {
    const { one, two } = start()
    await one.create('id', { a: 1 })
    expect(await two.update('id', { b: 1 })).toBe('saved')
    expect(await one.read('id')).toEqual({ b: 1 })
    expect(await two.update('new', { c: 1 })).toBe('saved')
    expect(await one.read('new')).toEqual({ c: 1 })
  })

  test('a session that was read with another id is stored as a new one, and not in its place', async () => {
    const { one, two } = start()
    await one.create('id', { user: 'ada' })
    const session = await readExisting(one)
    session.copy = true
    expect(await one.touch('another', session)).toBe('unchanged')
    expect(await one.update('another', session)).toBe('saved')
    session.n = 1
    expect(await one.update('another', session)).toBe('saved')
    expect(await two.read('another')).toEqual({ user: 'ada', copy: true, n: 1 })
    await one.destroy('a third', session)
    expect(await two.read('id')).toEqual({ user: 'ada' })
    expect(await two.read('another')).toBeDefined()
  })

  test.each(['accepted', true, null, 1, { maxAge: 5 }, { path: ['/'] }, { expires: 'soon' }])(
    'a key "cookie" that is not a cookie is an error: %j',
    async (cookie) => {
      const { one, two } = start()
      const problem = 'The key "cookie" of a session must be a cookie'
      await expect(one.create('id', { cookie })).rejects.toThrow(problem)
      await expect(one.update('id', { cookie })).rejects.toThrow(problem)
      await one.create('id', { user: 'ada' })
      const session = await readExisting(one)
      await expect(one.update('id', Object.assign(session, { cookie }))).rejects.toThrow(problem)
      expect(await two.read('id')).toEqual({ user: 'ada' })
    },
  )

  test('a key "expires" stays as it is, though it is the time at which the cookie expires', async () => {
    const { one, two, clock, advance } = start()
    const cookie = cookieOf(60_000, clock.now())
    for (const expires of [clock.now() + 60_000, cookie.expires]) {
      const id = String(expires)
      await one.create(id, { cookie, expires })
      advance(1_000)
      const session = await readExisting(one, id)
      await one.touch(id, Object.assign(session, { cookie: cookieOf(60_000, clock.now()) }))
      expect((await readExisting(two, id)).expires).toBe(expires)
      session.expires = 'never'
      expect(await one.update(id, session)).toBe('saved')
      expect((await readExisting(two, id)).expires).toBe('never')
    }
  })

  test('touch moves the expiry, also of an object that was not read, and stores no data', async () => {
    const { one, two, advance, clock } = start()
    await one.create('id', { n: 1, cookie: cookieOf(1_000, clock.now()) })
    for (let count = 0; count < 5; count++) {
      advance(900)
      const cookie = cookieOf(1_000, clock.now())
      await (count % 2 === 0 ? one : two).touch('id', { n: 2, cookie })
    }
    expect(await one.read('id')).toMatchObject({ n: 1 })
    advance(1_001)
    expect(await one.read('id')).toBeUndefined()
    await one.touch('id', { n: 1, cookie: cookieOf(1_000, clock.now()) })
    expect(await one.read('id')).toBeUndefined()
  })
})

describe('new sessions', () => {
  test('an id that exists is an error, never a merge of two users', async () => {
    const { one, two } = setup()
    await one.create('id', { user: 'ada' })
    await expect(two.create('id', { user: 'bob' })).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
    })
    expect(await one.read('id')).toEqual({ user: 'ada' })
  })

  test('an id that exists is an error, also if that session began with the same contents', async () => {
    const { one, two, advance } = setup()
    await one.create('id', {})
    advance(1)
    await expect(two.create('id', {})).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
  })

  test('a second attempt succeeds if the reply to the first one was lost', async () => {
    const { one, backend, clock, advance } = setup()
    const lost = new CacheError('ERR_CACHE_TIMEOUT', 'no reply')
    let replies = 0
    const losing = wrapStore(backend, async (operation, call) => {
      const result = await call()
      if (operation === 'add' && replies++ === 0) throw lost
      return result
    })
    const sessions = new Sessions({ cache: new Cache(losing, { prefix: 's:', ttl: '1d', clock }) })
    const session = { user: 'ada' }
    sessions.markAsNew(session)
    advance(1)
    await expect(sessions.update('id', session)).rejects.toBe(lost)
    expect(await sessions.update('id', session)).toBe('saved')
    expect(await one.read('id')).toEqual({ user: 'ada' })
  })

  test('create needs one command, and a following update one more', async () => {
    const { one, calls } = setup()
    const session: Record<string, unknown> = { user: 'ada' }
    await one.create('id', session)
    expect(calls).toEqual(['add'])
    session.n = 1
    await one.update('id', session)
    expect(calls).toEqual(['add', 'compareAndSet'])
  })
})

describe('calls of one process for one session', () => {
  test('are made one after another, with one command each', async () => {
    const { one, calls } = setup()
    await one.create('id', {})
    const sessions = await Promise.all(Array.from({ length: 50 }, () => readExisting(one)))
    calls.length = 0
    await Promise.all(
      sessions.map((session, index) => {
        session[`key${index}`] = index
        return one.update('id', session)
      }),
    )
    expect(calls).toEqual(Array(50).fill('compareAndSet'))
    expect(Object.keys(await readExisting(one))).toHaveLength(50)
  })

  test('one with a wrong argument fails, and the others do not', async () => {
    const { one } = setup()
    await one.create('id', { n: 0 })
    const session = await readExisting(one)
    await expect(one.destroy('id', 'not a session' as never)).rejects.toThrow(TypeError)
    expect(await one.update('id', Object.assign(session, { n: 1 }))).toBe('saved')
    expect(await one.read('id')).toEqual({ n: 1 })
  })

  test('read waits for the writes that were made before', async () => {
    const { one } = setup()
    await one.create('id', { n: 0 })
    const session = await readExisting(one)
    session.n = 1
    const write = one.update('id', session)
    expect(await one.read('id')).toEqual({ n: 1 })
    const end = one.destroy('id')
    expect(await one.read('id')).toBeUndefined()
    await Promise.all([write, end])
  })

  test('an update after a destroy is dropped, whatever it had read', async () => {
    const { one } = setup()
    await one.create('id', { n: 0 })
    const [a, b] = [await readExisting(one), await readExisting(one)]
    a.n = b.n = 1
    const outcomes = [one.update('id', a), one.destroy('id'), one.update('id', b)]
    expect(await Promise.all(outcomes)).toEqual(['saved', undefined, 'dropped'])
    expect(await one.read('id')).toBeUndefined()
  })

  test('continue after a failure', async () => {
    const { one, createCache } = setup()
    const cache = createCache()
    const sessions = new Sessions({ cache })
    await one.create('id', { n: 0 })
    const session = (await sessions.read('id')) as Record<string, unknown>
    session.n = 'x'.repeat(70_000)
    await expect(sessions.update('id', session)).rejects.toMatchObject({ code: 'ERR_CACHE_LIMIT' })
    session.n = 1
    expect(await sessions.update('id', session)).toBe('saved')
    expect(await one.read('id')).toEqual({ n: 1 })
  })
})

describe('the option concurrency', () => {
  async function conflicting(concurrency: 'lastWrite' | 'reject') {
    const { one, two } = setup({ concurrency })
    await one.create('id', { n: 0 })
    const [a, b] = [await readExisting(one), await readExisting(two)]
    a.a = 1
    b.b = 1
    await one.update('id', a)
    return { one, two, b }
  }

  test('lastWrite replaces the whole session, but not one that has ended', async () => {
    const { one, two, b } = await conflicting('lastWrite')
    expect(await two.update('id', b)).toBe('saved')
    expect(await one.read('id')).toEqual({ n: 0, b: 1 })
    await one.destroy('id')
    b.n = 2
    expect(await two.update('id', b)).toBe('dropped')
  })

  test('reject fails, and leaves the session as it is', async () => {
    const { one, two, b } = await conflicting('reject')
    await expect(two.update('id', b)).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      retryable: true,
    })
    expect(await one.read('id')).toEqual({ n: 0, a: 1 })
  })

  test('with reject, a change is stored after another request has moved the expiry', async () => {
    const { one, two, advance } = setup({ concurrency: 'reject' })
    await one.create('id', { n: 0 })
    const [a, b] = [await readExisting(one), await readExisting(two)]
    advance(3_600_000)
    expect(await one.touch('id', a)).toBe('saved')
    b.n = 1
    expect(await two.update('id', b)).toBe('saved')
  })

  test('is checked', () => {
    expect(() => setup({ concurrency: 'last' as never })).toThrow('concurrency')
    expect(() => setup({ unknown: 1 } as never)).toThrow('unknown')
  })

  test.each([
    ['idleTimeout', 0],
    ['idleTimeout', '-1m'],
    ['absoluteTimeout', 0],
    ['maxBytes', '64kb'],
    ['maxBytes', Number.NaN],
    ['maxBytes', 0],
    ['consistency', 'weak'],
    ['rotation', 'on'],
    ['index', 'user'],
    ['migrateFrom', {}],
    ['migrateFrom', { until: '2030-01-01' }],
    ['migrateFrom', { until: new Date('soon') }],
  ])('the option %s must be valid: %o', (name, value) => {
    const options = { indexSecret: 'a secret of the test', [name]: value } as never
    const problem = { code: 'ERR_CACHE_CONFIG', message: expect.stringContaining(name) }
    expect(() => setup(options)).toThrow(expect.objectContaining(problem))
  })
})

test.each(['strong', 'eventual'] as const)(
  'reads have the consistency of the option: %s',
  async (consistency) => {
    const { create, createCache } = setup()
    const cache = createCache()
    const options: unknown[] = []
    const snapshot = cache.snapshot.bind(cache)
    cache.snapshot = (key, given) => {
      options.push(given)
      return snapshot(key, given)
    }
    await create({ cache, consistency }).read('id')
    expect(options).toEqual([{ consistency, confirmGeneration: 'on-miss', forUpdate: true }])
  },
)

describe('the user of a session', () => {
  test('a write is dropped if the session belongs to another user by then', async () => {
    const { one, two } = setup({
      index: (session) => session.user as string | undefined,
      indexSecret: 'a secret of this application',
    })
    const reasons: string[] = []
    const listen = (event: unknown) => reasons.push((event as DroppedEvent).reason)
    sessionChannels.dropped.subscribe(listen)
    await one.create('id', { user: 'ada' })
    const [slow, fast] = [await readExisting(one), await readExisting(two)]
    fast.user = 'bob'
    await two.update('id', fast)
    slow.cart = ['the cart of ada']
    expect(await one.update('id', slow)).toBe('dropped')
    expect(await one.read('id')).toEqual({ user: 'bob' })
    sessionChannels.dropped.unsubscribe(listen)
    expect(reasons).toEqual(['identity'])
  })
})

describe('what is stored', () => {
  test('keys do not contain ids, and a stored key does not open its session', async () => {
    const { one, backend } = setup()
    const id = 'Yq4tT0bX8s0h3mQ0o1cQ9yJ7rZ2wK5vE'
    await one.create(id, { user: 'ada' })
    const keys = (await one.keys()) as [string]
    expect(keys[0]).toMatch(/^v1:[\w-]{43}$/)
    for await (const page of backend.scan?.('') ?? []) expect(page.join()).not.toContain(id)
    expect(String(await backend.get(`s:${keys[0]}`))).not.toContain(id)
    expect(await one.read(keys[0])).toBeUndefined()
    expect(await one.read(keys[0].slice(3))).toBeUndefined()
  })

  test('keys does not read the sessions', async () => {
    const { one, calls } = setup()
    await one.create('id', { user: 'ada' })
    calls.length = 0
    expect(await one.keys()).toHaveLength(1)
    expect(calls.filter((call) => call.startsWith('get'))).toEqual([])
  })

  test('all lists sessions with their keys, and ignores everything else', async () => {
    const { one, createCache } = setup()
    const cache = createCache()
    await one.create('a', { n: 1 })
    await one.create('b', { n: 2 })
    await cache.set('note', 'not a session')
    const listed = await one.all()
    expect(listed.map(({ session }) => session.n).sort()).toEqual([1, 2])
    expect(await one.keys()).toHaveLength(2)
    for (const { key } of listed) await one.destroy(key)
    expect(await one.all()).toEqual([])
    expect(await cache.get('note')).toBe('not a session')
  })

  test.each([
    ['text', 'text'],
    ['a list', [1]],
    ['null', null],
    ['a cookie that is not an object', { cookie: 'x' }],
    ['a cookie with an invalid date', { cookie: { expires: 'never' } }],
    ['a cookie with a text as its age', { cookie: { originalMaxAge: '1' } }],
    ['a cookie with a number as its path', { cookie: { path: 1 } }],
    ['a cookie with an attribute in its path', { cookie: { path: '/; Domain=example.org' } }],
    ['a cookie with a line break in its domain', { cookie: { domain: 'a\r\nb' } }],
    ['a cookie with an unknown sameSite', { cookie: { sameSite: 'some' } }],
    ['a cookie with a number as its sameSite', { cookie: { sameSite: 5 } }],
    ['a cookie with an object as its priority', { cookie: { priority: {} } }],
    ['a cookie that expires after the last date', { cookie: { originalMaxAge: 8.64e15 } }],
    ['an old id that leads to no key', { '~': ['moved', '', 1e15] }],
    ['a stamp of a newer version', { '~': [2, null, 0], n: 1 }],
    ['a malformed stamp', { '~': 'x', n: 1 }],
    ['a malformed expiry', { '~': [1, 'x', 0], n: 1 }],
  ])('%s is a missing session', async (_, value) => {
    const { one, createCache } = setup()
    await one.create('id', {})
    const [key] = (await one.keys()) as [string]
    await createCache().set(key, value)
    expect(await one.read('id')).toBeUndefined()
    expect(await one.all()).toEqual([])
  })

  test.each([{ path: '/; Domain=example.org' }, { sameSite: 'some' }, { originalMaxAge: 1e300 }])(
    'a session whose cookie would not be read again is not stored: %o',
    async (cookie) => {
      const { one } = setup()
      await one.create('id', { n: 1 })
      const session = await readExisting(one)
      session.cookie = cookie
      await expect(one.update('id', session)).rejects.toThrow(/must be a cookie/)
      expect(await one.read('id')).toEqual({ n: 1 })
    },
  )

  test('a session cannot change the prototype of what it is merged with', async () => {
    const { one, two, backend } = setup()
    await one.create('id', { n: 0 })
    const [key] = (await one.keys()) as [string]
    await (backend as ByteStore).set(
      `s:${key}`,
      '{"n":0,"__proto__":{"isAdmin":true},"constructor":1}',
    )
    const [a, b] = [await readExisting(one), await readExisting(two)]
    expect(a.isAdmin).toBeUndefined()
    a.a = 1
    await one.update('id', a)
    b.b = 1
    await two.update('id', b)
    const merged = await readExisting(one)
    expect(merged).toEqual({ n: 0, constructor: 1, a: 1, b: 1 })
    expect(merged.isAdmin).toBeUndefined()
    expect(String(await backend.get(`s:${key}`))).not.toContain('isAdmin')
  })

  test('the reserved key, and values without JSON, are errors of the application', async () => {
    const { one } = setup()
    const cyclic: Record<string, unknown> = {}
    cyclic.self = cyclic
    await expect(one.create('id', { '~': 1 })).rejects.toThrow(TypeError)
    await expect(one.create('id', cyclic)).rejects.toThrow(TypeError)
    await expect(one.create('id', [] as never)).rejects.toThrow(TypeError)
    await expect(one.create('', {})).rejects.toThrow(TypeError)
    await expect(one.read(undefined as never)).rejects.toThrow(TypeError)
  })

  test('a session that is too large is not stored, and the error names its largest keys', async () => {
    const { one } = setup({ maxBytes: 1_000 })
    await one.create('id', { n: 0 })
    const session = await readExisting(one)
    Object.assign(session, { cart: 'x'.repeat(900), seen: 'y'.repeat(90), secret: 'z'.repeat(20) })
    const error = await one.update('id', session).catch((reason) => reason)
    expect(error).toMatchObject({ code: 'ERR_CACHE_LIMIT' })
    expect(error.message).toContain('cart (902 bytes), seen (92 bytes), secret (22 bytes)')
    expect(error.message).not.toContain('zzz')
    expect(await one.read('id')).toEqual({ n: 0 })
  })
})

describe('a backend that cannot list its keys', () => {
  test('keys, all and length fail with a clear error', async () => {
    const { createCache } = setup()
    const cache = createCache()
    cache.keys = () => {
      throw new CacheError('ERR_CACHE_UNSUPPORTED', 'cannot list', { store: 'memcached' })
    }
    const sessions = new Sessions({ cache })
    for (const call of [sessions.keys(), sessions.all()]) {
      await expect(call).rejects.toMatchObject({
        code: 'ERR_CACHE_UNSUPPORTED',
        message: expect.stringContaining('Sessions on memcached cannot be listed'),
      })
    }
  })

  test.each([
    new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { store: 'redis' }),
    Object.assign(new Error('not of a cache'), { code: 'ERR_CACHE_UNSUPPORTED' }),
  ])('is not one that fails otherwise: $message', async (error) => {
    const cache = setup().createCache()
    cache.keys = () => {
      throw error
    }
    await expect(new Sessions({ cache }).keys()).rejects.toBe(error)
  })
})

test.each([
  ['nothing', undefined],
  ['a cache', setup().createCache()],
  ['the caches', { cache: { use: () => setup().createCache() } }],
])('a Sessions that receives %s instead of { cache } says so', (_, options) => {
  expect(() => new Sessions(options as never)).toThrow(/cache must be a Cache, such as caches\.use/)
})
