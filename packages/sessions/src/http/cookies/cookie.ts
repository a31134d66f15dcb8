import { types } from 'node:util'
import { type Duration, milliseconds } from '@stowage/core'

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

/** The cookie of a session, with the properties that that of express-session has. */
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
