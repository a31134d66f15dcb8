import { Cache } from '@stowage/core'
import { describe, expect, test } from 'vitest'
import { cookieOf, readExisting, setup } from './fixture.ts'

const minute = 60_000

describe('the idle timeout', () => {
  test('is the ttl of the cache, the option, or that of the cookie', async () => {
    const cases = [
      [{}, {}, 1_440 * minute],
      [{ idleTimeout: '30m' }, {}, 30 * minute],
      [{ idleTimeout: '30m' }, { cookie: { originalMaxAge: 5 * minute } }, 5 * minute],
      [{}, { cookie: { expires: new Date(1_700_000_000_000 + minute).toISOString() } }, minute],
      [{ idleTimeout: '30m' }, { cookie: { originalMaxAge: null, expires: null } }, 30 * minute],
    ] as const
    for (const [options, session, ms] of cases) {
      const { one, advance } = setup(options)
      await one.create('id', { ...session })
      advance(ms - 1)
      expect(await one.read('id'), JSON.stringify([options, session])).toBeDefined()
      advance(1)
      expect(await one.read('id'), JSON.stringify([options, session])).toBeUndefined()
    }
  })

  test.each([
    [{}, 1_440 * minute],
    [{ absoluteTimeout: '30d' }, 30 * 1_440 * minute],
    [{ idleTimeout: '2d' }, 2 * 1_440 * minute],
  ] as const)('with a cache without a ttl and %j is %i ms', async (options, ms) => {
    const { backend, clock, create, advance } = setup()
    const sessions = create({ cache: new Cache(backend, { clock }), ...options })
    await sessions.create('id', {})
    advance(ms - 1)
    expect(await sessions.read('id')).toBeDefined()
    advance(1)
    expect(await sessions.read('id')).toBeUndefined()
  })

  test('starts again with each request, to a twentieth of it', async () => {
    const { one, advance } = setup({ idleTimeout: '10m' })
    await one.create('id', {})
    for (let request = 0; request < 30; request++) {
      advance(9 * minute)
      await one.update('id', await readExisting(one))
    }
    advance(10 * minute)
    expect(await one.read('id')).toBeUndefined()
  })

  test('is written only if it has moved by touchAfter', async () => {
    const { one, calls, advance } = setup({ touchAfter: '1m' })
    await one.create('id', { n: 1 })
    calls.length = 0
    for (let request = 0; request < 12; request++) {
      advance(10_000)
      await one.touch('id', await readExisting(one))
    }
    expect(calls.filter((call) => call === 'get')).toHaveLength(12)
    expect(calls.filter((call) => call === 'compareAndSet')).toHaveLength(2)
    expect(calls).toHaveLength(14)
  })

  test('is written in each request with touchAfter 0', async () => {
    const { one, advance } = setup({ touchAfter: 0, idleTimeout: 1_000 })
    await one.create('id', {})
    for (let request = 0; request < 5; request++) {
      advance(999)
      expect(await one.touch('id', await readExisting(one))).toBe('saved')
    }
  })

  test('of at most a minute is written in each request, that of longer ones is not', async () => {
    for (const [idleTimeout, outcome] of [
      [minute, 'saved'],
      [2 * minute, 'unchanged'],
    ] as const) {
      const { one, advance } = setup({ idleTimeout })
      await one.create('id', {})
      advance(1)
      expect(await one.touch('id', await readExisting(one)), outcome).toBe(outcome)
    }
  })

  test('is moved although the clock of another process is fast', async () => {
    const { one, create, advance, createCache, clock } = setup({ idleTimeout: '10m' })
    const cache = createCache()
    Object.defineProperty(cache, 'clock', {
      value: { ...clock, now: () => clock.now() + 3_600_000 },
    })
    const fast = create({ cache })
    await fast.create('id', {})
    for (let request = 0; request < 4; request++) {
      advance(6 * minute)
      await one.touch('id', await readExisting(one))
    }
    expect(await one.read('id')).toBeDefined()
  })

  test('a session that was touched is saved with its new expiry', async () => {
    const { one, advance, clock } = setup()
    await one.create('id', { cookie: cookieOf(1_000, clock.now()) })
    for (let count = 0; count < 3; count++) {
      advance(900)
      const read = await readExisting(one)
      await one.touch('id', { ...read, cookie: cookieOf(1_000, clock.now()) })
    }
    // Saved by hand: its cookie is as it was read.
    const session = await readExisting(one)
    session.n = 1
    advance(500)
    expect(await one.update('id', session)).toBe('saved')
    const stored = (await readExisting(one)).cookie as { expires: string }
    expect(new Date(stored.expires).getTime()).toBe(clock.now() + 1_000)
    advance(999)
    expect(await one.read('id')).toBeDefined()
  })

  test('a shorter lifetime is stored at once', async () => {
    const { one, advance, clock } = setup()
    await one.create('id', { cookie: cookieOf(60 * minute, clock.now()) })
    const session = await readExisting(one)
    session.cookie = cookieOf(minute, clock.now())
    expect(await one.touch('id', session)).toBe('saved')
    advance(minute)
    expect(await one.read('id')).toBeUndefined()
  })

  test('a negative age ends the session', async () => {
    const { one } = setup()
    await one.create('id', {})
    const session = await readExisting(one)
    session.cookie = { originalMaxAge: -1, expires: null }
    await one.update('id', session)
    expect(await one.read('id')).toBeUndefined()
    session.n = 1
    expect(await one.update('id', session)).toBe('dropped')
  })
})

