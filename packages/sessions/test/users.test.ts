import { Cache } from '@stowage/core'
import { type Interceptor, wrapStore } from '@stowage/core/driver'
import { sessionChannels } from '@stowage/sessions'
import { sessionKey } from '@stowage/sessions/tools'
import { describe, expect, test } from 'vitest'
import { AnonymousSessions } from '../src/users/anonymous-sessions.ts'
import { UserIndex } from '../src/users/user-index.ts'
import { readExisting, setup, type TestSession } from './fixture.ts'

const indexSecret = 'a secret of this application'
const index = (session: TestSession) => session.user as string | undefined

function start(options: object = {}, values: 'bytes' | 'shared' = 'bytes') {
  return setup({ index, indexSecret, ...options }, { values })
}

const namesOf = (listed: readonly { session: TestSession }[]) =>
  listed.map(({ session }) => session.device).sort()

describe.each(['bytes', 'shared'] as const)('the sessions of a user, values: %s', (values) => {
  test('are listed, and ended one by one or all at once', async () => {
    const { one, two } = start({}, values)
    for (const device of ['phone', 'laptop', 'tablet']) {
      await one.create(device, { user: 'ada', device })
    }
    await one.create('other', { user: 'bob', device: 'other' })
    await one.create('anonymous', { device: 'anonymous' })
    const listed = await two.of('ada')
    expect(namesOf(listed)).toEqual(['laptop', 'phone', 'tablet'])
    const phone = listed.find(({ session }) => session.device === 'phone')
    await two.destroy(phone?.key as string)
    expect(namesOf(await one.of('ada'))).toEqual(['laptop', 'tablet'])
    await two.destroyAllFor('ada', { except: 'laptop' })
    expect(namesOf(await one.of('ada'))).toEqual(['laptop'])
    expect(await one.read('tablet')).toBeUndefined()
    expect(await one.read('laptop')).toBeDefined()
    await two.destroyAllFor('ada')
    expect(await one.read('laptop')).toBeUndefined()
    expect(await one.of('ada')).toEqual([])
    expect(await one.read('other')).toBeDefined()
    expect(await one.read('anonymous')).toBeDefined()
  })
})

test('a login gives a session its user, and another login another one', async () => {
  const { one, two } = start()
  await one.create('id', { cart: 1 })
  for (const user of ['ada', 'bob']) {
    const session = await readExisting(one)
    session.user = user
    expect(await one.update('id', session)).toBe('saved')
    expect(await two.of(user)).toMatchObject([{ session: { user, cart: 1 } }])
  }
  expect(await two.of('ada')).toEqual([])
  await two.destroyAllFor('ada')
  expect(await one.read('id')).toBeDefined()
  await two.destroyAllFor('bob')
  expect(await one.read('id')).toBeUndefined()
})

test('two requests that sign in the same user at the same time keep the changes of both', async () => {
  const { one, two } = start()
  await one.create('id', { cart: 1 })
  const [a, b] = [await readExisting(one), await readExisting(two)]
  expect(await one.update('id', Object.assign(a, { user: 'ada', a: 1 }))).toBe('saved')
  expect(await two.update('id', Object.assign(b, { user: 'ada', b: 1 }))).toBe('saved')
  expect(await one.read('id')).toEqual({ cart: 1, user: 'ada', a: 1, b: 1 })
})

test('a second attempt to sign in is stored if the reply to the first one was lost', async () => {
  const { one, create, backend, clock } = start()
  let isLosing = true
  const losing = wrapStore(backend, async (operation, call, [key]) => {
    const result = await call()
    if (operation !== 'compareAndSet' || !String(key).startsWith('s:v1:')) return result
    if (!isLosing) return result
    isLosing = false
    throw new Error('no reply')
  })
  const sessions = create({ cache: new Cache(losing, { prefix: 's:', ttl: '1d', clock }) })
  await one.create('id', { cart: 1 })
  const session = Object.assign(await readExisting(sessions), { user: 'ada' })
  await expect(sessions.update('id', session)).rejects.toThrow('no reply')
  expect(await sessions.update('id', Object.assign(session, { visits: 1 }))).toBe('saved')
  expect(await one.read('id')).toEqual({ cart: 1, user: 'ada', visits: 1 })
})

