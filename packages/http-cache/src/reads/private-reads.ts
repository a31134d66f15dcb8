import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { FrameworkRequest } from '../request/request-keys.ts'
import { addedProperties, addedToResponse, isPlain } from './added-properties.ts'
import { clientProperties, onClientRead } from './socket-watch.ts'
import { watchNames } from './watched-names.ts'

/**
 * What frameworks and middleware add to a request for one user: express-session and Passport, express-jwt, OpenID Connect,
 * Keycloak; and the address of the client in Express. Watched also where it is absent, as it is for those who have not
 * signed in.
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
/** What Node has parsed of the request besides the URL and the headers, or middleware in front has replaced. */
const messageProperties = [
  'httpVersion',
  'httpVersionMajor',
  'httpVersionMinor',
  'rawTrailers',
  'statusCode',
  'statusMessage',
  'trailers',
  'trailersDistinct',
] as const
/** All headers in another form. */
const rawProperties = ['rawHeaders', 'headersDistinct'] as const
/** What Express derives from the scheme and the host. */
const derivedProperties = ['protocol', 'secure', 'hostname', 'host', 'subdomains'] as const

/** What a router behind the cache sets for each route. What it has set then is not what middleware in front has. */
const routerProperties = new Set<PropertyKey>(['baseUrl', 'params', 'query', 'route'])

/**
 * The request headers that a handler may read although they are not part of the key. `If-…`, `Range` and `Accept-Encoding`
 * are hidden from it, requests with a body bypass the cache, and Express reads `Cache-Control` with `req.fresh`.
 */
const safeHeaders = new Set([
  'accept-encoding',
  'cache-control',
  'connection',
  'content-length',
  'expect',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'pragma',
  'range',
  'transfer-encoding',
  'upgrade',
])

/**
 * What browsers and proxies send in those of them that are not hidden. A client that sends anything else could determine what
 * all others receive.
 */
const plainValue = /^(?:100-continue|close|keep-alive|max-age=0|no-cache|no-store)$/i
const freeHeaders = new Set(['cache-control', 'connection', 'expect', 'pragma'])

/** What is expected to be read, because the key covers it. */
export interface CoveredReads {
  /** Whether `varyBy` is a function: then the route states itself what its responses depend on. */
  readonly all: boolean
  /** Names of cookies that are part of the key; `'all'` also if no request with cookies uses the cache. */
  readonly cookies: ReadonlySet<string> | 'all'
  /** Whether a header is part of the key, or that of no request that uses the cache. */
  readonly header: (name: string) => boolean
  /** Properties that Express derives from what is part of the key. */
  readonly properties: readonly string[]
  /** Names of `ignoreReads`. */
  readonly ignored: ReadonlySet<string>
}

/** What every request has, or is watched also where it is absent. */
const ofAllRequests = new Set<string>([
  ...[...userProperties, ...messageProperties, ...rawProperties, ...derivedProperties].map(
    (name) => `request.${name}`,
  ),
  ...[...clientProperties, 'inspect'].map((name) => `socket.${name}`),
])

/**
 * Notices what a handler reads of the request, besides what the key covers: then its response must not be shared. Headers
 * and cookies count also if the request has none, because those that have one must not receive this response.
 */
export class PrivateReads {
  #read: string | undefined
  #isPaused = false
  readonly #headersRead = new Set<string>()
  readonly #restores: (() => void)[] = []
  readonly #covered: CoveredReads
  readonly #request: IncomingMessage
  /** As they were before they were watched. */
  readonly #headers: IncomingHttpHeaders

