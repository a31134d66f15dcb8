import { EventEmitter } from 'node:events'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { parse as parseQuery } from 'node:querystring'
import { inspect, types } from 'node:util'
import { type FrameworkRequest, pathOf } from '../request/request-keys.ts'

/**
 * What Node, Express and parsers add to each request: it is the same for all, or follows from the URL, or leads to what is
 * watched itself. A logger receives values and returns none.
 */
const ownNames = new Set<PropertyKey>([
  ...Reflect.ownKeys(new IncomingMessage(null as unknown as Socket)),
  '__onFinished',
  '_body',
  '_closed',
  '_eventsCount',
  '_parsedOriginalUrl',
  '_parsedUrl',
  'cache',
  'cookies',
  'headers',
  'log',
  'next',
  'originalUrl',
  'res',
  'signedCookies',
])

/**
 * The same for a response. Middleware replaces methods of Node, such as `write` and `on`, for each response, also for one
 * from the cache.
 */
const responseNames = new Set<PropertyKey>([
  ...Reflect.ownKeys(new ServerResponse(new IncomingMessage(new Socket()))),
  '__onFinished',
  '_expect_continue',
  '_maxRequestsPerSocket',
  'app',
  'cache',
  // Added by `compression`.
  'flush',
  // Its properties are watched themselves.
  'locals',
  'log',
  'writable',
])

/** The same for a connection, which Node serves requests on. */
const socketNames = new Set<PropertyKey>([
  ...Reflect.ownKeys(new Socket()),
  inspect.custom,
  'alpnProtocol',
  'authorizationError',
  'authorized',
  'encrypted',
  'parser',
  'secureConnecting',
  'servername',
  'ssl',
  'timeout',
])

/** The state of the router of Express, and of a session, which is watched itself. */
const stateSymbol =
  /^(?:router\.tracing\.matchedRoute|router\.tracing\.publishedErrors|stowage\..*)$/
const sessionSymbol = /^stowage\./
/** Fields that Node adds to a response or a connection once it serves requests. */
const fieldOfNode = /^(?:kUniqueHeaders|alpncallback|error-emitted|pendingSession|res|verified)$/

/**
 * What programs that observe a process add to requests, responses and connections, also those that are loaded after this
 * module: the routes that OpenTelemetry has seen, which cannot be redefined; the id of `node:trace_events`; the span of
 * Sentry; and what the package `emitter-listener` binds listeners with, for `cls-hooked`.
 */
const observerNames = new Set<PropertyKey>([
  '__ot_middlewares',
  '__unwrap',
  '__wrapped',
  '_startSpanCallback',
  '_traceEventId',
  'wrap@before',
])
/**
 * The same with symbols: the listeners that OpenTelemetry, Sentry and Elastic APM bind to a context, the transaction of New
 * Relic, and what a `PerformanceObserver` measures.
 */
const observerSymbol =
  /^(?:\w+Listeners|ServerResponseStatistics|sentry_http_server_instrumented|transactionInfo)$/

/** What frameworks add to each request, and whether it is what they derive from the URL, and nothing of middleware. */
const derived: Readonly<Record<string, (request: FrameworkRequest) => boolean>> = {
  baseUrl: ({ baseUrl = '', originalUrl, url }) =>
    (originalUrl ?? url)?.startsWith(baseUrl) === true,
  // Parsers set it although a GET has no body.
  body: (request) => isEmpty(Reflect.get(request, 'body')),
  client: (request) => Reflect.get(request, 'client') === request.socket,
  connection: (request) => Reflect.get(request, 'connection') === request.socket,
  params: hasParamsOfUrl,
  query: isQueryOfUrl,
  // The one that the application has defined, which all requests for it share.
  route: (request) => Object.hasOwn(Object(Reflect.get(request, 'route')), 'stack'),
}

/** Names of the properties that middleware in front has added to a request, also of those that are not enumerable. */
export function addedProperties(request: FrameworkRequest): PropertyKey[] {
  return Reflect.ownKeys(request).filter((name) => {
    if (typeof name === 'symbol' && stateSymbol.test(name.description ?? '')) return false
    if (isOfObserver(request, name) || isListenerMethod(request, name)) return false
    if (!Object.hasOwn(derived, name)) return !ownNames.has(name)
    return Reflect.get(request, name) !== undefined && !derived[name as string]?.(request)
  })
}

/** Names of the properties that middleware in front has added to a response, such as `user`, or replaced, such as `json`. */
export function addedToResponse(response: object): PropertyKey[] {
  return addedTo(response, responseNames, ServerResponse.prototype)
}

