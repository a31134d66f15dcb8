import type { IncomingMessage } from 'node:http'
import { types } from 'node:util'
import { CacheError, type Duration, milliseconds } from '@stowage/core'
import { checkOptionNames } from '@stowage/core/driver'
import { warnOfShortTtl } from '@stowage/core/internal'
import { isSessionCookie } from '../data/session-cookie.ts'
import type { Sessions } from '../sessions.ts'
import {
  Cookie,
  type CookieOptions,
  cookieName,
  createIdReader,
  createSigner,
  type IdReader,
  type Signer,
  withMemory,
} from './cookie.ts'
import type { RequestSession } from './request-session.ts'

// biome-ignore lint/suspicious/noExplicitAny: sessions of any type
export type AnySessions = Sessions<any>

/** A function of the request, which may expect the request of a framework. */
type Of<T> = { call(request: IncomingMessage): T }['call']

type Secret = string | Uint8Array

export interface SessionMiddlewareOptions {
  /** Where sessions are stored: `Sessions`, or the `SessionStore` of `@stowage/express`. */
  readonly store: AnySessions | { readonly sessions: AnySessions }
  /** Signs the cookie. Of a list, the first one signs, and all are accepted. */
  readonly secret: Secret | readonly Secret[]
  /**
   * Name of the cookie. With the prefix `__Host-`, browsers accept it only from this host, over HTTPS.
   * @default 'connect.sid'
   */
  readonly name?: string | undefined
  /** @deprecated The same as `name`, which precedes it. */
  readonly key?: string | undefined
  readonly cookie?: CookieOptions | Of<CookieOptions> | undefined
  /** Creates an id, of at least 128 random bits. @default 192 random bits */
  readonly genid?: Of<string> | undefined
  /** Whether to trust `X-Forwarded-Proto`. @default the setting of Express */
  readonly proxy?: boolean | undefined
  /**
   * Whether each response sets the cookie again, so that its expiry moves. Responses that shared caches may store never do.
   * @default if the expiry of the stored session has moved: once a minute, or a 20th of a shorter lifetime
   */
  readonly rolling?: boolean | undefined
  /**
   * How long a session has the same id. Then the response brings the browser another one, so that an id that was stolen
   * is of use for a limited time. For half a minute, requests with the old id are answered as well. Requires the option
   * `rotation` of `Sessions`. @default for ever
   */
  readonly rotateAfter?: Duration | undefined
  /** Whether new sessions are stored although nothing was added to them. @default false */
  readonly saveUninitialized?: boolean | undefined
  /** Has no effect: a session that has not changed is never overwritten, and its expiry always moves. */
  readonly resave?: boolean | undefined
  /** Whether `delete request.session` ends the session. @default 'keep' */
  readonly unset?: 'keep' | 'destroy' | undefined
}

const optionNames = {
  store: true,
  secret: true,
  name: true,
  key: true,
  cookie: true,
  genid: true,
  proxy: true,
  rolling: true,
  rotateAfter: true,
  saveUninitialized: true,
  resave: true,
  unset: true,
} as const
const cookieAttributes = [
  ...['maxAge', 'expires', 'secure', 'httpOnly', 'sameSite', 'path', 'domain', 'priority'],
  'partitioned',
]

const storeRemedy =
  'store must be Sessions or a SessionStore: session({ secret, store: new Sessions({ cache }) }).'

/** @throws CacheError `ERR_CACHE_CONFIG` for options that browsers or this middleware do not accept, TypeError for unknown ones */
function checkMiddlewareOptions(options: SessionMiddlewareOptions): void {
  if (typeof options?.store !== 'object' || options.store === null) throw invalid(storeRemedy)
  const misplaced = cookieAttributes.find((name) => Object.hasOwn(options, name))
  if (misplaced !== undefined)
    throw invalid(`${misplaced} is an attribute of the cookie: cookie: { ${misplaced}: … }.`)
  checkOptionNames('session', options, optionNames)
  const { cookie, unset = 'keep', genid, store, rotateAfter } = options
  const name = nameOf(options)
  const secrets = secretsOf(options)
  if (sessionsOf(store) === undefined) throw invalid(storeRemedy)
  if (secrets.length === 0 || !secrets.every(isSecret)) {
    throw invalid(
      'secret must be a non-empty string or Buffer, or a list of them, such as sessionSecret(process.env).',
    )
  }
  if (genid !== undefined && typeof genid !== 'function') throw invalid('genid must be a function.')
  if (rotateAfter !== undefined) checkRotation(rotateAfter, sessionsOf(store))
  if (typeof name !== 'string' || !cookieName.test(name))
    throw invalid(`"${name}" is not a name of a cookie.`)
  if (unset !== 'keep' && unset !== 'destroy') throw invalid('unset must be keep or destroy.')
  if (typeof cookie !== 'function') checkCookie(name, cookie ?? {})
}

