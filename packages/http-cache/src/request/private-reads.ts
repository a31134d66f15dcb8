import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * What frameworks and middleware add to a request for one user: express-session and Passport, express-jwt, OpenID Connect,
 * Keycloak; and the address of the client in Express.
 */
const userProperties = [
  'session',
  'sessionID',
  'user',
  'auth',
  'authInfo',
  'account',
  'currentUser',
  'oidc',
  'kauth',
  'ip',
  'ips',
] as const
const cookieProperties = ['cookies', 'signedCookies'] as const
/** The certificate of the client, of a TLS socket. */
const certificateMethods = ['getPeerCertificate', 'getPeerX509Certificate'] as const
/** All headers in another form. */
const rawProperties = ['rawHeaders', 'headersDistinct'] as const
/**
 * Headers that a response must not depend on unless they are part of the key: proxies and applications derive URLs, the
 * method or the identity of the client from them, so that one request could determine the response of all others.
 */
const unkeyedHeader =
  /^(?:x-forwarded-.+|forwarded|x-original-.+|x-rewrite-url|x-host|x-http-.+|x-method-override|x-real-ip|x-client-ip|true-client-ip|cf-connecting-ip|x-user.*|x-auth.*|x-api-key|x-csrf-token|x-xsrf-token|proxy-authorization|x-amzn-oidc-.+|x-goog-authenticated-.+|x-remote-user|remote-user|origin|referer|via)$/

/** What is expected to be read, because the key covers it. */
export interface CoveredReads {
  readonly user: boolean
  readonly cookies: boolean
  readonly authorization: boolean
  /** Names of headers that are part of the key. */
  readonly headers: readonly string[]
}

/**
 * Notices whether a handler reads something that belongs to one user, so that its response must not be shared: the
 * session, the user, cookies, credentials, or headers such as `X-Forwarded-Host` that are not part of the key.
 */
export class PrivateReads {
  #hasRead = false
  #isPaused = false
  readonly #headersRead = new Set<string>()
  readonly #restores: (() => void)[] = []
  readonly #covered: CoveredReads

  constructor(request: IncomingMessage, response: ServerResponse, covered: CoveredReads) {
    this.#covered = covered
    const { headers } = request
    if (!covered.user) for (const name of userProperties) this.#watch(request, name)
    if (!covered.user) this.#watchCertificate(request)
    const hasCookies = headers.cookie !== undefined && !covered.cookies
    if (hasCookies) for (const name of cookieProperties) this.#watch(request, name)
    const privateHeaders = Object.keys(headers).filter((name) => this.#isPrivate(name))
    for (const name of privateHeaders) {
      this.#watch(headers, name, () => this.#headersRead.add(name))
    }
    this.#watchLocals(response)
    if (privateHeaders.length === 0) return
    for (const name of rawProperties) this.#watch(request, name)
  }

  /** Whether the response is private. */
  get hasRead(): boolean {
    return this.#hasRead
  }

  /** The headers that the handler has read. It is private unless it varies by them. */
  get headersRead(): readonly string[] {
    return [...this.#headersRead]
  }

  /** Does not notice what middleware in front reads when headers are sent. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused
  }

  /** Ends the watch, for what runs after the handler: express-session reads the session when the response ends. */
  stop(): void {
    for (const restore of this.#restores.splice(0)) restore()
  }

  readonly #onRead = () => {
    this.#hasRead = true
  }

  #isPrivate(name: string): boolean {
    const { cookies, authorization, headers } = this.#covered
    if (headers.includes(name)) return false
    if (name === 'cookie') return !cookies
    if (name === 'authorization') return !authorization
    return unkeyedHeader.test(name)
  }

  #watchCertificate({ socket }: IncomingMessage): void {
    for (const name of certificateMethods) {
      if (socket !== null && name in socket) this.#watch(socket, name)
    }
  }

  /** Middleware in front may have put data of the user into `res.locals`, which every template receives. */
  #watchLocals(response: ServerResponse): void {
    const { locals } = response as { locals?: unknown }
    if (this.#covered.user || typeof locals !== 'object' || locals === null) return
    for (const name of Object.keys(locals)) this.#watch(locals, name)
  }

  #watch(object: object, name: string, onRead: () => unknown = this.#onRead): void {
    const before = Object.getOwnPropertyDescriptor(object, name)
    if (before?.configurable === false) return
    let own: PropertyDescriptor | undefined = before
    const get = () => {
      if (!this.#isPaused) onRead()
      if (own === undefined) return Reflect.get(Object.getPrototypeOf(object) ?? {}, name, object)
      return own.get === undefined ? own.value : own.get.call(object)
    }
    const set = (value: unknown) => {
      if (own?.set !== undefined) own.set.call(object, value)
      else own = { configurable: true, enumerable: true, writable: true, value }
    }
    Object.defineProperty(object, name, { configurable: true, enumerable: true, get, set })
    this.#restores.push(() => {
      // Unless it was deleted or defined anew.
      if (Object.getOwnPropertyDescriptor(object, name)?.get !== get) return
      Reflect.deleteProperty(object, name)
      if (own !== undefined) Object.defineProperty(object, name, own)
    })
  }
}
