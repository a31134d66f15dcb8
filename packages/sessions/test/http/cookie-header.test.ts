import { describe, expect, test } from 'vitest'
import {
  Cookie,
  type CookieOptions,
  createIdReader,
  createSigner,
  setCookie,
  withMemory,
} from '../../src/http/cookie.ts'

describe('the id in a cookie', () => {
  const [sign, before, foreign] = ['new', 'old', 'foreign'].map(createSigner) as [
    (id: string) => string,
    (id: string) => string,
    (id: string) => string,
  ]
  const cookie = (signed: string) => `other=1; sid=${encodeURIComponent(`s:${signed}`)}; last=2`

  test('is returned each time if it was signed with one of the secrets, and else never', () => {
    const readId = createIdReader('sid', [sign, before])
    for (const _ of [1, 2]) {
      expect(readId(cookie(sign('id')))).toBe('id')
      expect(readId(cookie(before('id')))).toBe('id')
      expect(readId(cookie(foreign('id')))).toBeUndefined()
      expect(readId(cookie(`other.${sign('id').slice(3)}`))).toBeUndefined()
      expect(readId(undefined)).toBeUndefined()
    }
  })

  test('that one reader knows is not accepted by one with other secrets', () => {
    const signed = cookie(sign('id'))
    expect(createIdReader('sid', [sign])(signed)).toBe('id')
    expect(createIdReader('sid', [foreign])(signed)).toBeUndefined()
  })
})

describe('of several cookies that may have the name of the session', () => {
  const sign = createSigner('secret')
  const planted = encodeURIComponent(`s:${sign('planted')}`)
  const own = encodeURIComponent(`s:${sign('own')}`)

  // String.prototype.trim removes these, but browsers do not: they accept such a cookie from a neighbouring host.
  const removed = ['\xa0', '\xc2\xa0', '\xef\xbb\xbf', '\x85', '\x0b', '\x0c', '"', ',']

  test.each(['__Host-sid', '__Secure-sid', '__host-sid'])('none of %s is accepted', (name) => {
    const readId = createIdReader(name, [sign])
    expect(readId(`a=1; ${name}=${own}; b=2`)).toBe('own')
    const similar = removed.flatMap((text) => [`${text}${name}`, `${name}${text}`])
    for (const other of [...similar, name, `${name} `, ` ${name}`]) {
      expect(readId(`${other}=${planted}; ${name}=${own}`)).toBeUndefined()
      expect(readId(`${name}=${own}; ${other}=${planted}`)).toBeUndefined()
    }
    for (const other of similar) expect(readId(`${other}=${planted}`)).toBeUndefined()
    expect(readId(`${name}; ${name}=${own}`)).toBeUndefined()
    expect(readId(`a="1; ${name}=${planted}; b=2"; ${name}=${own}`)).toBeUndefined()
  })

  test('the first one counts if browsers do not protect the name', () => {
    const readId = createIdReader('sid', [sign])
    expect(readId(`sid=${planted}; sid=${own}`)).toBe('planted')
    for (const text of removed) expect(readId(`${text}sid=${planted}; sid=${own}`)).toBe('own')
    expect(readId(`\tsid=${own} `)).toBe('own')
  })

  test('finds the cookie beside other names and values', () => {
    const readId = createIdReader('__Host-sid', [sign])
    const others = [`x__Host-sid=${planted}`, `__Host-sid-2=${planted}`, `x=__Host-sid=${planted}`]
    for (const other of [...others, `x=1, __Host-sid=${planted}`]) {
      expect(readId(`${other}; __Host-sid=${own}`)).toBe('own')
    }
  })
})

test('a signer with memory signs as the one without', () => {
  const sign = createSigner('secret')
  const remembering = withMemory(sign)
  for (const id of ['a', 'b', 'a']) expect(remembering(id)).toBe(sign(id))
})

test('a cookie expires at its own date, whatever the cookie before it had', () => {
  const start = Date.parse('2026-01-01T00:00:00Z')
  for (const ms of [0, 999, 1_000, 500, 86_400_000]) {
    const expires = new Date(start + ms)
    const header = setCookie('sid', 'id', new Cookie({ expires }))
    expect(header).toContain(`Expires=${expires.toUTCString()};`)
  }
})

test('attributes without a value are left out', () => {
  const options = { domain: null, path: null, priority: null, sameSite: null } as unknown
  expect(setCookie('sid', 'id', new Cookie(options as CookieOptions))).toBe('sid=s%3Aid; HttpOnly')
})

test('a cookie that was stored with false in place of its lifetime has none after a touch', () => {
  const cookie = Cookie.restore({ originalMaxAge: false, expires: false, path: '/' })
  cookie.touch()
  expect(cookie).toMatchObject({ originalMaxAge: null, expires: null })
})
