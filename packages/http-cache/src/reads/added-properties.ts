import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { parse as parseQuery } from 'node:querystring'
import { type FrameworkRequest, pathOf } from '../request/request-key.ts'

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
const responseNames = new Set<string>([
  ...Object.getOwnPropertyNames(new ServerResponse(new IncomingMessage(new Socket()))),
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
const socketNames = new Set<string>([
  ...Object.getOwnPropertyNames(new Socket()),
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
  const names: PropertyKey[] = Object.getOwnPropertyNames(request)
  const symbols = Object.getOwnPropertySymbols(request)
  names.push(...symbols.filter(({ description = '' }) => !stateSymbol.test(description)))
  return names.filter((name) => {
    if (!Object.hasOwn(derived, name)) return !ownNames.has(name)
    return Reflect.get(request, name) !== undefined && !derived[name as string]?.(request)
  })
}

/** Names of the properties that middleware in front has added to a response, such as `user`, or replaced, such as `json`. */
export function addedToResponse(response: object): string[] {
  return addedTo(response, responseNames, ServerResponse.prototype)
}

/** Names of the properties that middleware in front has added to a connection. */
export function addedToSocket(socket: object): string[] {
  return addedTo(socket, socketNames, Socket.prototype)
}

/** Fields of Node begin with `_`. */
function addedTo(object: object, known: ReadonlySet<string>, prototype: object): string[] {
  const names = Object.getOwnPropertyNames(object)
  return names.filter((name) => !known.has(name) && !name.startsWith('_') && !(name in prototype))
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

/** Whether all parameters are parts of the path, as they are unless middleware has replaced them. */
function hasParamsOfUrl(request: FrameworkRequest): boolean {
  const { originalUrl, url = '' } = request
  try {
    const path = decodeURIComponent(pathOf(originalUrl ?? url))
    const values: unknown[] = Object.values(Object(Reflect.get(request, 'params'))).flat()
    return values.every((value) => value === undefined || isPartOf(path, value))
  } catch {
    return false
  }
}

/** Whether a value is in the path from one sign between letters or digits to another: `1` is not a part of `/v1`. */
function isPartOf(path: string, value: unknown): boolean {
  if (typeof value !== 'string' && typeof value !== 'number') return false
  const text = String(value)
  for (let at = path.indexOf(text); at >= 0; at = path.indexOf(text, at + 1)) {
    const around = [path[at - 1], path[at + text.length]]
    if (!around.some((sign) => sign !== undefined && /[\p{L}\p{N}]/u.test(sign))) return true
  }
  return false
}

/** Whether a body is what parsers set for a request without one. */
function isEmpty(body: unknown): boolean {
  if (typeof body !== 'object' || body === null) return !body
  const isPlain = [Object.prototype, null].includes(Object.getPrototypeOf(body))
  return isPlain && Reflect.ownKeys(body).length === 0
}
