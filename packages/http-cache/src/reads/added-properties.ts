import { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
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
  '_startAt',
  '_startTime',
  'app',
  'baseUrl',
  'cache',
  'connection',
  'cookies',
  'headers',
  'log',
  'next',
  'originalUrl',
  'params',
  'query',
  'res',
  'route',
  'secret',
  'signedCookies',
])

/** The state of the router of Express, and of a session, which is watched itself. */
const stateSymbol = /^(?:router|stowage)\./
const sessionSymbol = /^stowage\./

/** Names of the properties that middleware in front has added to a request, also of those that are not enumerable. */
export function addedProperties(request: FrameworkRequest): PropertyKey[] {
  const names: PropertyKey[] = Object.getOwnPropertyNames(request)
  const symbols = Object.getOwnPropertySymbols(request)
  names.push(...symbols.filter(({ description = '' }) => !stateSymbol.test(description)))
  const added = names.filter((name) => !ownNames.has(name))
  // Middleware may use the name of a property of Node or Express for something else.
  if (Reflect.get(request, 'client') !== request.socket) added.push('client')
  if (!isQueryOfUrl(request)) added.push('query')
  return added.filter((name) => name !== 'body' || !isEmpty(Reflect.get(request, name)))
}

/** Symbols under which a session has kept its state. */
export function sessionSymbols(request: IncomingMessage): symbol[] {
  const symbols = Object.getOwnPropertySymbols(request)
  return symbols.filter(({ description = '' }) => sessionSymbol.test(description))
}

/** Compared, because Express 4 and middleware that checks a query assign the one of the URL. */
function isQueryOfUrl(request: FrameworkRequest): boolean {
  const parse = request.app?.get?.('query parser fn')
  if (!Object.hasOwn(request, 'query') || typeof parse !== 'function') return true
  const { url = '' } = request
  try {
    const query = Reflect.get(request, 'query')
    return JSON.stringify(query) === JSON.stringify(parse(url.slice(pathOf(url).length + 1)))
  } catch {
    return false
  }
}

/** Parsers set it although a GET has no body. */
function isEmpty(body: unknown): boolean {
  return !body || (typeof body === 'object' && Object.keys(body).length === 0)
}
