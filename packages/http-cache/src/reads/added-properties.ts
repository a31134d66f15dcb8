import { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

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

/** Names of the properties that middleware in front has added to a request. */
export function addedProperties(request: IncomingMessage): string[] {
  const names = Object.keys(request).filter((name) => !ownNames.has(name))
  // Middleware may use the name of a property of Node for something else.
  if (Reflect.get(request, 'client') !== request.socket) names.push('client')
  return names.filter((name) => name !== 'body' || !isEmpty(Reflect.get(request, name)))
}

/** Symbols under which middleware in front has kept something about a request. */
export function addedSymbols(request: IncomingMessage): symbol[] {
  return Object.getOwnPropertySymbols(request).filter((name) => !ownNames.has(name))
}

/** Parsers set it although a GET has no body. */
function isEmpty(body: unknown): boolean {
  return !body || (typeof body === 'object' && Object.keys(body).length === 0)
}