test('the list of a user contains no session of another user, which was not removed from it', async () => {
  const { one, createCache, clock } = start()
  await one.create('id', { user: 'ada' })
  const options = {
    cache: createCache(),
    secret: indexSecret,
    maxPerUser: 10,
    absoluteMs: Infinity,
  }
  const session = { key: sessionKey('id'), created: clock.now(), lifetimeMs: 60_000 }
  await new UserIndex(options).add('bob', session)
  expect([await one.of('bob'), (await one.of('ada')).length]).toEqual([[], 1])
})

test('a user may be a number in one session, and its text in the next', async () => {
  const { one, two } = start({ index: ({ user }: TestSession) => user as string | number })
  await one.create('id', { user: 7 })
  const session = await readExisting(one)
  session.user = '7'
  expect(await one.update('id', session)).toBe('saved')
  expect(await two.read('id')).toEqual({ user: '7' })
  await two.destroyAllFor(7)
  expect(await one.read('id')).toBeUndefined()
})

test('a slow request does not restore a session that was ended with all others', async () => {
  const { one, two } = start()
  await one.create('id', { user: 'ada' })
  const slow = await readExisting(one)
  await two.destroyAllFor('ada')
  slow.n = 1
  expect(await one.update('id', slow)).toBe('dropped')
  expect(await one.read('id')).toBeUndefined()
})

test('sign-out everywhere holds although the sessions could not be deleted', async () => {
  const { one, two, create, createCache } = start()
  const cache = createCache()
  await one.create('id', { user: 'ada' })
  await two.read('id')
  cache.deleteMany = async () => {
    throw new Error('the process has ended')
  }
  await expect(create({ cache }).destroyAllFor('ada')).rejects.toThrow('ended')
  expect(await one.read('id')).toBeUndefined()
  expect(await two.read('id')).toBeUndefined()
  // A new session does not bring it back.
  await one.create('new', { user: 'ada' })
  expect(await one.read('id')).toBeUndefined()
  expect(await one.read('new')).toBeDefined()
})

test.each(['bob', undefined])(
  'nor does a slow request continue such a session with the user %s',
  async (user) => {
    const { one, two, create, createCache, calls } = start()
    await one.create('id', { user: 'ada', cart: 1 })
    const slow = await readExisting(two)
    const cache = createCache()
    cache.deleteMany = async () => {
      throw new Error('the process has ended')
    }
    await expect(create({ cache }).destroyAllFor('ada')).rejects.toThrow('ended')
    slow.user = user
    calls.length = 0
    expect(await two.update('id', slow)).toBe('dropped')
    // Nor is it stored for a moment.
    expect(calls).not.toContain('compareAndSet')
    expect(await one.read('id')).toBeUndefined()
  },
)

test('a session that changes while it is deleted with all others is deleted', async () => {
  const { one, create, createCache, backend, clock } = start({ rotation: true })
  await one.create('id', { user: 'ada' })
  const session = await readExisting(one)
  let changes = 0
  const store = wrapStore(backend, async (operation, call, [key]) => {
    if (operation === 'compareAndSet' && String(key).startsWith('s:v1:') && changes++ < 2) {
      await one.update('id', Object.assign(session, { changes }))
    }
    return call()
  })
  const other = create({ cache: new Cache(store, { prefix: 's:', ttl: '1d', clock }) })
  await other.destroyAllFor('ada')
  expect(await createCache().get(sessionKey('id'))).toBeUndefined()
})

test.each([false, true])(
  'a session has ended that gets another user before it is deleted, rotation: %s',
  async (rotation) => {
    const { one, create, backend, clock } = start({ rotation })
    await one.create('id', { user: 'ada' })
    const session = await readExisting(one)
    let outcome: string | undefined
    const store = wrapStore(backend, async (operation, call, [keys]) => {
      const deletes = operation === 'deleteMany' || operation === 'compareAndSet'
      if (deletes && String(keys).startsWith('s:v1:')) {
        outcome = await one.update('id', Object.assign(session, { user: 'bob' }))
      }
      return call()
    })
    const other = create({ cache: new Cache(store, { prefix: 's:', ttl: '1d', clock }) })
    await other.destroyAllFor('ada')
    expect([outcome, await create().read('id')]).toEqual(['dropped', undefined])
  },
)