/** Longer than an old id is accepted, so that not more than one old id leads to a session. */
const minRotateAfterMs = 60_000

function checkRotation(rotateAfter: Duration, sessions: AnySessions | undefined): void {
  if (milliseconds(rotateAfter) < minRotateAfterMs)
    throw invalid('rotateAfter must be at least 1m.')
  if (sessions?.rotates !== true)
    throw invalid('rotateAfter requires the option rotation of Sessions.')
}

/** @see https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis section 4.1.3, "Cookie Name Prefixes" */
function checkCookie(name: string, options: CookieOptions): void {
  checkAttributes(options)
  const { secure, domain, path = '/', partitioned, sameSite, maxAge } = options
  warnOfShortTtl('cookie: maxAge', maxAge)
  if (maxAge !== undefined && maxAge !== null && milliseconds(maxAge) <= 0) {
    throw invalid(
      'maxAge of the cookie must be positive: each session would end at once. Leave it out for a cookie that lasts until the ' +
        'browser ends.',
    )
  }
  const isHost = name.startsWith('__Host-')
  if (isHost && (secure !== true || domain || path !== '/')) {
    throw invalid(
      'a cookie with the prefix __Host- must be secure, have the path /, and no domain.',
    )
  }
  if (name.startsWith('__Secure-') && secure !== true) {
    throw invalid('a cookie with the prefix __Secure- must be secure.')
  }
  if (sameSite === 'none' && !secure) {
    throw invalid(
      "a cookie with sameSite none must be secure: true, or 'auto'. Browsers refuse it.",
    )
  }
  if (partitioned && !secure) throw invalid('a partitioned cookie must be secure.')
}

function checkAttributes(options: CookieOptions): void {
  const cookie = createCookie(options)
  const misspelled = Object.keys(options).find((name) => isMisspelled(name, cookie))
  if (misspelled !== undefined) {
    throw invalid(
      `${misspelled} is not an attribute of a cookie. Attributes have names such as httpOnly.`,
    )
  }
  if (isSessionCookie(cookie.toJSON())) return
  throw invalid(
    'path, domain, sameSite or priority of the cookie is invalid. path and domain are texts without ";", sameSite is ' +
      'lax, strict, none or a boolean, and priority is low, medium or high.',
  )
}

function createCookie(options: CookieOptions): Cookie {
  try {
    return new Cookie(options)
  } catch (error) {
    throw invalid((error as Error).message)
  }
}

/** Whether a name is that of an attribute in another case. Without it, the cookie would not be as safe as it seems. */
function isMisspelled(name: string, cookie: Cookie): boolean {
  const names = ['maxAge', ...Object.keys(cookie.toJSON())]
  return !names.includes(name) && names.some((each) => each.toLowerCase() === name.toLowerCase())
}

function isSecret(secret: unknown): boolean {
  return (typeof secret === 'string' || types.isUint8Array(secret)) && secret.length > 0
}

/** The name of the cookie. */
function nameOf({ name, key }: SessionMiddlewareOptions): string {
  return name ?? key ?? 'connect.sid'
}

/** The secrets as a list. */
function secretsOf({ secret }: SessionMiddlewareOptions): readonly Secret[] {
  return Array.isArray(secret) ? secret : [secret as Secret]
}

/** The sessions of the option `store`. */
export function sessionsOf(store: SessionMiddlewareOptions['store']): AnySessions | undefined {
  const sessions = 'sessions' in store ? store.sessions : store
  const { inspect, create } = (sessions ?? {}) as Partial<AnySessions>
  // Both, so that an object with one of these names alone is refused.
  return typeof inspect === 'function' && typeof create === 'function' ? sessions : undefined
}

function invalid(problem: string): CacheError {
  return new CacheError('ERR_CACHE_CONFIG', `session: ${problem}`)
}

/** The options of a middleware, checked. */
export interface Settings {
  readonly options: SessionMiddlewareOptions
  readonly sessions: Sessions<RequestSession>
  readonly name: string
  /** In milliseconds. */
  readonly rotateAfter: number
  readonly sign: Signer
  readonly readId: IdReader
}

/** @throws CacheError `ERR_CACHE_CONFIG` for invalid options */
export function settingsOf(options: SessionMiddlewareOptions): Settings {
  checkMiddlewareOptions(options)
  const sessions = sessionsOf(options.store) as Sessions<RequestSession>
  const name = nameOf(options)
  const { rotateAfter } = options
  // The first one signs, and the signatures of all are accepted.
  const signers = secretsOf(options).map(createSigner)
  const readId = createIdReader(name, signers)
  return {
    options,
    sessions,
    name,
    sign: withMemory(signers[0] as Signer),
    readId,
    rotateAfter: rotateAfter === undefined ? Infinity : milliseconds(rotateAfter),
  }
}
