import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { type Directives, noDirectives, parseCacheControl } from '../headers/cache-control.ts'
import type { ResolvedOptions } from '../options.ts'
import { type Conditions, conditionsOf } from '../request/conditions.ts'
import type { FrameworkRequest, RequestKeys } from '../request/request-keys.ts'
import type { ForwardReason } from '../response/cache-status.ts'
import type { RequestHeaders } from '../storage/response-store.ts'
import type { Renderer } from './renderer.ts'

/**
 * A request that uses the cache, and its response. A class, because V8 learns to allocate object literals like this one in
 * the old generation, where they would keep their request and response alive until the next full collection.
 */
export class Exchange {
  readonly request: FrameworkRequest
  readonly response: ServerResponse
  readonly keys: RequestKeys
  readonly renderer: Renderer
  /** The headers that a response may vary by, as they were received. */
  readonly headers: RequestHeaders
  readonly hasAuthorization: boolean
  readonly conditions: Conditions
  /** Of the request; empty if they are ignored. */
  readonly directives: Directives
  readonly tags: readonly string[]
  /** Epoch milliseconds. */
  readonly startedAt: number
  /** Whether no client waits: a stale response was sent already. */
  readonly isBackground: boolean = false
  /** Why the handler is called. */
  reason: ForwardReason = 'uri-miss'
  /** Whether a stale response may be sent while another request refreshes it. */
  mayBeSentStale = false
  /** Whether the handler runs for this request, or the response was answered. */
  isTaken = false

  constructor(
    request: FrameworkRequest,
    response: ServerResponse,
    keys: RequestKeys,
    renderer: Renderer,
    { requestDirectives, cache }: ResolvedOptions,
    tags: readonly string[],
  ) {
    const { headers } = request
    this.request = request
    this.response = response
    this.keys = keys
    this.renderer = renderer
    this.headers = headers
    this.hasAuthorization = headers.authorization !== undefined
    this.conditions = conditionsOf(request)
    this.directives = requestDirectives ? directivesOf(headers) : noDirectives
    this.tags = tags
    this.startedAt = cache.clock.now()
  }
}

/** `Pragma` counts in place of a missing `Cache-Control` (RFC 9111 section 5.4). */
function directivesOf({ pragma, 'cache-control': header }: IncomingHttpHeaders): Directives {
  return parseCacheControl(header === undefined && pragma === 'no-cache' ? pragma : header)
}