test('sessions end if the list was evicted, and do not come back with a new one', async () => {
  const { one, backend } = start()
  await one.create('id', { user: 'ada' })
  for await (const page of backend.scan?.('s:u1:') ?? []) await backend.deleteMany(page)
  expect(await one.read('id')).toBeUndefined()
  await one.create('new', { user: 'ada' })
  expect(await one.read('id')).toBeUndefined()
})

test('the oldest session ends if a user has too many', async () => {
  const { one, two, advance } = start({ maxPerUser: 2 })
  for (const id of ['a', 'b', 'c']) {
    advance(1)
    await one.create(id, { user: 'ada', device: id })
  }
  expect(namesOf(await two.of('ada'))).toEqual(['b', 'c'])
  expect(await two.read('a')).toBeUndefined()
  // One that has ended does not count.
  await one.destroy('b')
  advance(1)
  await one.create('d', { user: 'ada', device: 'd' })
  expect(namesOf(await two.of('ada'))).toEqual(['c', 'd'])
})

test('of two logins at the same time, both stay, and the oldest sessions end', async () => {
  const { one, two, create, backend, clock, advance } = start({ maxPerUser: 2 })
  for (const id of ['a', 'b']) {
    await one.create(id, { user: 'ada', device: id })
    advance(60_000)
  }
  let isBefore = true
  const store = wrapStore(backend, async (operation, call, [key]) => {
    if (isBefore && operation === 'add' && String(key).startsWith('s:v1:')) {
      isBefore = false
      await two.create('d', { user: 'ada', device: 'd' })
    }
    return call()
  })
  const slow = create({ cache: new Cache(store, { prefix: 's:', ttl: '1d', clock }) })
  await slow.create('c', { user: 'ada', device: 'c' })
  expect(namesOf(await one.of('ada'))).toEqual(['c', 'd'])
})

test('the list exists as long as the sessions of the user', async () => {
  const { one, two, advance } = start({ idleTimeout: '10m' })
  await one.create('used', { user: 'ada', device: 'used' })
  await one.create('idle', { user: 'ada', device: 'idle' })
  for (let request = 0; request < 20; request++) {
    advance(8 * 60_000)
    const sessions = request % 2 === 0 ? one : two
    await sessions.touch('used', await readExisting(sessions, 'used'))
  }
  expect(namesOf(await one.of('ada'))).toEqual(['used'])
})

test('a read is one round trip, once the user of the session is known', async () => {
  const { one, calls } = start()
  await one.create('id', { user: 'ada' })
  await one.read('id')
  calls.length = 0
  const reading = one.read('id')
  await Promise.resolve()
  await Promise.resolve()
  expect(calls).toEqual(['get', 'get'])
  await reading
  expect(calls).toHaveLength(2)
})

test('what lists do not contain is read once, and the list again after all clears', async () => {
  const { one, create, createCache, backend } = start()
  await one.create('id', { user: 'ada' })
  for await (const page of backend.scan?.('s:u1:') ?? []) await backend.deleteMany(page)
  const cache = createCache()
  const reads: unknown[] = []
  const snapshot = cache.snapshot.bind(cache)
  cache.snapshot = (key, options) => {
    reads.push([key.slice(0, 3), options])
    return snapshot(key, options)
  }
  const sessions = create({ cache })
  expect(await sessions.read('id')).toBeUndefined()
  const usual = { consistency: 'strong', confirmGeneration: 'on-miss', forUpdate: true }
  const confirmed = { ...usual, confirmGeneration: true }
  expect(reads.splice(0)).toEqual([
    ['v1:', usual],
    ['u1:', usual],
    ['u1:', confirmed],
  ])
  expect(await sessions.all()).toEqual([])
  expect(reads).toEqual([['u1:', confirmed]])
})

test('a session stays valid if index does not return its user any more', async () => {
  const { one, create } = start()
  await one.create('id', { user: 'ada' })
  expect(await create({ index: () => undefined }).read('id')).toEqual({ user: 'ada' })
})

test('the list of a user is not read with a session that has ended', async () => {
  const { one, calls } = start()
  await one.create('id', { user: 'ada' })
  await one.read('id')
  await one.destroy('id')
  calls.length = 0
  expect(await one.read('id')).toBeUndefined()
  expect(calls).toEqual(['get'])
})

