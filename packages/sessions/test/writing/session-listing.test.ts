import { describe, expect, test } from 'vitest'
import type { SessionText, StoredSession } from '../../src/data/session-item.ts'
import type { SeenSession } from '../../src/users/session-users.ts'
import type { DraftSession } from '../../src/writing/session-drafts.ts'
import { SessionListing } from '../../src/writing/session-listing.ts'

/** A session with a user, or without one. */
const stored = (user?: string, isListed = user !== undefined) =>
  ({
    text: { body: JSON.stringify({ user }), cookie: undefined },
    ...{ created: 5, isListed, lifetimeMs: 60 },
  }) as unknown as DraftSession
const seen = (session: StoredSession, hasIndex = true): SeenSession => ({
  ...{ key: 'k', stored: session, snapshot: {} as never, isOld: false },
  index: hasIndex ? ({ entries: 'those that were read' } as never) : undefined,
})

type Call = readonly unknown[]

/** The list of users, of which a test sees the calls, when they begin and when they end. */
function setUp({ isDue = true, hasEnded = false, hasUsers = true, isListed = true } = {}) {
  const calls: Call[] = []
  const ended: unknown[] = []
  let removed: string[] | undefined = []
  const slow = async <T>(result: T, call: Call): Promise<T> => {
    calls.push(call)
    await new Promise((resolve) => setImmediate(resolve))
    ended.push(call[0])
    return result
  }
  const keysKept = (isKept: (key: string) => boolean) => ['k', 'other'].filter(isKept)
  const index = {
    isDue: (...args: unknown[]) => calls.push(['isDue', ...args]) > 0 && isDue,
    add: (...args: unknown[]) => slow(removed, ['add', ...args]),
    extend: (...args: unknown[]) => slow(undefined, ['extend', ...args]),
    addCopy: (...args: unknown[]) => slow(false, ['addCopy', ...args]),
    hasEnded: (...args: unknown[]) => slow(hasEnded, ['hasEnded', ...args]),
    hasLost: (...args: unknown[]) => slow(hasEnded, ['hasLost', ...args]),
    remove: (user: unknown, isKept: (key: string) => boolean) =>
      slow(isListed ? ['k'] : [], ['remove', user, keysKept(isKept)]),
  }
  let parsed = 0
  const userOfText = ({ body }: SessionText) => {
    parsed++
    return JSON.parse(body).user
  }
  const cache = { deleteMany: (keys: unknown) => slow(keys, ['deleteMany', keys]) }
  const users = hasUsers ? { index, userOfText } : undefined
  const listing = new SessionListing({ users, cache } as never)
  const replace = (keys: string[] | undefined) => {
    removed = keys
  }
  return { listing, calls, ended, replace, parsed: () => parsed }
}

describe('a session that is about to be stored', () => {
  const entry = { key: 'k', created: 5, lifetimeMs: 60 }
  const before = { key: 'k', created: 5 }

  test.each<[string, DraftSession, SeenSession | undefined, Call[]]>([
    ['without a user', stored(), undefined, []],
    ['still without a user', stored(), seen(stored()), []],
    ['of a new user', stored('ada'), undefined, [['add', 'ada', entry, undefined]]],
    ['with its first user', stored('ada'), seen(stored()), [['add', 'ada', entry, undefined]]],
    [
      'with another user',
      stored('bob'),
      seen(stored('ada')),
      [
        ['hasLost', 'ada', before],
        ['add', 'bob', entry, undefined],
      ],
    ],
    ['that loses its user', stored(), seen(stored('ada')), [['hasLost', 'ada', before]]],
    ['not listed yet', stored('ada'), seen(stored('ada', false)), [['add', 'ada', entry, before]]],
    [
      'not listed, with another user',
      stored('bob'),
      seen(stored('ada', false)),
      [
        ['hasEnded', 'ada', before],
        ['add', 'bob', entry, undefined],
      ],
    ],
    [
      'not listed, that loses its user',
      stored(),
      seen(stored('ada', false)),
      [['hasEnded', 'ada', before]],
    ],
    ['listed without a user', stored(), seen(stored(undefined, true)), []],
  ])('%s', async (_, draft, found, expected) => {
    const { listing, calls, ended } = setUp()
    expect(await listing.add('k', draft, found)).toBe(true)
    expect(calls).toEqual(expected)
    expect(ended).toHaveLength(expected.length)
  })

  test('is not listed without users', async () => {
    const { listing, calls } = setUp({ hasUsers: false })
    expect(await listing.add('k', stored('ada'), undefined)).toBe(true)
    expect(await listing.addRotated('k', 'new', stored('ada'))).toBe(true)
    await listing.removeRotated('k', stored('ada'))
    expect(calls).toEqual([])
  })

  test('is not parsed if it has no user', async () => {
    const { listing, parsed } = setUp()
    await listing.add('k', stored(), seen(stored('ada')))
    expect(parsed()).toBe(1)
  })

  test('is rejected if it was ended with all of its user, before or with the change', async () => {
    for (const isListed of [false, true]) {
      const over = setUp({ hasEnded: true })
      expect(await over.listing.add('k', stored('bob'), seen(stored('ada', isListed)))).toBe(false)
      expect(over.calls).toHaveLength(1)
    }
    const { listing, replace } = setUp()
    replace(undefined)
    expect(await listing.add('k', stored('ada'), seen(stored('ada', false)))).toBe(false)
  })

  test('replaces the oldest ones of its user, which are deleted', async () => {
    const { listing, replace, calls, ended } = setUp()
    replace(['oldest'])
    expect(await listing.add('k', stored('ada'), undefined)).toBe(true)
    expect(calls.slice(1)).toEqual([['deleteMany', ['oldest']]])
    expect(ended).toEqual(['add', 'deleteMany'])
  })

  test.each([
    [true, true, ['isDue', 'extend']],
    [false, true, ['isDue']],
    [true, false, []],
  ])('keeps the list alive: due %s, read %s', async (isDue, hasIndex, expected) => {
    const { listing, calls, ended } = setUp({ isDue })
    expect(await listing.add('k', stored('ada'), seen(stored('ada'), hasIndex))).toBe(true)
    expect(calls.map(([name]) => name)).toEqual(expected)
    if (hasIndex) expect(calls[0]).toEqual(['isDue', { entries: 'those that were read' }, 'k', 60])
    if (expected.length === 2) expect(calls[1]).toEqual(['extend', 'ada', 'k', 60])
    expect(ended).toEqual(expected.slice(1))
  })
})

