import { expect, test } from 'vitest'
import type { Exchange } from '../../src/exchange/exchange.ts'
import { isSelfRedirect } from '../../src/filling/self-redirect.ts'
import type { ResolvedOptions } from '../../src/options.ts'
import type { QueryOptions } from '../../src/request/query.ts'

interface Redirect {
  readonly location?: string
  readonly status?: number
  readonly url?: string
  readonly query?: QueryOptions
  readonly rule?: QueryOptions
  readonly key?: () => string
  readonly protocol?: string
}

function leadsToItself({ location, status = 301, url = '/p?a=1&b=2', ...others }: Redirect) {
  const { query, rule, key, protocol = 'http' } = others
  const headers = location === undefined ? {} : { location }
  const request = { url, protocol, headers: { host: 'shop' } }
  const exchange = { request, keys: { rule } } as unknown as Exchange
  const options = { key, keys: { query } } as unknown as ResolvedOptions
  return isSelfRedirect({ status, headers }, exchange, options)
}

const ownKey = () => 'own'

test.each<Redirect>([
  { location: '/p?a=1&b=2' },
  { location: '/p?b=2&a=1' },
  { location: '?b=2&a=1' },
  { location: 'http://shop/p?a=1&b=2' },
  { location: 'HTTP://shop/p?a=1&b=2' },
  { location: '//shop/p?a=1&b=2' },
  { location: '/p', url: '/p?' },
  { location: '/p?a=1&b=2', status: 300 },
  { location: '/p?a=1&b=2', status: 399 },
  { location: '/p?a=1', query: { ignore: ['b'] } },
  { location: '/p?a=1', rule: { ignore: ['b'] } },
  { location: '/p?other', key: ownKey },
  { location: 'https://shop/p', key: ownKey },
])('a redirect leads to a URL with the key of its request: %o', (redirect) => {
  expect(leadsToItself(redirect)).toBe(true)
})

test.each<Redirect>([
  {},
  { location: '/p?a=1&b=2', status: 299 },
  { location: '/p?a=1&b=2', status: 400 },
  { location: '/p?a=1' },
  { location: '/q?a=1&b=2' },
  { location: 'http://other/p?a=1&b=2' },
  { location: 'http://[' },
  { location: 'https://shop/p?a=1&b=2' },
  { location: 'http://shop/p?a=1&b=2', protocol: 'https' },
  { location: '/p?a=1', query: { only: ['a', 'b'] } },
  { location: '/q', key: ownKey },
])('a redirect leads elsewhere: %o', (redirect) => {
  expect(leadsToItself(redirect)).toBe(false)
})