test('a missing session is missing, also if the list of its user cannot be read', async () => {
  const { one, create, createCache } = start()
  await one.create('id', { user: 'ada' })
  const cache = createCache()
  const sessions = create({ cache })
  await sessions.read('id')
  await one.clear()
  const snapshot = cache.snapshot.bind(cache)
  cache.snapshot = (key, options) =>
    key.startsWith('u1:') ? Promise.reject(new Error('down')) : snapshot(key, options)
  expect(await sessions.read('id')).toBeUndefined()
})

test('a session is found that is rotated between the reads of it and of the list of its user', async () => {
  const { one, create, backend, clock } = start({ rotation: true })
  await one.create('id', { user: 'ada' })
  const session = await readExisting(one)
  let isRotated = false
  const store = wrapStore(backend, async (operation, call, [key]) => {
    if (operation === 'get' && String(key).startsWith('s:u1:') && !isRotated) {
      isRotated = true
      await one.rotate('id', 'next', session)
    }
    return call()
  })
  const other = create({ cache: new Cache(store, { prefix: 's:', ttl: '1d', clock }) })
  expect(await other.read('id')).toEqual({ user: 'ada' })
})

test('sessions that were stored without an index stay valid, and are listed with their next write', async () => {
  const { one, create, advance } = start()
  await create({ index: undefined, indexSecret: undefined }).create('id', { user: 'ada' })
  const session = await readExisting(one)
  expect(await one.of('ada')).toEqual([])
  advance(3_600_000)
  expect(await one.touch('id', session)).toBe('saved')
  expect(await one.of('ada')).toHaveLength(1)
  await one.destroyAllFor('ada')
  expect(await one.read('id')).toBeUndefined()
})

