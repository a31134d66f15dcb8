import { hash, timingSafeEqual } from 'node:crypto'
import { types } from 'node:util'
import { type Duration, milliseconds } from '@stowage/core'
import { type CookiePair, cookiePairs, remembering } from '@stowage/core/internal'
import { attributeText } from '../data/session-cookie.ts'

/** Attributes of the cookie of a session. See RFC 6265 and its draft successor. */
export interface CookieOptions {
  /** Lifetime of the cookie and of the session after each request. @default until the browser ends */
  readonly maxAge?: Duration | null | undefined
  /** When the cookie expires. Use `maxAge` instead, unless the moment is fixed. */
  readonly expires?: Date | null | undefined
  /** @default '/' */
  readonly path?: string | undefined
  readonly domain?: string | undefined
  /** @default true */
  readonly httpOnly?: boolean | undefined
  /** Whether the cookie is sent over HTTPS only. `'auto'`: if the request came over HTTPS. @default false */
  readonly secure?: boolean | 'auto' | undefined
  /** `'auto'`: `'none'` if the request came over HTTPS, else `'lax'`. */
  readonly sameSite?: boolean | 'lax' | 'strict' | 'none' | 'auto' | undefined
  readonly priority?: 'low' | 'medium' | 'high' | undefined
  /** A cookie for each top-level site (CHIPS). Requires `secure`. */
  readonly partitioned?: boolean | undefined
}

/** The cookie of a session, with the properties of that of express-session. */
export class Cookie {
  path: string
  httpOnly: boolean
  /** Lifetime of the session after each request, in milliseconds; `null` until the browser ends. */
  originalMaxAge: number | null = null
  domain: string | undefined
  secure: boolean | undefined
  sameSite: boolean | 'lax' | 'strict' | 'none' | undefined
  priority: 'low' | 'medium' | 'high' | undefined
  partitioned: boolean | undefined
  #expires: Date | null = null

  constructor(options: CookieOptions = {}, isSecure = false) {
    if (typeof options !== 'object' || options === null) {
      throw new TypeError('cookie must be an object of attributes, such as { maxAge: 3_600_000 }.')
    }
    const { maxAge, expires, secure, sameSite, path, httpOnly } = options
    this.path = path === undefined ? '/' : path
    this.httpOnly = httpOnly === undefined ? true : httpOnly
    this.domain = options.domain
    this.secure = secure === 'auto' ? isSecure : secure
    const automatic = isSecure ? 'none' : 'lax'
    this.sameSite = sameSite === 'auto' ? automatic : sameSite
    this.priority = options.priority
    this.partitioned = options.partitioned
    if (expires !== undefined) this.expires = expires
    else if (maxAge !== undefined && maxAge !== null)
      this.maxAge = milliseconds(maxAge, 'The maxAge of a cookie')
  }

  /** Restores a cookie from a stored session. */
  static restore(stored: Readonly<Record<string, unknown>>): Cookie {
    const { originalMaxAge, expires } = stored
    const cookie = new Cookie({ ...(stored as CookieOptions), expires: undefined })
    if (expires) cookie.#expires = new Date(expires as string)
    // Some applications of express-session assign false in place of null.
    cookie.originalMaxAge = typeof originalMaxAge === 'number' ? originalMaxAge : null
    return cookie
  }

  /** When the cookie expires. */
  get expires(): Date | null {
    return this.#expires
  }

  set expires(date: Date | null | false) {
    if (date && !isValidDate(date)) {
      throw new TypeError('The expiry of a cookie must be a valid date: a Date, and not its text.')
    }
    this.#expires = date || null
    this.originalMaxAge = this.maxAge
  }

  /** Time until the cookie expires, in milliseconds. */
  get maxAge(): number | null {
    return this.#expires === null ? null : this.#expires.getTime() - Date.now()
  }

  set maxAge(ms: number | null | undefined) {
    if (ms !== null && ms !== undefined && typeof ms !== 'number') {
      throw new TypeError('The maxAge of a cookie must be a number of milliseconds.')
    }
    this.expires = ms === null || ms === undefined ? null : new Date(Date.now() + ms)
  }

  /** Moves the expiry as each request does. */
  touch(): void {
    const { originalMaxAge } = this
    // Some applications of express-session assign false in place of null.
    if (typeof originalMaxAge !== 'number') return
    const expires = new Date(Date.now() + originalMaxAge)
    if (isValidDate(expires)) this.#expires = expires
  }

  /** The attributes as express-session stores them. */
  toJSON(): Record<string, unknown> {
    const { originalMaxAge, partitioned, priority, secure, httpOnly, domain, path, sameSite } = this
    const expires = this.#expires
    return {
      originalMaxAge,
      partitioned,
      priority,
      expires,
      secure,
      httpOnly,
      domain,
      path,
      sameSite,
    }
  }
}

function isValidDate(value: unknown): boolean {
  return types.isDate(value) && !Number.isNaN(value.getTime())
}

/** What express-session puts before a signed id. */
const signedPrefix = 's:'
/** RFC 6265, 4.1.1: a token. */
export const cookieName: RegExp = /^[!#$%&'*+\-.^_`|~\w]+$/
/** The path or the domain of a cookie. */
export const cookieAttribute: RegExp = attributeText

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
  return value?.startsWith(signedPrefix)
    ? unsign(value.slice(signedPrefix.length), signers)
    : undefined
}

/** Returns the value of a `Set-Cookie` header with a signed id. */
export function setCookie(name: string, signedId: string, cookie: Cookie): string {
  return serialize(name, encodeURIComponent(signedPrefix + signedId), cookie, cookie.expires)
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
