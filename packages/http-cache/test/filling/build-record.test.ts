import { describe, expect, test } from 'vitest'
import type { RenderFacts } from '../../src/exchange/renderer.ts'
import {
  buildRecord,
  groupTags,
  hasValidators,
  isEncodableBody,
  judgeRendered,
  keptMs,
  mergeNotModified,
  validatorsOf,
  variesBy,
  withVary,
} from '../../src/filling/build-record.ts'
import type { Headers } from '../../src/headers/header-list.ts'
import type { ResolvedOptions } from '../../src/options.ts'
import type { Freshness } from '../../src/policy/freshness.ts'

const now = Date.parse('2026-03-04T05:06:07Z')
const freshness: Freshness = {
  lifetime: 60,
  initialAge: 5,
  staleWhileRevalidate: 10,
  staleIfError: 20,
  mayBeStale: true,
  isShared: true,
  omitted: [],
}
const text = { 'content-type': 'text/plain' }

/** The options that a record depends on. */
function optionsWith(headers: string[] = [], encodings = ['gzip'], encodeFrom = 10) {
  return { variation: { headers }, encodings, encodeFrom } as unknown as ResolvedOptions
}

function headOf(own: Headers, status = 200, removed: string[] = []) {
  return { status, message: 'Fine', headers: own, own, removed }
}

function recordOf(own: Headers, status = 200, removed: string[] = []) {
  const context = { options: optionsWith(), freshness, now }
  return buildRecord(headOf(own, status, removed), Buffer.from('0123456789'), context)
}

describe('a response is kept', () => {
  const noWindows = { ...freshness, staleWhileRevalidate: 0, staleIfError: 0 }

  test('as long as it is fresh, and for the longer one of its stale windows', () => {
    expect(keptMs(noWindows, {})).toBe(55_000)
    expect(keptMs(freshness, {})).toBe(75_000)
    expect(keptMs({ ...freshness, staleWhileRevalidate: 30 }, {})).toBe(85_000)
    expect(keptMs({ ...noWindows, lifetime: 5.0001 }, {})).toBe(1)
  })

  test('for its windows only if it is stale already', () => {
    expect(keptMs({ ...freshness, initialAge: 100 }, {})).toBe(20_000)
  })

  test('a minute longer if it has a validator', () => {
    expect(keptMs(noWindows, { etag: '"a"' })).toBe(115_000)
  })
})

describe('the record of a response', () => {
  test('contains what later clients receive', () => {
    expect(recordOf({ ...text, age: '3', connection: 'close' })).toEqual({
      kind: 'response',
      fill: expect.stringMatching(/^[\w-]{16}$/),
      status: 200,
      message: 'Fine',
      headers: { ...text, date: 'Wed, 04 Mar 2026 05:06:07 GMT', vary: 'Accept-Encoding' },
      // The first characters of the SHA-256 digest of the body.
      etag: '"hNiYd_DUBB77a_kaFvAkjy_Vc-a"',
      hasOwnEtag: false,
      storedAt: now,
      freshness,
      bodyBytes: 10,
      bodyKey: undefined,
      isEncodable: true,
      keepUntil: now + 75_000,
    })
  })

  test('has the validator and the date of its handler', () => {
    const date = 'Mon, 02 Mar 2026 00:00:00 GMT'
    const record = recordOf({ etag: '"own"', date })
    expect(record).toMatchObject({ etag: '"own"', hasOwnEtag: true, headers: { date } })
    expect(record.keepUntil).toBe(now + 135_000)
  })

  test('has no validator of the cache if its status is not 200', () => {
    expect(recordOf(text, 404)).toMatchObject({ etag: undefined, hasOwnEtag: false })
  })

  test('names the headers that its handler has removed, if there are any', () => {
    expect(recordOf(text, 200, ['x-powered-by']).removed).toEqual(['x-powered-by'])
    expect(recordOf(text)).not.toHaveProperty('removed')
  })
})

test('a response depends on its own Vary, on varyBy, and on Accept-Encoding if it is encoded', () => {
  const options = optionsWith(['accept-language'])
  expect(withVary({ a: 'b' }, {}, false, optionsWith())).toStrictEqual({ a: 'b' })
  expect(withVary({ a: 'b' }, {}, true, options)).toEqual({
    a: 'b',
    vary: 'Accept-Language, Accept-Encoding',
  })
  expect(withVary({}, { vary: 'Origin' }, false, options)).toEqual({
    vary: 'Origin, Accept-Language',
  })
})

test('variants differ in the headers of Vary that are not part of the key', () => {
  const options = optionsWith(['accept-language'])
  const vary = 'Origin, Accept-Language, Accept, Accept-Encoding, origin'
  expect(variesBy(headOf({ vary }), options)).toEqual(['accept', 'origin'])
  expect(variesBy(headOf({}), options)).toEqual([])
})

test('Cache-Groups become tags of their origin', () => {
  expect(groupTags({ 'cache-groups': '"a", "b"' }, 'http://x')).toEqual([
    'group http://x a',
    'group http://x b',
  ])
  expect(groupTags({ 'cache-group-invalidation': '"a"' }, 'o', 'cache-group-invalidation')).toEqual(
    ['group o a'],
  )
  expect(groupTags({}, 'http://x')).toEqual([])
  // Parameters are ignored, with a comma in a text as well.
  expect(groupTags({ 'cache-groups': '"a";b="c, d", "e"' }, 'o')).toEqual([
    'group o a',
    'group o e',
  ])
})

