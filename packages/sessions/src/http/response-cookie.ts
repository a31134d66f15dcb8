import type { IncomingMessage, ServerResponse } from 'node:http'
import { warnOnce } from '../warn-once.ts'
import type { Cookie } from './cookies/cookie.ts'
import { clearCookie, setCookie } from './cookies/cookie-header.ts'
import type { HeldResponse } from './messages/held-response.ts'
import type { Settings } from './middleware-options.ts'
import { RequestSession } from './request-session.ts'
import { isSharedResponse, privateHeaders } from './response-sharing.ts'

/** The cookie of the session in the headers of a response. */
export class ResponseCookie {
  readonly #request: RequestFacts
  readonly #response: ServerResponse
  readonly #settings: Settings
  /** Leads to the held response, which accepts headers from here while it waits. There is none before the session was read. */
  readonly #exchange: { readonly held: HeldResponse | undefined }
  /** Whether the response has it. */
  #isSet = false
  /** Whether the browser has the same, which expires earlier. */
  #isExtension = false
  /** The `Set-Cookie` header without it. */
  #before: number | string | string[] | undefined

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
    if (!this.#isSet) return
    if (this.#isExtension && isSharedResponse(this.#response)) this.undo()
    else this.#makePrivate()
  }

  /** Makes the browser forget the cookie. */
  clear(cookie: Cookie): void {
    this.#addPrivately(clearCookie(this.#settings.name, cookie))
  }

  /** Takes back the cookie of a session that could not be stored. */
  undo(): void {
    if (!this.#isSet) return
    this.#isSet = false
    if (this.#before === undefined) this.#response.removeHeader('Set-Cookie')
    else this.#response.setHeader('Set-Cookie', this.#before)
  }

  /** A shared cache may store a response although it sets a cookie (RFC 9111 section 7.3), and send that to all. */
  #addPrivately(header: string): void {
    this.#makePrivate()
    const before = this.#response.getHeader('Set-Cookie')
    this.#before = before
    this.#isSet = true
    const others = before === undefined ? [] : [before].flat().map(String)
    this.#exchange.held?.setHeader('Set-Cookie', [...others, header])
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