describe('sessions that were stored without an index', () => {
  const day = 86_400_000
  /** By how much the clocks of two processes may differ. */
  const clockDifference = 1_800_000

  /** Those of processes that do not list sessions yet, beside those that do. */
  function upgrade(options: object = {}) {
    const all = start({ idleTimeout: '2000d', ...options })
    return { ...all, before: all.create({ index: undefined, indexSecret: undefined }) }
  }

  test.each(['bytes', 'shared'] as const)(
    'end with all of their user, values: %s',
    async (values) => {
      const { one, two, create, advance } = start({ idleTimeout: '2000d' }, values)
      const before = create({ index: undefined, indexSecret: undefined })
      for (const id of ['stolen', 'slow']) await before.create(id, { user: 'ada' })
      await before.create('other', { user: 'bob' })
      await before.create('anonymous', {})
      const slow = await readExisting(two, 'slow')
      await one.destroyAllFor('ada')
      slow.n = 1
      expect(await two.update('slow', slow)).toBe('dropped')
      expect(await one.of('ada')).toEqual([])
      // Later logins and logouts do not bring them back, in any process and for as long as browsers keep cookies.
      advance(clockDifference)
      await before.create('soon', { user: 'ada' })
      advance(1)
      await before.create('later', { user: 'ada' })
      await two.create('new', { user: 'ada' })
      await two.destroy('new')
      for (const ms of [0, 30 * day, 369 * day, 2 * day, 1_000 * day]) {
        advance(ms)
        for (const sessions of [one, two]) {
          expect(await sessions.read('stolen')).toBeUndefined()
          expect(await sessions.read('slow')).toBeUndefined()
          expect(await sessions.read('soon')).toBeUndefined()
        }
        if (ms === 30 * day) expect(await two.read('later')).toEqual({ user: 'ada' })
      }
      expect(await one.read('anonymous')).toEqual({})
    },
  )

  test('end if they are so old that the mark of an end would have expired', async () => {
    const { one, before, advance, create } = upgrade()
    await before.create('id', { user: 'ada' })
    await before.create('anonymous', { cart: 1 })
    advance(400 * day - 1)
    expect(await one.read('id')).toBeDefined()
    advance(1)
    expect(await one.read('id')).toBeUndefined()
    expect(await create().read('anonymous')).toEqual({ cart: 1 })
  })

  test('with an absolute timeout, the mark exists as long as sessions do', async () => {
    const { one, before, advance, backend } = upgrade({ absoluteTimeout: '10d' })
    await before.create('id', { user: 'ada' })
    await one.destroyAllFor('ada')
    const lists = async () => {
      const keys: string[] = []
      for await (const page of backend.scan?.('s:u1:') ?? []) keys.push(...page)
      return keys
    }
    advance(10 * day + 2 * clockDifference - 1)
    expect(await one.read('id')).toBeUndefined()
    expect(await lists()).toHaveLength(1)
    advance(1)
    expect(await lists()).toEqual([])
    expect(await one.read('id')).toBeUndefined()
  })

  test.each(['10d', '2000d'])(
    'do not come back where clocks differ, when the mark expires, absolute timeout: %s',
    async (absoluteTimeout) => {
      const { one, before, advance, create, createCache } = upgrade({ absoluteTimeout })
      const fast = { cache: createCache(clockDifference) }
      const fastBefore = create({ ...fast, index: undefined, indexSecret: undefined })
      const fastOne = create(fast)
      await fastBefore.create('stolen', { user: 'ada' })
      // Its expiry moves, by the other clock.
      const session = await readExisting(before, 'stolen')
      session.n = 1
      expect(await before.update('stolen', session)).toBe('saved')
      await one.destroyAllFor('ada')
      advance((absoluteTimeout === '10d' ? 10 : 400) * day - clockDifference - 60_000)
      for (const minute of Array(120).keys()) {
        expect(await one.read('stolen'), String(minute)).toBeUndefined()
        expect(await fastOne.read('stolen'), String(minute)).toBeUndefined()
        await fastOne.create(`login ${minute}`, { user: 'ada' })
        await fastOne.destroy(`login ${minute}`)
        advance(60_000)
      }
    },
  )

  test('do not come back with another end of all sessions, by a slower clock or with a shorter timeout', async () => {
    const { one, create, advance, createCache } = upgrade({ absoluteTimeout: '10d' })
    const fast = { cache: createCache(2 * clockDifference) }
    const fastBefore = create({ ...fast, index: undefined, indexSecret: undefined })
    await fastBefore.create('stolen', { user: 'ada' })
    await create(fast).destroyAllFor('ada')
    await create({ absoluteTimeout: '1d' }).destroyAllFor('ada')
    expect(await one.read('stolen')).toBeUndefined()
    advance(2 * day)
    expect(await one.read('stolen')).toBeUndefined()
  })

  test('are kept by the option except, also when they change, but not if they had ended before', async () => {
    const { one, two, before, advance } = upgrade({ rotation: true })
    for (const id of ['kept', 'ended']) await before.create(id, { user: 'ada' })
    await one.destroyAllFor('ada', { except: 'kept' })
    const kept = await readExisting(two, 'kept')
    expect(await two.rotate('kept', 'next', kept)).toBe('rotated')
    await one.destroyAllFor('ada', { except: 'ended' })
    expect(await two.read('ended')).toBeUndefined()
    expect(await two.read('next')).toBeUndefined()
    advance(clockDifference + 1)
    await before.create('again', { user: 'ada' })
    await one.destroyAllFor('ada', { except: 'again' })
    expect(await two.touch('again', await readExisting(two, 'again'))).toBe('unchanged')
    advance(day)
    expect(await two.touch('again', await readExisting(two, 'again'))).toBe('saved')
    expect(await two.of('ada')).toHaveLength(1)
  })

  describe('and have ended, while all sessions are cleared', () => {
    /** A process whose calls of the store `intercept` sees. */
    function ended(intercept: Interceptor) {
      const { backend, one, before, clock, create } = upgrade()
      const cache = new Cache(wrapStore(backend, intercept), { prefix: 's:', ttl: '1d', clock })
      const end = async () => {
        await before.create('stolen', { user: 'ada' })
        await one.destroyAllFor('ada')
      }
      return { one, other: create({ cache }), end }
    }

    test('are not read, although the list of their user was deleted after the session was read', async () => {
      const { one, other, end } = ended(async (operation, call, [keys]) => {
        if (operation.startsWith('get') && String(keys).startsWith('s:u1:')) await one.clear()
        return call()
      })
      await end()
      expect(await other.read('stolen')).toBeUndefined()
    })

    test('are deleted before the list of their user', async () => {
      const deleted: string[][] = []
      const { other, end } = ended((operation, call, [keys]) => {
        if (operation === 'deleteMany')
          deleted.push((keys as string[]).map((key) => key.slice(0, 5)))
        return call()
      })
      await end()
      await other.clear()
      expect(deleted).toEqual([['s:v1:'], ['s:u1:']])
    })
  })

  test('are listed when they get another id', async () => {
    const { one, two, before } = upgrade({ rotation: true })
    await before.create('id', { user: 'ada' })
    expect(await one.rotate('id', 'next', await readExisting(one))).toBe('rotated')
    expect(await two.read('next')).toEqual({ user: 'ada' })
    expect(await two.of('ada')).toHaveLength(1)
    await two.destroyAllFor('ada')
    expect(await one.read('next')).toBeUndefined()
  })

  test.each(['bob', undefined])(
    'do not continue with the user %s after their end',
    async (user) => {
      const { one, two, before } = upgrade()
      await before.create('id', { user: 'ada' })
      const slow = await readExisting(one)
      await two.destroyAllFor('ada')
      slow.user = user
      expect(await one.update('id', slow)).toBe('dropped')
      expect(await two.read('id')).toBeUndefined()
    },
  )

  test('are not listed among all sessions after the end of all of their user', async () => {
    const { one, two, before, advance } = upgrade()
    await before.create('id', { user: 'ada', device: 'old' })
    await before.create('other', { user: 'bob', device: 'other' })
    await before.create('anonymous', { device: 'anonymous' })
    expect(await one.keys()).toHaveLength(3)
    await two.destroyAllFor('ada')
    advance(1)
    await one.create('new', { user: 'ada', device: 'new' })
    expect(namesOf(await one.all())).toEqual(['anonymous', 'new', 'other'])
    expect(await one.keys()).toHaveLength(3)
  })

  test('are valid if a process with an index has listed them after an end of all others', async () => {
    const { one, two, before, advance } = upgrade()
    await before.create('id', { cart: 1 })
    advance(1)
    await one.destroyAllFor('ada')
    const login = await readExisting(one)
    login.user = 'ada'
    expect(await one.update('id', login)).toBe('saved')
    const seen = await readExisting(before)
    seen.n = 1
    expect(await before.update('id', seen)).toBe('saved')
    expect(await two.read('id')).toEqual({ cart: 1, user: 'ada', n: 1 })
    await one.destroyAllFor('ada')
    expect(await two.read('id')).toBeUndefined()
  })
})

