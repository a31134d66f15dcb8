import { describe, expect, test } from 'vitest'
import { hasValidator, judge, type StoringRules } from '../../src/policy/storing.ts'

const now = Date.parse('2026-03-04T05:06:07Z')
const at = (seconds: number) => new Date(now + 1_000 * seconds).toUTCString()

type Mode = StoringRules['mode']
type Fields = Readonly<Record<string, string>>

interface Case {
  readonly mode: Mode
  readonly status?: number
  readonly hasAuthorization?: boolean
  readonly rules?: Partial<StoringRules>
}

/** The verdict on a response, where `cc` is its Cache-Control. */
function verdictOn(
  { cc, ...others }: Fields,
  { mode, status = 200, hasAuthorization = false, rules }: Case,
) {
  const defaults = { ttl: 60, staleWhileRevalidate: 3, staleIfError: 4, targeted: [] }
  const all = { mode, ...defaults, heuristic: false, ...rules }
  const headers = cc === undefined ? others : { ...others, 'cache-control': cc }
  return judge({ status, headers }, hasAuthorization, all, now)
}

const modes: readonly Mode[] = ['ttl', 'rfc9111']
const noWindows = { staleWhileRevalidate: 0, staleIfError: 0 }
/** Without windows, so that the lifetime alone decides. */
const exact: Case = { mode: 'rfc9111', rules: noWindows }

describe.each(modes)('in the mode %s', (mode) => {
  const fresh = { cc: 'max-age=9' }

  test.each([
    [{ ...fresh, 'set-cookie': 'a=b' }, 'set-cookie'],
    [{ cc: 'max-age=9, private' }, 'private'],
    [{ cc: 'max-age=9, no-store' }, 'no-store'],
    [{ ...fresh, vary: 'accept, *' }, 'vary-star'],
    [{ ...fresh, vary: 'accept, accept encoding' }, 'malformed'],
    [{ cc: 'max-age=9 public' }, 'malformed'],
    [{ ...fresh, 'content-type': 'text/event-stream' }, 'event-stream'],
    [{ ...fresh, vary: 'accept, accept-encoding', 'content-type': 'text/html' }, undefined],
  ])('%o is refused: %s', (headers, refusal) => {
    expect(verdictOn(headers, { mode }).refusal).toBe(refusal)
  })

  test.each([
    [199, 'status'],
    [200, undefined],
    [206, 'partial'],
    [304, 'status'],
    [404, undefined],
    [599, undefined],
    [600, 'status'],
  ])('the status %d with a lifetime is refused: %s', (status, refusal) => {
    expect(verdictOn(fresh, { mode, status }).refusal).toBe(refusal)
  })

  test('must-understand replaces no-store for a status that is known', () => {
    const cc = 'max-age=9, must-understand, no-store'
    expect(verdictOn({ cc }, { mode, status: 404 }).refusal).toBeUndefined()
    expect(verdictOn({ cc }, { mode, status: 299 }).refusal).toBe('no-store')
    expect(verdictOn({ cc: 'max-age=9, must-understand' }, { mode, status: 299 }).refusal).toBe(
      'no-store',
    )
  })

  test('headers that no-cache names are omitted', () => {
    const { freshness } = verdictOn({ cc: 'max-age=9, no-cache="X-A, x-b"' }, { mode })
    expect(freshness).toMatchObject({ lifetime: 9, mayBeStale: true, omitted: ['x-a', 'x-b'] })
  })

  test('must-revalidate closes the stale windows', () => {
    const { freshness } = verdictOn({ cc: 'max-age=9, must-revalidate' }, { mode })
    expect(freshness).toMatchObject({ ...noWindows, mayBeStale: false })
  })

  test('the stale windows are those of the rules', () => {
    const expected = { staleWhileRevalidate: 3, staleIfError: 4, mayBeStale: true }
    expect(verdictOn(fresh, { mode }).freshness).toMatchObject(expected)
  })
})

describe('a response to a request with Authorization', () => {
  test.each([
    ['max-age=9', 'authorization'],
    ['max-age=9, public', undefined],
    ['s-maxage=9', undefined],
    ['max-age=9, must-revalidate', undefined],
  ])('that states %s is refused by RFC 9111: %s', (cc, refusal) => {
    const verdict = verdictOn({ cc }, { mode: 'rfc9111', hasAuthorization: true })
    expect(verdict.refusal).toBe(refusal)
    const without = verdictOn({ cc }, { mode: 'rfc9111' })
    expect(without.freshness?.isShared).toBe(refusal === undefined)
  })

  test('is stored by a ttl, because the route says so', () => {
    const verdict = verdictOn({}, { mode: 'ttl', hasAuthorization: true })
    expect(verdict.freshness).toMatchObject({ lifetime: 60, isShared: true })
  })
})