test.each<[string, StoredSession, StoredSession, Call[]]>([
  ['another user', stored('bob'), stored('ada'), [['remove', 'ada', ['other']]]],
  ['no user', stored(), stored('ada'), [['remove', 'ada', ['other']]]],
  ['the same user', stored('ada'), stored('ada'), []],
  ['its first user', stored('ada'), stored(), []],
])('a session leaves the list of the user before, with %s', async (_, now, before, expected) => {
  const { listing, calls, ended } = setUp()
  expect(await listing.removeBefore('k', now, seen(before))).toBe(true)
  expect(calls).toEqual(expected)
  expect(ended).toHaveLength(expected.length)
})

test('a session has ended that the list of the user before did not contain any more', async () => {
  const [bob, ada] = [stored('bob'), seen(stored('ada'))]
  expect(await setUp({ isListed: false }).listing.removeBefore('k', bob, ada)).toBe(false)
  expect(await setUp({ hasUsers: false }).listing.removeBefore('k', bob, ada)).toBe(true)
})

test('a session that moves is listed twice, and then once', async () => {
  const { listing, calls, ended } = setUp()
  expect(await listing.addRotated('k', 'new', stored('ada'))).toBe(false)
  await listing.removeRotated('k', stored('ada'))
  const expected = [
    ['addCopy', 'ada', 'k', 'new'],
    ['remove', 'ada', ['other']],
  ]
  expect(calls).toEqual(expected)
  expect(ended).toEqual(['addCopy', 'remove'])
  for (const unlisted of [stored('ada', false), stored(undefined, true)]) {
    expect(await listing.addRotated('k', 'new', unlisted)).toBe(true)
    await listing.removeRotated('k', unlisted)
  }
  expect(calls).toEqual(expected)
})

test('two texts have the same user, which is not determined if they are equal', () => {
  const { listing, parsed } = setUp()
  const [ada, other, bob] = [
    stored('ada').text,
    { ...stored('ada').text, body: '{"user":"ada","n":1}' },
    stored('bob').text,
  ]
  expect(listing.isOfUser(ada, bob, { ...ada })).toBe(true)
  expect(parsed()).toBe(0)
  expect(listing.isOfUser(ada, bob, other)).toBe(true)
  expect(listing.isOfUser(ada, other, bob)).toBe(false)
})

test('a session has the user whom a request gives it, if another request has done that', () => {
  const { listing } = setUp()
  const [none, ada, bob] = [stored().text, stored('ada').text, stored('bob').text]
  expect(listing.isOfUser(none, ada, { ...ada, body: '{"user":"ada","n":1}' })).toBe(true)
  expect(listing.isOfUser(none, ada, bob)).toBe(false)
  expect(listing.isOfUser(ada, none, none)).toBe(false)
})
