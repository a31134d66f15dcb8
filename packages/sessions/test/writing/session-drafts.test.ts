import { CacheError, type Snapshot } from '@stowage/core'
import { describe, expect, test } from 'vitest'
import type { SessionText } from '../../src/data/session-item.ts'
import { resolveOptions } from '../../src/session-context.ts'
import { isOver, SessionDrafts } from '../../src/writing/session-drafts.ts'
import { cookieOf, setup, type TestSession } from '../fixture.ts'

const index = {
  index: ({ user }: TestSession) => user as string | undefined,
  indexSecret: 'a secret of the test',
}
const text = (body: string, more: Partial<SessionText> = {}): SessionText => ({
  ...{ body, cookie: undefined },
  ...more,
})
const minute = 60_000

function create(options: object = {}) {
  const { createCache, clock } = setup()
  const cache = createCache()
  const drafts = new SessionDrafts(resolveOptions({ cache, idleTimeout: minute, ...options }))
  /** Stores a draft, and returns its JSON and its ttl. */
  const store = async (drafted: SessionText) => {
    const swaps: [string, unknown][] = []
    const swap = async ({ text: json }: { readonly text: string }, { ttl }: { ttl: unknown }) => {
      swaps.push([json, ttl])
      return 'the next snapshot'
    }
    const next = await drafts.store({ swap } as never, drafts.draft(drafted, clock.now()))
    return { next, swaps }
  }
  return { drafts, store, now: clock.now(), cache }
}

describe('a draft', () => {
  test('begins now, and has its id since then, if nothing else is known', () => {
    const { drafts, now } = create()
    const begun = { created: now, rotated: now, expires: now + minute, lifetimeMs: minute }
    const expected = { text: text('{}'), isListed: false, firstKey: undefined, ...begun }
    expect(drafts.draft(text('{}'), Number.NaN)).toEqual(expected)
    const created = now - 5
    const before = { ...expected, created, rotated: created }
    expect(drafts.draft(text('{}'), created)).toEqual(before)
    const rotation = { rotated: now - 2, firstKey: 'first' }
    expect(drafts.draft(text('{}'), created, rotation)).toEqual({ ...before, ...rotation })
  })

  test('has the lifetime of its cookie, whose expiry it moves', () => {
    const { drafts, now } = create()
    const cookie = cookieOf(1_000, now - 500)
    const drafted = drafts.draft(text('{}', { cookie }), now)
    const { lifetimeMs, expires } = drafted
    expect([lifetimeMs, expires]).toEqual([1_000, now + 1_000])
    expect(drafted.text.cookie).toEqual(cookieOf(1_000, now))
    const invalid = text('{}', { cookie: { maxAge: 5 } as never })
    expect(() => drafts.draft(invalid, now)).toThrow('must be a cookie')
  })

  test('is over when nothing of its lifetime is left', () => {
    const { drafts, now } = create({ absoluteTimeout: '1h' })
    const hour = 60 * minute
    const over = [hour - 1, hour, hour + 1].map((age) =>
      isOver(drafts.draft(text('{}'), now - age)),
    )
    expect(over).toEqual([false, true, true])
  })

  test('is listed if its session has a user, and if users are listed', () => {
    const [listing, other] = [create(index), create()]
    const [ofAda, anonymous] = [text('{"user":"ada"}'), text('{"n":1}')]
    expect(listing.drafts.draft(ofAda, 1).isListed).toBe(true)
    expect(listing.drafts.draft(anonymous, 1).isListed).toBe(false)
    expect(other.drafts.draft(ofAda, 1).isListed).toBe(false)
  })
})

describe('a draft is stored', () => {
  test('for its lifetime, or for ever', async () => {
    const { store, now } = create()
    const { next, swaps } = await store(text('{"n":1}'))
    expect(next).toBe('the next snapshot')
    expect(swaps).toEqual([[`{"~":[1,${now + minute},${now}],"n":1}`, minute]])
    const [[, ttl] = []] = (await create({ idleTimeout: Infinity }).store(text('{}'))).swaps
    expect(ttl).toBeNull()
  })

  test('up to exactly the limit of its bytes', async () => {
    const limited = create({ maxBytes: 20 })
    const body = `{"a":"${'x'.repeat(12)}"}`
    expect(body).toHaveLength(20)
    expect((await limited.store(text(body))).swaps).toHaveLength(1)
    await expect(limited.store(text(body.replace('x', 'é')))).rejects.toThrow(
      '21 bytes, more than the 20 that are allowed',
    )
  })

  test.each([
    ['a cookie', 1_000, text('{}', { cookie: { path: `/${'x'.repeat(1_500)}` } })],
    ['many characters', 5_000, text(`{"a":"${'x'.repeat(6_000)}"}`)],
    ['characters of three bytes', 5_000, text(`{"a":"${'€'.repeat(2_000)}"}`)],
  ])('unless it is too large, because of %s', async (_, maxBytes, drafted) => {
    const { store } = create({ maxBytes })
    await expect(store(drafted)).rejects.toMatchObject({ code: 'ERR_CACHE_LIMIT' })
  })

  test('or the error names the largest keys first', async () => {
    const { store } = create({ maxBytes: 20 })
    const body = JSON.stringify({ a: 'a', b: 'b'.repeat(30), c: 'c'.repeat(10), d: 'd'.repeat(20) })
    await expect(store(text(body))).rejects.toThrow(
      'largest keys: b (32 bytes), d (22 bytes), c (12 bytes). Keep',
    )
  })
})

describe('an error of the cache', () => {
  const failing = (error: unknown) => {
    const { drafts, now } = create()
    const swap = async () => {
      throw error
    }
    return drafts.store({ swap } as unknown as Snapshot<unknown>, drafts.draft(text('{}'), now))
  }

  test('that is a limit of the backend names the keys as well', async () => {
    const cause = new CacheError('ERR_CACHE_LIMIT', 'too large')
    const error = await failing(cause).catch((reason) => reason)
    expect(error).not.toBe(cause)
    expect(error).toMatchObject({ code: 'ERR_CACHE_LIMIT', operation: 'save', cause })
    expect(error.message).toContain('more bytes than the backend or a limit of the cache')
  })

  test.each([
    new CacheError('ERR_CACHE_TIMEOUT', 'no reply'),
    new TypeError('a mistake'),
    Object.assign(new Error('of another library'), { code: 'ERR_CACHE_LIMIT' }),
  ])('that is another one is not changed: %s', async (error) => {
    await expect(failing(error)).rejects.toBe(error)
  })
})
