import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { CacheError } from '@stowage/core'
import { cookiePairs } from '@stowage/core/internal'
import { trimBlanks } from '../headers/white-space.ts'

/**
 * What the response depends on besides the URL: a function whose result is part of the key, or names of request headers
 * and cookies (`'cookie:currency'`).
 */
export type VaryBy =
  | readonly string[]
  | {
      call(request: IncomingMessage): KeyPart | readonly KeyPart[]
    }['call']

/** What a function may return for the key. */
type KeyPart = string | number | boolean | undefined

/** What `varyBy` says about a route. */
export interface VaryPlan {
  /** Whether the route states itself what the response depends on: then reads of the session or the user are expected. */
  readonly coversAll: boolean
  /** Whether requests with this credential may use the cache. */
  readonly covers: (name: string) => boolean
  /** Names of cookies that are part of the key. */
  readonly cookies: ReadonlySet<string>
  /** Names of headers that are part of the key, in lower case. */
  readonly keyed: readonly string[]
  /** The same for `Vary`: `Cookie` stands for named cookies. */
  readonly headers: readonly string[]
  /** The part of the key, or `undefined` to bypass the cache. */
  readonly partOf: ((request: IncomingMessage) => string | undefined) | undefined
}

export function planVariation(varyBy: VaryBy | undefined): VaryPlan {
  if (varyBy === undefined) return noVariation
  if (typeof varyBy === 'function') return planFunction(varyBy)
  if (!Array.isArray(varyBy) || !varyBy.every((name) => typeof name === 'string'))
    throw invalidVaryBy()
  const names = varyBy.map((name) => name.toLowerCase())
  const cookies = varyBy
    .filter((name) => name.toLowerCase().startsWith('cookie:'))
    .map((name) => name.slice('cookie:'.length))
  const headers = names.filter((name) => !name.startsWith('cookie:'))
  const varying =
    cookies.length > 0 && !headers.includes('cookie') ? [...headers, 'cookie'] : headers
  return {
    coversAll: false,
    covers: (name) => varying.includes(name),
    cookies: new Set(cookies),
    keyed: headers,
    headers: varying,
    partOf: (request) => partOfNames(request, headers, cookies),
  }
}

function invalidVaryBy(): CacheError {
  return new CacheError(
    'ERR_CACHE_CONFIG',
    "responseCache: varyBy must be a function, or an array of names, such as ['accept-language', 'cookie:currency'].",
  )
}

/** Headers with credentials. Keys contain a hash of them, as they are visible to operators, tools and other applications. */
const secretHeaders = new Set([
  'authorization',
  'cookie',
  'proxy-authorization',
  'x-access-token',
  'x-amzn-oidc-accesstoken',
  'x-amzn-oidc-data',
  'x-api-key',
  'x-auth-token',
  'x-csrf-token',
  'x-xsrf-token',
])

const noVariation: VaryPlan = {
  coversAll: false,
  covers: () => false,
  cookies: new Set(),
  keyed: [],
  headers: [],
  partOf: undefined,
}

function planFunction(varyBy: Extract<VaryBy, (...args: never) => unknown>): VaryPlan {
  return {
    coversAll: true,
    covers: () => true,
    cookies: new Set(),
    keyed: [],
    // Other caches cannot know what the function reads.
    headers: ['cookie', 'authorization'],
    partOf: (request) => {
      const value = varyBy(request)
      return value === undefined ? undefined : encodeParts([value].flat())
    },
  }
}

function partOfNames(
  request: IncomingMessage,
  headers: readonly string[],
  cookies: readonly string[],
): string | undefined {
  const values = headers.map((name) => normalizeHeader(name, request.headers[name]))
  for (const name of cookies) {
    const value = cookieOf(request.headers.cookie, name)
    if (value === undefined) return undefined
    values.push(value)
  }
  return encodeParts(values)
}

/** Injective: no two lists have the same text. */
function encodeParts(parts: readonly unknown[]): string {
  return parts.map(encodePart).join(',')
}

/** @throws TypeError for objects, such as a promise, which all have the same text */
function encodePart(part: unknown): string {
  if (typeof part === 'string') return encodeText(part)
  // No text is encoded as this.
  if (part === undefined) return '?'
  if (typeof part === 'number' || typeof part === 'boolean') return String(part)
  throw new TypeError(
    'varyBy must return a string, a number, a boolean, an array of these, or undefined, and no promise.',
  )
}

/** `encodeURIComponent` throws for half of a surrogate pair, which JSON may contain. */
function encodeText(text: string): string {
  return /\p{Surrogate}/u.test(text)
    ? `?${encodeURIComponent(JSON.stringify(text))}`
    : encodeURIComponent(text)
}

/**
 * All pairs with the name of a cookie, as they were sent: it depends on the parser which of several counts. `undefined` if
 * some parsers read another pair as the cookie, too, because they strip more than spaces and tabs from names.
 */
function cookieOf(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return ''
  const pairs = cookiePairs(header, name)
  if (pairs.some(({ isExact, text }) => !isExact && text !== name)) return undefined
  return pairs.length === 0 ? '' : hashed(pairs.map(({ text }) => text).join(';'))
}

function hashed(secret: string): string {
  return hash('sha256', secret, 'base64url')
}

/**
 * The value of a header as it is part of a key (RFC 9111 section 4.1): without white space between members, and for
 * languages, which are case-insensitive, in lower case. The order of members is kept, because a handler may prefer the
 * first. A missing header differs from an empty one. Credentials are hashed.
 */
export function normalizeHeader(
  name: string,
  value: string | readonly string[] | undefined,
): string {
  if (value === undefined) return '\0'
  // Middleware in front may have set a number.
  const text = typeof value === 'string' ? value : [value].flat().join(',')
  if (secretHeaders.has(name)) return hashed(text)
  // In a quoted string, white space, case and delimiters count.
  if (text.includes('"')) return text
  const members = text.split(',').map((member) => member.split(';').map(trimBlanks).join(';'))
  const joined = members.join(',')
  return name === 'accept-language' ? joined.toLowerCase() : joined
}