describe('the cookie', () => {
  test('changed attributes are a write, and survive a request that has not changed them', async () => {
    const { one, two, advance, clock } = setup()
    await one.create('id', { n: 0, cookie: cookieOf(minute, clock.now()) })
    const [a, b] = [await readExisting(one), await readExisting(two)]
    // "Remember me".
    a.cookie = cookieOf(60 * minute, clock.now())
    expect(await one.touch('id', a)).toBe('saved')
    b.n = 1
    expect(await two.update('id', b)).toBe('saved')
    expect(await one.read('id')).toMatchObject({ n: 1, cookie: { originalMaxAge: 60 * minute } })
    // A second request of the one that has merged does not take them back.
    advance(30 * minute)
    expect(await two.touch('id', b)).toBe('saved')
    expect(await one.read('id')).toMatchObject({ n: 1, cookie: { originalMaxAge: 60 * minute } })
    advance(59 * minute)
    expect(await one.read('id')).toBeDefined()
  })

  test('touch stores it without the data, which another request has changed, whatever concurrency is', async () => {
    for (const concurrency of ['merge', 'lastWrite'] as const) {
      const { one, two, clock } = setup({ concurrency })
      await one.create('id', { n: 0, cookie: cookieOf(minute, clock.now()) })
      const [a, b] = [await readExisting(one), await readExisting(two)]
      await two.update('id', Object.assign(b, { n: 1 }))
      a.cookie = cookieOf(60 * minute, clock.now())
      expect(await one.touch('id', a)).toBe('saved')
      expect(await two.read('id')).toMatchObject({ n: 1, cookie: { originalMaxAge: 60 * minute } })
    }
  })

  test('an expiry that does not slide is moved by the application only', async () => {
    const { one, two, advance, clock } = setup()
    const at = (ms: number) => ({ expires: new Date(clock.now() + ms).toISOString() })
    await one.create('id', { n: 0, cookie: at(minute) })
    const [a, b] = [await readExisting(one), await readExisting(two)]
    a.cookie = at(10 * minute)
    expect(await one.update('id', a)).toBe('saved')
    b.n = 1
    expect(await two.update('id', b)).toBe('saved')
    expect(await one.read('id')).toMatchObject({ n: 1, cookie: at(10 * minute) })
    advance(9 * minute)
    expect(await one.read('id')).toBeDefined()
    advance(minute)
    expect(await one.read('id')).toBeUndefined()
  })
})

describe('the absolute timeout', () => {
  test('ends a session that is used all the time', async () => {
    const { one, advance } = setup({ idleTimeout: '10m', absoluteTimeout: '1h' })
    await one.create('id', {})
    for (let request = 0; request < 11; request++) {
      advance(5 * minute)
      const session = await readExisting(one)
      session.n = request
      await one.update('id', session)
    }
    advance(5 * minute)
    expect(await one.read('id')).toBeUndefined()
  })

  test('applies to sessions that were stored without it', async () => {
    const { one, create, advance } = setup()
    await one.create('id', {})
    advance(61 * minute)
    expect(await one.read('id')).toBeDefined()
    expect(await create({ absoluteTimeout: '1h' }).read('id')).toBeUndefined()
  })

  test('of a session of another program begins with its first write', async () => {
    const { one, createCache, advance, create } = setup({ absoluteTimeout: '1h' })
    await one.create('id', {})
    const [key] = (await one.keys()) as [string]
    await createCache().set(key, { n: 1 }, { ttl: null })
    expect(await one.touch('id', await readExisting(one))).toBe('saved')
    advance(61 * minute)
    expect(await create().read('id')).toBeUndefined()
  })
})

describe('a backend that counts in seconds', () => {
  test('does not return a session for longer than its lifetime', async () => {
    const { one, advance, clock } = setup({}, { ttlStep: 1_000 })
    await one.create('id', { cookie: cookieOf(700, clock.now()) })
    advance(699)
    expect(await one.read('id')).toBeDefined()
    advance(1)
    expect(await one.read('id')).toBeUndefined()
  })

  test('is right if the clocks of two processes differ', async () => {
    const { one, create, createCache, clock } = setup({}, { ttlStep: 1_000 })
    const cache = createCache()
    Object.defineProperty(cache, 'clock', { value: { ...clock, now: () => clock.now() + 600_000 } })
    await one.create('id', { cookie: cookieOf(60_000, clock.now()) })
    expect(await create({ cache }).read('id')).toBeDefined()
  })
})