describe('with a ttl of 60 seconds', () => {
  const ttlOf = (headers: Fields, changes: Partial<Case> = {}) => {
    const { refusal, freshness } = verdictOn(headers, { mode: 'ttl', ...changes })
    return refusal ?? freshness.lifetime - freshness.initialAge
  }

  test.each([
    [{}, 60],
    [{ cc: 'max-age=100' }, 60],
    [{ cc: 'max-age=9' }, 9],
    [{ cc: 'max-age=9', age: '5' }, 4],
    [{ cc: 'max-age=9', age: '9' }, 'not-fresh'],
    [{ age: '1000' }, 60],
    [{ cc: 'max-age=0' }, 'not-fresh'],
    [{ cc: 'no-cache' }, 'no-cache'],
    [{ cc: 'max-age=9, must-revalidate' }, 9],
  ])('%o has the lifetime %s, counted from its receipt', (headers, lifetime) => {
    expect(ttlOf(headers)).toBe(lifetime)
  })

  test('the age at its receipt is part of the age that is sent', () => {
    const { freshness } = verdictOn({ cc: 'max-age=90', age: '50' }, { mode: 'ttl' })
    expect(freshness).toMatchObject({ lifetime: 90, initialAge: 50 })
  })

  test('errors need a lifetime of their own', () => {
    expect([ttlOf({}, { status: 404 }), ttlOf({ cc: 'max-age=9' }, { status: 404 })]).toEqual([
      'status',
      9,
    ])
    expect(ttlOf({}, { status: 301 })).toBe(60)
  })

  test('no ttl is none', () => {
    expect(ttlOf({ cc: 'max-age=9' }, { rules: { ttl: undefined } })).toBe('not-fresh')
  })
})

describe('by RFC 9111', () => {
  test.each([
    [{ cc: 'max-age=9' }, 302, undefined],
    [{ cc: 'public' }, 302, 'not-fresh'],
    [{ cc: 'public', etag: '"1"' }, 302, undefined],
    [{ etag: '"1"' }, 302, 'status'],
    [{ etag: '"1"' }, 404, undefined],
    [{ 'last-modified': at(-5) }, 200, undefined],
    [{}, 200, 'not-fresh'],
    [{ cc: 'max-age=0' }, 200, 'not-fresh'],
    [{ cc: 'max-age=9, no-cache' }, 200, 'not-fresh'],
    [{ cc: 'max-age=9, no-cache', etag: '"1"' }, 200, undefined],
    [{ cc: 'stale-while-revalidate=1' }, 200, undefined],
    [{ cc: 'stale-if-error=1' }, 200, undefined],
  ])('%o with the status %d is refused: %s', (headers, status, refusal) => {
    expect(verdictOn(headers, { ...exact, status }).refusal).toBe(refusal)
  })

  test('a response has the age and the lifetime that it states', () => {
    const { freshness } = verdictOn({ cc: 'max-age=9', age: '5' }, exact)
    expect(freshness).toEqual({
      lifetime: 9,
      initialAge: 5,
      ...noWindows,
      mayBeStale: true,
      isShared: false,
      omitted: [],
    })
  })

  test('its windows replace those of the rules', () => {
    const cc = 'max-age=9, stale-while-revalidate=1, stale-if-error=2'
    const { freshness } = verdictOn({ cc }, { mode: 'rfc9111' })
    expect(freshness).toMatchObject({ staleWhileRevalidate: 1, staleIfError: 2 })
  })

  test('no-cache leaves no lifetime', () => {
    const { freshness } = verdictOn({ cc: 'max-age=9, no-cache', etag: '"1"' }, exact)
    expect(freshness).toMatchObject({ lifetime: 0, mayBeStale: false, omitted: [] })
  })

  test.each([
    [true, 10],
    [false, 0],
  ])('heuristic: %s gives a response that states none the lifetime %d', (heuristic, lifetime) => {
    const rules = { ...noWindows, heuristic }
    const { freshness } = verdictOn({ 'last-modified': at(-100) }, { mode: 'rfc9111', rules })
    expect(freshness?.lifetime).toBeCloseTo(lifetime)
  })
})

test.each([
  [{ etag: '"1"' }, true],
  [{ 'last-modified': at(0) }, true],
  [{ date: at(0) }, false],
])('%o can be validated: %s', (headers, isValid) => {
  expect(hasValidator(headers)).toBe(isValid)
})
