import type { ServerResponse } from 'node:http'
import { Exchange } from '../exchange/exchange.ts'
import type { Renderer } from '../exchange/renderer.ts'
import { noDirectives, parseCacheControl } from '../headers/cache-control.ts'
import type { ResolvedOptions } from '../options.ts'
import type { CoveredReads } from '../request/private-reads.ts'
import { conditionsOf, hasWritePrecondition } from '../request/request-headers.ts'
import {
  type FrameworkRequest,
  forwardedHeaders,
  keyOf,
  ownKeyOf,
  type RequestKey,
} from '../request/request-key.ts'

/** Returns the keys of a request, or `undefined` if it bypasses the cache. */
export function keysFor(
  request: FrameworkRequest,
  options: ResolvedOptions,
): RequestKey | undefined {
  const { isPublic, variation, when, key } = options
  const { authorization, cookie } = request.headers
  if (hasWritePrecondition(request)) return undefined
  if (cookie !== undefined && !isPublic && !variation.coversCookies) return undefined
  if (authorization !== undefined && !isPublic && !variation.coversAuthorization) return undefined
  if (when !== undefined && !isPermitted(when(request))) return undefined
  return key === undefined ? keyOf(request, options.keys) : ownKeyOf(request, key, options.keys)
}

/** @throws TypeError for a promise, which would permit every request */
function isPermitted(result: unknown): boolean {
  if (result === undefined || typeof result === 'boolean') return result === true
  throw new TypeError('when must return a boolean, and no promise.')
}

/** What the key of a request covers, so that its handler may read it. */
export function coveredReads(request: FrameworkRequest, options: ResolvedOptions): CoveredReads {
  const { coversAuthorization, coversCookies, coversUser, headers } = options.variation
  return {
    user: coversUser,
    cookies: coversCookies,
    authorization: coversAuthorization,
    headers: [...headers.filter((name) => name !== 'cookie'), ...forwardedHeaders(request)],
  }
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