test('what the list of a user has lost is not among all sessions', async () => {
  const { one, two, createCache } = start()
  await one.create('id', { user: 'ada', device: 'phone' })
  await one.create('other', { user: 'bob', device: 'other' })
  const cache = createCache()
  for await (const key of cache.keys()) if (key.startsWith('u1:')) await cache.delete(key)
  await one.create('laptop', { user: 'ada', device: 'laptop' })
  expect(await two.read('id')).toBeUndefined()
  expect(namesOf(await two.all())).toEqual(['laptop'])
  expect(await two.keys()).toEqual([(await two.of('ada'))[0]?.key])
})

test('an ended session that is stored again, under an id in use, is neither read nor listed', async () => {
  const { one, two, create, createCache, advance } = start()
  const cache = createCache()
  await one.create('id', { user: 'ada', device: 'phone' })
  const [ended] = await two.of('ada')
  const key = ended?.key as string
  const item = await cache.get(key)
  await one.destroy('id')
  advance(1_000)
  await one.create('id', { user: 'ada', device: 'laptop' })
  await cache.set(key, item)
  expect(await create().read('id')).toBeUndefined()
  expect(await two.of('ada')).toEqual([])
  expect(await two.all()).toEqual([])
})

test('all sessions are listed with one read of the list of each user', async () => {
  const { one, calls } = start({ maxPerUser: 50 })
  for (let id = 0; id < 20; id++) await one.create(`id${id}`, { user: id % 2 ? 'ada' : 'bob' })
  calls.length = 0
  expect(await one.all()).toHaveLength(20)
  expect(calls.length).toBeLessThan(10)
})

