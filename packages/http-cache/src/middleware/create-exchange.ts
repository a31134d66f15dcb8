import type { ServerResponse } from 'node:http'
import { Exchange } from '../exchange/exchange.ts'
import type { Renderer } from '../exchange/renderer.ts'
import { noDirectives, parseCacheControl } from '../headers/cache-control.ts'
import type { ResolvedOptions } from '../options.ts'
import type { CoveredReads } from '../reads/private-reads.ts'
import { contentHeaders, peekContent, withContent } from '../request/content.ts'
import { credentialIn, isCredential } from '../request/credentials.ts'
import { conditionsOf, hasWritePrecondition } from '../request/request-headers.ts'
import {
  type FrameworkRequest,
  forwardedHeaders,
  isProxyTrusted,
  keyOf,
  ownKeyOf,
  type RequestKey,
} from '../request/request-key.ts'

/** Whether a method is one of those whose responses are stored. */
export function isCacheable(
  method: string | undefined,
  { maxQueryBytes }: ResolvedOptions,
): boolean {
  return method === 'GET' || method === 'HEAD' || (method === 'QUERY' && maxQueryBytes > 0)
}

/** Calls `use` with the keys of a request, or with `undefined` if it bypasses the cache; at once unless it has content. */
export function useKeys(
  request: FrameworkRequest,
  options: ResolvedOptions,
  use: (keys: RequestKey | undefined) => void,
): void {
  const keys = keysFor(request, options)
  if (keys === undefined || request.method !== 'QUERY') {
    use(keys)
    return
  }
  peekContent(request, options.maxQueryBytes, (content) =>
    use(content && withContent(keys, request, content)),
  )
}

function keysFor(request: FrameworkRequest, options: ResolvedOptions): RequestKey | undefined {
  const { when, key } = options
  if (hasWritePrecondition(request)) return undefined
  if (uncoveredCredential(request, options) !== undefined) return undefined
  if (when !== undefined && !isPermitted(when(request))) return undefined
  return key === undefined ? keyOf(request, options.keys) : ownKeyOf(request, key, options.keys)
}

/** Returns the name of a header that identifies the sender of a request, so that it bypasses the cache. */
export function uncoveredCredential(
  { headers }: FrameworkRequest,
  { isPublic, variation }: ResolvedOptions,
): string | undefined {
  return isPublic || variation.coversAll ? undefined : credentialIn(headers, variation.covers)
}

/** @throws TypeError for a promise, which would permit every request */
function isPermitted(result: unknown): boolean {
  if (result === undefined || typeof result === 'boolean') return result === true
  throw new TypeError('when must return a boolean, and no promise.')
}

/** What Express derives from the scheme and the host. */
const schemeProperties = ['protocol', 'secure']
const hostProperties = ['hostname', 'host', 'subdomains']

/** What the key of a request covers, so that its handler may read it. */
export function coveredReads(request: FrameworkRequest, options: ResolvedOptions): CoveredReads {
  const { variation, isPublic, key, ignoredReads } = options
  // A key of the route replaces scheme and host.
  const isOriginInKey = key === undefined
  // Not read from the request again, whose headers are watched.
  const { headers } = request
  const keyed = new Set([
    ...variation.keyed,
    ...(request.method === 'QUERY' ? contentHeaders : []),
    ...(isOriginInKey ? ['host', ...forwardedHeaders(request)] : []),
  ])
  // No request with an uncovered credential uses the cache, so that all that do have none.
  const isAbsent = (name: string) => !isPublic && isCredential(name) && !variation.covers(name)
  return {
    all: variation.coversAll,
    cookies: keyed.has('cookie') || isAbsent('cookie') ? 'all' : variation.cookies,
    header: variation.coversAll
      ? (name) => !isUnkeyed(headers, name) || keyed.has(name)
      : (name) => keyed.has(name) || isAbsent(name),
    properties: [
      ...(isOriginInKey ? hostProperties : []),
      ...(isOriginInKey || !isProxyTrusted(request) ? schemeProperties : []),
    ],
    ignored: ignoredReads,
  }
}

/**
 * Headers from which proxies and applications derive URLs, the method or the identity of the client, and which a function
 * hardly returns: one request could determine the response of all others.
 */
const unkeyedHeader =
  /^(?:x-forwarded-.+|forwarded|x-original-.+|x-rewrite-url|x-host|x-http-.+|x-method-override|x-real-ip|x-client-ip|true-client-ip|cf-connecting-ip|origin|referer|via)$/

function isUnkeyed(headers: object, name: string): boolean {
  return unkeyedHeader.test(name) && Object.hasOwn(headers, name)
}

export function createExchange(
  request: FrameworkRequest,
  response: ServerResponse,
  keys: RequestKey,
  renderer: Renderer,
  options: ResolvedOptions,
): Exchange {
  const { requestDirectives, cache } = options
  const { headers } = request
  const header = requestDirectives ? headers['cache-control'] : undefined
  const isPragma = requestDirectives && header === undefined && headers.pragma === 'no-cache'
  const directives = isPragma ? 'no-cache' : header
  return new Exchange(request, response, keys, renderer, {
    conditions: conditionsOf(request),
    directives: directives === undefined ? noDirectives : parseCacheControl(directives),
    tags: options.tags(request),
    startedAt: cache.clock.now(),
  })
}