describe('encoded variants', () => {
  const isEncodable = (headers: Headers, status = 200, length = 10, options = optionsWith()) =>
    isEncodableBody(headers, status, length, options)

  test('are sent of a text that is large enough', () => {
    expect(isEncodable(text)).toBe(true)
    expect(isEncodable(text, 200, 9)).toBe(false)
  })

  test('are not sent if the route has no encodings, or of another status', () => {
    expect(isEncodable(text, 200, 10, optionsWith([], []))).toBe(false)
    expect(isEncodable(text, 404)).toBe(false)
  })

  test.each([
    { 'content-type': 'image/png' },
    { ...text, 'content-encoding': 'gzip' },
    { ...text, 'content-digest': 'sha-256=:a:' },
    { ...text, 'repr-digest': 'sha-256=:a:' },
    { ...text, digest: 'sha-256=a' },
    { ...text, 'content-md5': 'a' },
    { ...text, 'cache-control': 'max-age=9, no-transform' },
  ])('are not sent of a response with %o', (headers) => {
    expect(isEncodable(headers)).toBe(false)
  })
})

test('a handler is asked with its own validators, and not with those of the cache', () => {
  const modified = 'Mon, 02 Mar 2026 00:00:00 GMT'
  const own = recordOf({ etag: '"own"' })
  const dated = recordOf({ 'last-modified': modified })
  expect(validatorsOf(own)).toEqual({ etag: '"own"', lastModified: undefined })
  expect(validatorsOf(dated)).toEqual({ etag: undefined, lastModified: modified })
  expect([own, dated, recordOf({})].map(hasValidators)).toEqual([true, true, false])
})

describe('a response that a 304 confirms', () => {
  const notModified = (own: Headers, headers = own, removed: string[] = []) => ({
    ...headOf(own, 304, removed),
    headers,
    body: undefined,
    isComplete: true,
  })

  test('has the headers of the 304, except for those that describe the body', () => {
    const stored = recordOf({ etag: '"own"', 'content-length': '10', x: '1', y: '1' })
    const own = { 'content-length': '0', 'content-encoding': 'br', etag: '"new"', x: '2' }
    const merged = mergeNotModified(notModified(own, { ...own, front: '3' }), stored)
    expect(merged).toMatchObject({ status: 200, message: 'Fine', removed: [] })
    expect(merged.own).toEqual({ etag: '"own"', 'content-length': '10', x: '2', y: '1' })
    expect(merged.headers).toEqual({ ...merged.own, front: '3' })
  })

  test('has the date of the 304, or none', () => {
    const date = 'Thu, 05 Mar 2026 00:00:00 GMT'
    expect(mergeNotModified(notModified({}), recordOf({})).own).toEqual({})
    expect(mergeNotModified(notModified({ date }), recordOf({})).own).toEqual({ date })
  })

  test('does not have the validator of the cache among its headers', () => {
    expect(mergeNotModified(notModified({}), recordOf(text)).own.etag).toBeUndefined()
  })

  test('is sent without the headers that either handler has removed', () => {
    const stored = recordOf({}, 200, ['a', 'b'])
    expect(mergeNotModified(notModified({}, {}, ['b', 'c']), stored).removed).toEqual([
      'a',
      'b',
      'c',
    ])
  })
})

describe('a response that was rendered', () => {
  const rules = {
    ...{ mode: 'ttl', ttl: 60, staleWhileRevalidate: 0, staleIfError: 0 },
    ...{ targeted: [], heuristic: false },
  }
  const options = { ...optionsWith(['x-varied']), rules, maxBodyBytes: 4 } as ResolvedOptions
  const noFacts: RenderFacts = {
    ...{ ttl: undefined, tags: [], isExcluded: false, privateRead: undefined },
    ...{ headersRead: [], isOfRequest: false },
  }
  const verdictOn = (
    facts: Partial<RenderFacts>,
    changes: { own?: Headers; body?: Buffer | undefined; isComplete?: boolean } = {},
  ) => {
    const { own = text, ...others } = changes
    const captured = { ...headOf(own), body: Buffer.from('body'), isComplete: true, ...others }
    return judgeRendered(captured, { ...noFacts, ...facts }, false, options, now)
  }

  test('is stored for the ttl of its handler, or of its route', () => {
    expect(verdictOn({}).freshness).toMatchObject({ lifetime: 60 })
    expect(verdictOn({ ttl: 5_000 }).freshness).toMatchObject({ lifetime: 5 })
  })

  test('is not stored if its handler has excluded it, or has not completed it', () => {
    expect(verdictOn({ isExcluded: true }).refusal).toBe('excluded')
    expect(verdictOn({}, { isComplete: false }).refusal).toBe('incomplete')
  })

  test('is not stored if it is too large', () => {
    expect(verdictOn({}, { body: Buffer.from('bodyx') }).refusal).toBe('too-large')
    expect(verdictOn({}, { body: undefined }).refusal).toBe('too-large')
  })

  test('is not stored if a rule forbids that, whatever its size', () => {
    const own = { 'cache-control': 'no-store' }
    expect(verdictOn({}, { own, body: undefined }).refusal).toBe('no-store')
  })

  test('is not stored if its handler has read a header that it does not vary by', () => {
    expect(verdictOn({ privateRead: 'cookie', headersRead: ['x'] }).refusal).toBe('read-cookie')
    const vary = { vary: 'X-A' }
    expect(verdictOn({ headersRead: ['x-a', 'x-b'] }, { own: vary }).refusal).toBe('read-x-b')
    expect(verdictOn({ headersRead: ['x-a'] }, { own: vary }).refusal).toBeUndefined()
  })
})