test('concurrent logins of one user are all listed', async () => {
  const { one, two } = start()
  const ids = Array.from({ length: 30 }, (_, login) => `id${login}`)
  await Promise.all(ids.map((id, login) => (login % 2 ? one : two).create(id, { user: 'ada' })))
  expect(await one.of('ada')).toHaveLength(30)
})

test('an id that exists is an error, which leaves the session with it to its user', async () => {
  const { one, two, advance } = start()
  await one.create('id', { user: 'ada' })
  advance(1)
  const rejected = { code: 'ERR_CACHE_REJECTED' }
  await expect(two.create('id', { user: 'ada' })).rejects.toMatchObject(rejected)
  expect(await one.read('id')).toEqual({ user: 'ada' })
  expect(await one.of('ada')).toHaveLength(1)
})

test('a session of the user stays if one that is too large was to replace it', async () => {
  const { one, advance } = start({ maxBytes: 100 })
  await one.create('id', { user: 'ada' })
  advance(1)
  const tooLarge = { user: 'ada', text: 'x'.repeat(100) }
  await expect(one.update('id', tooLarge)).rejects.toMatchObject({ code: 'ERR_CACHE_LIMIT' })
  expect(await one.read('id')).toEqual({ user: 'ada' })
})

test('the keys of lists do not contain users', async () => {
  const { one, backend } = start()
  await one.create('id', { user: 'ada@example.com' })
  const keys: string[] = []
  for await (const page of backend.scan?.('') ?? []) keys.push(...page)
  expect(keys.sort()).toEqual([
    expect.stringMatching(/^s:u1:[\w-]{43}$/),
    expect.stringMatching(/^s:v1:/),
  ])
  expect(await one.keys()).toHaveLength(1)
})

test('an index needs a secret, and lists need an index', async () => {
  expect(() => setup({ index })).toThrow('indexSecret')
  expect(() => setup({ index, indexSecret: 'short' })).toThrow('indexSecret')
  expect(() => start({ maxPerUser: 0 })).toThrow('maxPerUser')
  const { one } = setup()
  await expect(one.of('ada')).rejects.toThrow(TypeError)
  await expect(one.destroyAllFor('ada')).rejects.toThrow(TypeError)
})

test.each([
  ['an object', { id: 7 }],
  ['a promise', Promise.resolve('ada')],
  ['a symbol', Symbol('ada')],
  ['true', true],
  ['a bigint', 7n],
  ['an empty text', ''],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
])('%s is not a user: sessions of different users would share a list', async (_, value) => {
  const { create, backend } = start()
  const user = value as string
  const sessions = create({ index: ({ user: name }) => (name === undefined ? undefined : user) })
  const anonymous = { cart: 1 }
  await sessions.create('id', anonymous)
  for (const call of [
    sessions.create('new', { user: 1 }),
    sessions.update('id', Object.assign(anonymous, { user: 1 })),
    sessions.of(user),
    sessions.destroyAllFor(user),
  ]) {
    await expect(call).rejects.toThrow(TypeError)
    await expect(call).rejects.toThrow('must be a non-empty string or a finite number')
  }
  await create({ index: undefined, indexSecret: undefined }).create('unlisted', { user: 1 })
  await expect(sessions.read('unlisted')).rejects.toThrow(TypeError)
  for await (const page of backend.scan?.('s:u1:') ?? []) expect(page).toEqual([])
})

test('the number 0 and a long text are users', async () => {
  const { one } = start()
  for (const user of [0, -1.5, 'a'.repeat(10_000)] as unknown as string[]) {
    await one.create(`id of ${String(user).length}`, { user })
    expect(await one.of(user)).toHaveLength(1)
  }
})