/** Names of the properties that middleware in front has added to a connection. Node adds fields that begin with `_`. */
export function addedToSocket(socket: object): PropertyKey[] {
  const names = addedTo(socket, socketNames, Socket.prototype)
  return names.filter((name) => typeof name === 'symbol' || !String(name).startsWith('_'))
}

function addedTo(object: object, known: ReadonlySet<PropertyKey>, prototype: object) {
  const isAdded = (name: PropertyKey) => !known.has(name) && !(name in prototype)
  const isOfNode = (name: PropertyKey) =>
    typeof name === 'symbol' && fieldOfNode.test(name.description ?? '')
  return Reflect.ownKeys(object).filter(
    (name) => isAdded(name) && !isOfNode(name) && !isOfObserver(object, name),
  )
}

/** Whether a property is there because something observes the process, and says nothing about a client. */
function isOfObserver(object: object, name: PropertyKey): boolean {
  if (typeof name === 'symbol') return observerSymbol.test(name.description ?? '')
  return name === 'domain' ? isDomainOfProcess(object) : observerNames.has(name)
}

/**
 * Whether `node:domain` has set the property, which a program may have loaded with `node:repl`: Node reads it for each event.
 * Middleware may use the same name, for example for that of a customer.
 */
function isDomainOfProcess(object: object): boolean {
  const domain: unknown = Reflect.get(object, 'domain')
  return domain === null || domain === Reflect.get(process, 'domain')
}

/** Whether middleware has replaced a method such as `on`, in order to bind listeners to a context. */
function isListenerMethod(request: IncomingMessage, name: PropertyKey): boolean {
  return name in EventEmitter.prototype && typeof Reflect.get(request, name) === 'function'
}

/** Symbols under which a session has kept its state. */
export function sessionSymbols(request: IncomingMessage): symbol[] {
  const symbols = Object.getOwnPropertySymbols(request)
  return symbols.filter(({ description = '' }) => sessionSymbol.test(description))
}

/** Compared, because Express 4 and middleware that checks a query assign the one of the URL. */
function isQueryOfUrl(request: FrameworkRequest): boolean {
  const setting = request.app?.get?.('query parser fn')
  const parse = typeof setting === 'function' ? setting : parseQuery
  const { url = '' } = request
  const search = url.slice(pathOf(url).length + 1)
  const query: unknown = Reflect.get(request, 'query')
  try {
    if (query instanceof URLSearchParams) return `${query}` === `${new URLSearchParams(search)}`
    return JSON.stringify(query) === JSON.stringify(parse(search))
  } catch {
    return false
  }
}

/** Clients determine the path, up to 16 KB. What takes longer to find counts as replaced. */
const maxParams = 100
/** How many characters are compared in the search for a parameter. */
const maxCompared = 1_000_000

/**
 * Whether each parameter is a part of the path, and another one than the others, as they are unless middleware has
 * replaced or added some.
 */
function hasParamsOfUrl(request: FrameworkRequest): boolean {
  const { originalUrl, url = '' } = request
  try {
    let path = decodeURIComponent(pathOf(originalUrl ?? url))
    const values: unknown[] = Object.values(Object(Reflect.get(request, 'params'))).flat()
    const present = values.filter((value) => value !== undefined)
    const isText = (value: unknown) => typeof value === 'string' || typeof value === 'number'
    if (present.length > maxParams || !present.every(isText)) return false
    // A shorter one may be within a longer one.
    for (const text of present.map(String).sort((a, b) => b.length - a.length)) {
      const at = positionOf(text, path)
      if (at < 0) return false
      path = `${path.slice(0, at)}/${path.slice(at + text.length)}`
    }
    return true
  } catch {
    return false
  }
}

/**
 * Where a text is in the path from one sign between letters or digits to another: `1` is not a part of `/v1`. Not by one
 * `indexOf`, which takes quadratic time for a long text of few different characters.
 */
function positionOf(text: string, path: string): number {
  const first = text.slice(0, 1)
  let compared = 0
  for (let at = path.indexOf(first); at >= 0; at = path.indexOf(first, at + 1)) {
    if (isBoundary(path[at - 1]) && isBoundary(path[at + text.length])) {
      if (path.startsWith(text, at)) return at
      compared += text.length
    }
    if (at + text.length >= path.length || compared > maxCompared) break
  }
  return -1
}

function isBoundary(sign: string | undefined): boolean {
  return sign === undefined || !/[\p{L}\p{N}]/u.test(sign)
}

/** Whether a body is what parsers set for a request without one. */
function isEmpty(body: unknown): boolean {
  return isPlain(body) ? Reflect.ownKeys(body).length === 0 : !body
}

/** Whether all that an object contains are its own properties, which can be watched. */
export function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || types.isProxy(value)) return false
  return [Object.prototype, null].includes(Object.getPrototypeOf(value))
}