  /** @param original the request that middleware in front has added properties to */
  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    covered: CoveredReads,
    original: IncomingMessage = request,
  ) {
    this.#covered = covered
    this.#request = request
    this.#headers = request.headers
    if (covered.all) this.#watchUnkeyed()
    else this.#watchRequest(response, original)
    this.#watchHeaders()
  }

  /** What the handler has read that makes the response private, if anything. */
  get read(): string | undefined {
    return this.#read
  }

  /** The headers that the handler has read. The response is private unless it varies by them. */
  get headersRead(): readonly string[] {
    return [...this.#headersRead]
  }

  /**
   * Whether other requests may lack what was read: a header, or what middleware in front has added to this one, perhaps
   * because of a header.
   */
  get isOfRequest(): boolean {
    const read = this.#read ?? ''
    const isAdded = /^(?:request|response|locals|socket)\./.test(read) && !ofAllRequests.has(read)
    return isAdded || this.#headersRead.size > 0
  }

  /** The response has, or the handler has read, what middleware in front has set: a header, or the status. */
  addFrontRead(name: string): void {
    if (!this.#covered.all) this.#onRead(`response.${name}`)
  }

  /** Does not notice what middleware in front, or the cache itself, reads when headers are sent. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused
  }

  /** Ends the watch, for what runs after the handler: express-session reads the session when the response ends. */
  stop(): void {
    this.#isPaused = true
    for (const restore of this.#restores.splice(0)) restore()
  }

  #watchRequest(response: ServerResponse, original: IncomingMessage): void {
    const request = this.#request
    this.#watchCookies()
    const known = [...userProperties, ...messageProperties, ...rawProperties]
    for (const name of new Set([...known, ...addedProperties(original)]))
      this.#watch(request, name, `request.${textOf(name)}`)
    for (const name of addedToResponse(response))
      this.#watch(response, name, `response.${textOf(name)}`)
    this.#watchDerived()
    this.#watchLocals(response)
    if (request.socket) {
      const onRead = (name: PropertyKey) => this.#onRead(`socket.${textOf(name)}`)
      this.#restores.push(onClientRead(request.socket, onRead))
    }
  }

  /** A function covers users. Headers from which URLs are derived count if the request has one. */
  #watchUnkeyed(): void {
    const isUnkeyed = (name: string) => !safeHeaders.has(name) && !this.#covered.header(name)
    if (!Object.keys(this.#request.headers).some(isUnkeyed)) return
    for (const name of rawProperties) this.#watch(this.#request, name, `request.${name}`)
  }

  #onRead(label: string): void {
    if (!this.#isPaused && !this.#covered.ignored.has(label)) this.#read ??= label
  }

  #unwatched<T>(read: () => T): T {
    const wasPaused = this.#isPaused
    this.#isPaused = true
    try {
      return read()
    } finally {
      this.#isPaused = wasPaused
    }
  }

  #onHeaderRead(name: string | undefined): void {
    if (name === undefined) {
      if (!this.#covered.all) this.#onRead('headers')
      return
    }
    const { ignored, header } = this.#covered
    const key = name.toLowerCase()
    if (this.#isPaused || ignored.has('headers') || ignored.has(key)) return
    if (header(key) || (safeHeaders.has(key) && this.#isPlain(key))) return
    this.#headersRead.add(key)
  }

  #isPlain(name: string): boolean {
    if (!freeHeaders.has(name)) return true
    const value = this.#headers[name]
    return value === undefined || plainValue.test(String(value))
  }

  /** Assigned, because Node keeps the headers under a symbol, which `util.inspect(request)` shows. */
  #watchHeaders(): void {
    const request = this.#request
    const headers = this.#headers
    const watched = watchNames(headers, (name) => this.#onHeaderRead(name))
    Reflect.set(request, 'headers', watched)
    // Its reads cannot be noticed.
    if (request.headers !== watched) this.#onHeaderRead(undefined)
    this.#restores.push(() => {
      if (request.headers === watched) request.headers = headers
    })
  }

  #watchCookies(): void {
    const { cookies } = this.#covered
    if (cookies === 'all') return
    for (const property of cookieProperties) {
      const value: unknown = Reflect.get(this.#request, property)
      if (value === undefined || value === null) continue
      // The methods of a Map need the Map itself.
      if (!isPlain(value)) {
        this.#watch(this.#request, property, 'cookie')
        continue
      }
      const watched = watchNames(value, (name) => {
        if (name === undefined) this.#onRead('cookie')
        else if (!cookies.has(name)) this.#onRead(`cookie:${name}`)
      })
      this.#replace(this.#request, property, { writable: true, value: watched })
    }
  }

  /** Express reads the address of the proxy for them, in order to know whether it is trusted. */
  #watchDerived(): void {
    const request = this.#request
    const trust = trustOf(request)
    for (const name of derivedProperties) {
      if (!(name in request) || Object.hasOwn(request, name)) continue
      const label = `request.${name}`
      const isCovered = this.#covered.properties.includes(name)
      // An application that is mounted behind the cache may trust other proxies than that which the key is made by.
      const covered = () => (trustOf(request) === trust ? undefined : label)
      this.#watch(request, name, isCovered ? covered : label)
    }
  }

  /** Middleware in front may have put data of the user into `res.locals`, which every template receives. */
  #watchLocals(response: ServerResponse): void {
    const { locals } = response as { locals?: unknown }
    if (locals === undefined || locals === null) return
    if (!isPlain(locals)) {
      this.#watch(response, 'locals', 'locals')
      return
    }
    for (const name of Reflect.ownKeys(locals)) {
      this.#watch(locals, name, `locals.${textOf(name)}`)
    }
  }

  /** @param label of the read; a function returns `undefined` for what the key covers */
  #watch(object: object, name: PropertyKey, label: string | (() => string | undefined)): void {
    const report = () => {
      const text = typeof label === 'string' ? label : label()
      if (text !== undefined) this.#onRead(text)
    }
    const before = Object.getOwnPropertyDescriptor(object, name)
    // Its reads cannot be noticed.
    if (before === undefined ? !Object.isExtensible(object) : !before.configurable) {
      report()
      return
    }
    let own = before
    let isSet = false
    const get = () => {
      if (!isSet) report()
      if (own !== undefined && own.get === undefined) return own.value
      // What an accessor reads in turn is part of this read.
      return this.#unwatched(() =>
        own === undefined
          ? Reflect.get(Object.getPrototypeOf(object) ?? {}, name, object)
          : own.get?.call(object),
      )
    }
    const set = (value: unknown) => {
      isSet = routerProperties.has(name)
      if (own?.set !== undefined) own.set.call(object, value)
      else own = { configurable: true, enumerable: true, writable: true, value }
    }
    this.#replace(object, name, { get, set }, () => own)
  }

  /** @param currentOf what the property is defined as afterwards, if not as before */
  #replace(
    object: object,
    name: PropertyKey,
    descriptor: PropertyDescriptor,
    currentOf?: () => PropertyDescriptor | undefined,
  ): void {
    const before = Object.getOwnPropertyDescriptor(object, name)
    if (before?.configurable === false) return
    Object.defineProperty(object, name, { configurable: true, enumerable: true, ...descriptor })
    this.#restores.push(() => {
      // Unless it was deleted or defined anew.
      const { get, value } = Object.getOwnPropertyDescriptor(object, name) ?? {}
      if (get !== descriptor.get || value !== descriptor.value) return
      const current = currentOf === undefined ? before : currentOf()
      Reflect.deleteProperty(object, name)
      if (current !== undefined) Object.defineProperty(object, name, current)
    })
  }
}

/** The setting `trust proxy` of the application of Express that handles the request now. */
function trustOf(request: IncomingMessage): unknown {
  const { app } = request as FrameworkRequest
  return app?.get?.('trust proxy fn')
}

function textOf(name: PropertyKey): string {
  return typeof name === 'symbol' ? (name.description ?? 'symbol') : String(name)
}