describe('sessions without a user', () => {
  const anonymous = async (sessions: ReturnType<typeof start>['one'], count: number) => {
    for (let n = 0; n < count; n++) await sessions.create(`visitor ${n}`, { n })
  }

  test('are bounded, and do not evict those of users', async () => {
    const { one } = start({ maxAnonymous: 10 })
    await one.create('user', { user: 'ada' })
    await anonymous(one, 100)
    expect(await one.keys()).toHaveLength(11)
    expect(await one.read('user')).toEqual({ user: 'ada' })
    expect(await one.read('visitor 89')).toBeUndefined()
    expect(await one.read('visitor 90')).toEqual({ n: 90 })
  })

  test('count no longer when they have ended or got a user, in any process', async () => {
    const { one, two } = start({ maxAnonymous: 3 })
    await anonymous(one, 3)
    await one.update(
      'visitor 0',
      Object.assign(await readExisting(one, 'visitor 0'), { user: 'a' }),
    )
    await two.update(
      'visitor 1',
      Object.assign(await readExisting(two, 'visitor 1'), { user: 'b' }),
    )
    await one.destroy('visitor 2')
    for (const id of ['x', 'y', 'z', 'last']) await one.create(id, {})
    expect(await one.read('visitor 0')).toEqual({ n: 0, user: 'a' })
    expect(await one.read('visitor 1')).toEqual({ n: 1, user: 'b' })
    expect(await one.keys()).toHaveLength(5)
  })

  test('end one after another, before the next one is created', async () => {
    const calls: string[] = []
    const snapshot = async (key: string) => {
      calls.push(`read ${key}`)
      await new Promise(setImmediate)
      const end = async () => {
        await new Promise(setImmediate)
        calls.push(`ended ${key}`)
      }
      return { value: { n: 1 }, delete: end }
    }
    const sessions = new AnonymousSessions({ snapshot } as never, 1)
    await sessions.add('a')
    await Promise.all(['b', 'c'].map((key) => sessions.add(key)))
    expect(calls.splice(0)).toEqual(['read a', 'read b', 'ended a', 'ended b'])
    await sessions.add('d')
    expect(calls).toEqual(['read c', 'ended c'])
  })

  test('are bounded on the driver memory by default, and only with index', async () => {
    const { one, create } = start()
    await one.create('user', { user: 'ada' })
    await anonymous(one, 20_001)
    expect(await one.keys()).toHaveLength(20_001)
    expect(await one.read('visitor 0')).toBeUndefined()
    expect(() => create({ index: undefined, maxAnonymous: 1 })).toThrow('requires index')
  })
})

test.each([
  ['an entry that is null', { x: null }],
  ['an entry that is an object', { x: {} }],
  ['an entry with texts', { x: ['a', 'b'] }],
  ['an entry with an object as its first key', { x: [1, 1, {}] }],
])('a list with %s counts as missing, and the next login replaces it', async (_, damaged) => {
  const { one, two, createCache } = start()
  await one.create('before', { user: 'ada' })
  const cache = createCache()
  const keys: string[] = []
  for await (const key of cache.keys()) if (key.startsWith('u1:')) keys.push(key)
  await cache.set(keys[0] as string, { writtenAt: 0, sessions: damaged })
  expect(await two.read('before')).toBeUndefined()
  await two.create('after', { user: 'ada' })
  expect(await one.read('after')).toEqual({ user: 'ada' })
  expect(await one.of('ada')).toHaveLength(1)
  await one.destroyAllFor('ada')
  expect(await two.read('after')).toBeUndefined()
})

test('a user with a lone surrogate, which all such users would share, is an error', async () => {
  const { one } = start()
  await one.create('id', { user: 'a\ufffd' })
  await expect(one.destroyAllFor('a\ud800')).rejects.toThrow(/a lone surrogate/)
  await expect(one.create('other', { user: 'a\ud801' })).rejects.toThrow(/a lone surrogate/)
  expect(await one.read('id')).toBeDefined()
})

test('the creation and the end of sessions are published', async () => {
  const events: string[] = []
  const names = ['created', 'destroyed'] as const
  const listeners = names.map((name) => {
    const listener = (event: unknown) => {
      expect(JSON.stringify(event)).not.toContain('phone')
      events.push(name)
    }
    sessionChannels[name].subscribe(listener)
    return () => sessionChannels[name].unsubscribe(listener)
  })
  const { one, two } = start()
  for (const id of ['phone', 'laptop', 'tablet']) await one.create(id, { user: 'ada' })
  const read = (await one.read('phone')) as TestSession
  await one.update('phone', { ...read, device: 'phone' })
  await two.destroy('phone')
  await two.destroyAllFor('ada')
  for (const end of listeners) end()
  expect(events).toEqual([...Array(3).fill('created'), ...Array(3).fill('destroyed')])
})
