import type { IncomingMessage, ServerResponse } from 'node:http'
import { warnOnce } from '../warn-once.ts'
import { type Cookie, clearCookie, setCookie } from './cookie.ts'
import type { HeldResponse } from './messages/held-response.ts'
import type { Settings } from './middleware-options.ts'
import { RequestSession } from './request-session.ts'

/** The cookie of the session in the headers of a response. */
export class ResponseCookie {
  readonly #request: RequestFacts
  readonly #response: ServerResponse
  readonly #settings: Settings
  /** Leads to the held response, which accepts headers from here while it waits. There is none before the session was read. */
  readonly #exchange: { readonly held: HeldResponse | undefined }
  /** The line of `Set-Cookie` that the response has. */
  #line: string | undefined
  /** Whether the browser has the same, which expires earlier. */
  #isExtension = false

  constructor(
    request: RequestFacts,
    response: ServerResponse,
    settings: Settings,
    exchange: { readonly held: HeldResponse | undefined },
  ) {
    this.#request = request
    this.#response = response
    this.#settings = settings
    this.#exchange = exchange
  }

  /** Whether the request came over HTTPS, if the cookie requires that. */
  canSend(cookie: Cookie): boolean {
    return !cookie.secure || isSecure(this.#request, this.#settings.options.proxy)
  }

  /** Sets the cookie of a session whose id the browser does not have. */
  set(session: RequestSession): void {
    const { cookie } = session
    if (!this.canSend(cookie)) {
      warnOfPlainHttp()
      return
    }
    const { name, sign } = this.#settings
    this.#addPrivately(setCookie(name, sign(RequestSession.idOf(session)), cookie))
  }

  /** Sets the cookie again, so that it expires later, unless a shared cache has stored the response or may do so. */
  extend(session: RequestSession): void {
    if (isSharedResponse(this.#response)) return
    this.set(session)
    this.#isExtension = true
  }

  /** To be called if middleware may have changed the headers since. */
  recheck(): void {
    if (this.#line === undefined) return
    if (this.#isExtension && isSharedResponse(this.#response)) this.undo()
    else this.#makePrivate()
  }

  /** Makes the browser forget the cookie. */
  clear(cookie: Cookie): void {
    this.#addPrivately(clearCookie(this.#settings.name, cookie))
  }

  /** Takes back the cookie of a session that could not be stored. */
  undo(): void {
    const line = this.#line
    if (line === undefined) return
    this.#line = undefined
    // Others may have added theirs since.
    const others = this.#setCookies().filter((other) => other !== line)
    if (others.length === 0) this.#response.removeHeader('Set-Cookie')
    else this.#response.setHeader('Set-Cookie', others)
  }

  /** A shared cache may store a response although it sets a cookie (RFC 9111 section 7.3), and send that to all. */
  #addPrivately(line: string): void {
    this.#makePrivate()
    const others = this.#setCookies()
    this.#line = line
    this.#exchange.held?.setHeader('Set-Cookie', [...others, line])
  }

  #setCookies(): string[] {
    return [this.#response.getHeader('Set-Cookie') ?? []].flat().map(String)
  }

  #makePrivate(): void {
    for (const [name, value] of privateHeaders(this.#response)) {
      this.#exchange.held?.setHeader(name, value)
    }
  }
}

/** Behind a proxy that is not trusted, a user who signs in would be signed out again without a trace. */
function warnOfPlainHttp(): void {
  warnOnce(
    'STOWAGE_COOKIE_NOT_SENT',
    'A session cookie is secure, and was not sent because the request did not come over HTTPS. Behind a proxy that ends ' +
      "TLS, trust it: app.set('trust proxy', 1), or the option proxy: true of session(). Without TLS, use secure: 'auto'.",
  )
}

/** A request, with what Express provides. */
export interface RequestFacts extends IncomingMessage {
  readonly originalUrl?: string
  readonly secure?: boolean
}

/** The target of a request to a proxy has a scheme and a host. See RFC 9112, section 3.2.2. */
const schemeAndHost = /^https?:\/\/[^/?]*/i

/** Whether the path of a request begins with that of the cookie. Targets such as `//` are not URLs. */
export function isBelow(path: string | undefined, { originalUrl, url }: RequestFacts): boolean {
  if (!path || path === '/') return true
  const target = originalUrl ?? url ?? '/'
  return target.replace(schemeAndHost, '').startsWith(path)
}

/** Whether a request came over HTTPS. */
export function isSecure(request: RequestFacts, proxy: boolean | undefined): boolean {
  if ((request.socket as { encrypted?: boolean }).encrypted) return true
  if (proxy === undefined) return request.secure === true
  const [protocol] = String(request.headers['x-forwarded-proto'] ?? '').split(',')
  return proxy && protocol?.trim().toLowerCase() === 'https'
}

type Headers = Pick<ServerResponse, 'getHeader' | 'hasHeader' | 'getHeaderNames'>

/** Headers that only shared caches obey (RFC 9213, and older ones of vendors), and the value that forbids them to store. */
const targeted: readonly (readonly [name: RegExp, value: string])[] = [
  [/^(?:.+-)?cdn-cache-control$/, 'private'],
  [/^(?:surrogate|edge)-control$/, 'no-store'],
  [/^x-accel-expires$/, '0'],
]
/** A member of a list header, which may contain commas in quotes. */
const member = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g

/** Whether a response comes from a cache, or declares that shared caches may store it. */
function isSharedResponse(response: Headers): boolean {
  const isTargeted = targetedHeaders(response).length > 0
  return response.hasHeader('Age') || isTargeted || directivesOf(response).some(isShared)
}

/**
 * Returns the headers to set, so that at most the browser stores a response with a cookie: RFC 9111 section 7.3 permits shared
 * caches to store it, and section 4.2.2 also without a `Cache-Control`.
 */
function privateHeaders(response: Headers): [name: string, value: string][] {
  const others = targetedHeaders(response)
  const directives = directivesOf(response)
  const kept = directives.filter((directive) => !isShared(directive) && !isPrivate(directive))
  if (kept.length === directives.length - 1 && directives.some(isPrivate)) return others
  // With "must-understand", caches ignore "no-store" (RFC 9111 section 5.2.2.3).
  const isStored = directives.some((directive) => /^must-understand$/i.test(directive))
  const isNotStored = !isStored && directives.some((directive) => /^no-store$/i.test(directive))
  if (isNotStored && kept.length === directives.length) return others
  return [['Cache-Control', ['private', ...kept].join(', ')], ...others]
}

function targetedHeaders(response: Headers): [name: string, value: string][] {
  return response.getHeaderNames().flatMap((name) => {
    const [, value] = targeted.find(([pattern]) => pattern.test(name)) ?? []
    return value === undefined ? [] : [[name, value] as [string, string]]
  })
}

function directivesOf(response: Headers): string[] {
  const value = [response.getHeader('Cache-Control') ?? []].flat().join(',')
  const members = value.match(member) ?? []
  return members.map(trimBlanks).filter((directive) => directive !== '')
}

/** Removes spaces and tabs only: other white space is part of a directive, which no cache understands then. */
function trimBlanks(text: string): string {
  let [start, end] = [0, text.length]
  while (start < end && isBlank(text[start])) start++
  while (end > start && isBlank(text[end - 1])) end--
  return text.slice(start, end)
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}

function isShared(directive: string): boolean {
  return /^(?:public|s-maxage)(?![\w-])/i.test(directive)
}

function isPrivate(directive: string): boolean {
  return /^private$/i.test(directive)
}
