import { hash, timingSafeEqual } from 'node:crypto'
import { type CookiePair, cookiePairs, remembering } from '@stowage/core/internal'
import { attributeText } from '../../data/session-cookie.ts'
import type { Cookie } from './cookie.ts'

/** What express-session puts before a signed id. */
const signedMark = 's:'
/** RFC 6265, 4.1.1: a token. */
export const cookieName: RegExp = /^[!#$%&'*+\-.^_`|~\w]+$/

/** Returns an id with its signature. */
export type Signer = (id: string) => string

/** Signs as express-session does: the id, a dot, and the HMAC. */
export function createSigner(secret: string | Uint8Array): Signer {
  const hmac = createHmacSha256(secret)
  return (id) => `${id}.${hmac(id)}`
}

/** How many of the last valid cookies, and of the last signatures, are known. A session is used by several requests. */
const knownCookies = 4_000

/** Remembers the last signatures of a signer: the cookie of a session that changes is sent again with each response. */
export function withMemory(sign: Signer): Signer {
  return remembering(sign, knownCookies)
}

/** Returns the id in a `Cookie` header. */
export type IdReader = (header: string | undefined) => string | undefined

/**
 * Reads the id of the first cookie with this name, if it was signed by one of the signers. A name with a prefix that browsers
 * protect must be unambiguous.
 */
export function createIdReader(name: string, signers: readonly Signer[]): IdReader {
  // A signature that was verified need not be verified again. To find a cookie here, all of it has to be known.
  const idIn = remembering((text) => idOf(text, signers), knownCookies)
  const valueIn = protectedPrefix.test(name) ? onlyValue : firstValue
  return (header) => {
    const text = header === undefined ? undefined : valueIn(header, name)
    return text === undefined ? undefined : idIn(text)
  }
}

/** Browsers let only the host itself, over HTTPS, set cookies with these names (RFC 6265bis section 4.1.3). */
const protectedPrefix = /^__(?:Host|Secure|Http)-/i

function firstValue(header: string, name: string): string | undefined {
  return valueOfPair(cookiePairs(header, name).find(({ isExact }) => isExact))
}

/**
 * The value of a cookie whose name a browser protects. If several cookies may have the name, others have planted one of them,
 * and which one is not known: so none is accepted.
 */
function onlyValue(header: string, name: string): string | undefined {
  const [first, second] = cookiePairs(header, name)
  return first?.isExact === true && second === undefined ? valueOfPair(first) : undefined
}

function valueOfPair(pair: CookiePair | undefined): string | undefined {
  return pair?.text.slice(pair.text.indexOf('=') + 1)
}

/** The id in the value of a cookie. */
function idOf(text: string, signers: readonly Signer[]): string | undefined {
  const value = decode(text.replace(/^"(.*)"$/, '$1'))
  return value?.startsWith(signedMark) ? unsign(value.slice(signedMark.length), signers) : undefined
}

/** Returns the value of a `Set-Cookie` header with a signed id. */
export function setCookie(name: string, signedId: string, cookie: Cookie): string {
  return serialize(name, encodeURIComponent(signedMark + signedId), cookie, cookie.expires)
}

/** Returns the value of a `Set-Cookie` header that makes the browser forget the cookie. */
export function clearCookie(name: string, cookie: Cookie): string {
  return serialize(name, '', cookie, new Date(0))
}

function unsign(signed: string, signers: readonly Signer[]): string | undefined {
  const id = signed.slice(0, Math.max(0, signed.lastIndexOf('.')))
  const actual = Buffer.from(signed)
  const isValid = signers.some((sign) => {
    const expected = Buffer.from(sign(id))
    return expected.length === actual.length && timingSafeEqual(expected, actual)
  })
  return isValid && id !== '' ? id : undefined
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

function serialize(name: string, value: string, cookie: Cookie, expires: Date | null): string {
  const { domain, path, httpOnly, secure, partitioned, priority, sameSite } = cookie
  const parts = [`${name}=${value}`]
  const add = (attribute: string, text: string) => {
    if (!attributeText.test(text)) throw new TypeError(`The ${attribute} of the cookie is invalid.`)
    parts.push(`${attribute}=${text}`)
  }
  // @fastify/session stores null for an attribute that is not set.
  if (domain) add('Domain', domain)
  if (path) add('Path', path)
  if (expires !== null) add('Expires', toDateText(expires))
  if (httpOnly) parts.push('HttpOnly')
  if (secure) parts.push('Secure')
  if (partitioned) parts.push('Partitioned')
  if (priority) add('Priority', capitalized(priority))
  const site = sameSite === true ? 'strict' : sameSite
  if (site) add('SameSite', capitalized(site))
  return parts.join('; ')
}

let lastSecond = Number.NaN
let lastDateText = ''

/** The text of a date in a header. Formatted once per second: cookies of many responses expire in the same one. */
function toDateText(date: Date): string {
  const second = Math.floor(date.getTime() / 1_000)
  if (second !== lastSecond) {
    lastDateText = date.toUTCString()
    lastSecond = second
  }
  return lastDateText
}

function capitalized(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}

/** Bytes in a block of SHA-256. */
const blockBytes = 64

/**
 * Creates a function that returns the HMAC-SHA256 of a text, in base64 without padding, as of RFC 2104. It takes half as
 * long as `createHmac`, which creates an object that the garbage collector has to finalize.
 */
export function createHmacSha256(secret: string | Uint8Array): (text: string) => string {
  const key = Buffer.alloc(blockBytes)
  const bytes = typeof secret === 'string' ? Buffer.from(secret) : secret
  const isLong = bytes.length > blockBytes
  key.set(isLong ? Buffer.from(hash('sha256', bytes, 'hex'), 'hex') : bytes)
  const inner = key.map((byte) => byte ^ 0x36)
  const outer = key.map((byte) => byte ^ 0x5c)
  return (text) => {
    const digest = hash('sha256', Buffer.concat([inner, Buffer.from(text)]), 'hex')
    const signature = hash('sha256', Buffer.concat([outer, Buffer.from(digest, 'hex')]), 'base64')
    return signature.slice(0, signature.indexOf('='))
  }
}
