import type { ServerResponse } from 'node:http'
import type { Directives } from '../headers/cache-control.ts'
import type { Conditions } from '../request/request-headers.ts'
import type { FrameworkRequest, RequestKey } from '../request/request-key.ts'
import type { ForwardReason } from '../response/cache-status.ts'
import type { RequestHeaders } from '../storage/response-store.ts'
import type { Renderer } from './renderer.ts'

/** What is known of a request when it arrives. */
export interface RequestState {
  readonly conditions: Conditions
  /** Of the request; empty if they are ignored. */
  readonly directives: Directives
  readonly tags: readonly string[]
  /** Epoch milliseconds. */
  readonly startedAt: number
}

/**
 * A request that uses the cache, and its response. A class, because V8 learns to allocate object literals like this one in
 * the old generation, where they would keep their request and response alive until the next full collection.
 */
export class Exchange implements RequestState {
  readonly request: FrameworkRequest
  readonly response: ServerResponse
  readonly keys: RequestKey
  readonly renderer: Renderer
  /** The headers that a response may vary by, as they were received. */
  readonly headers: RequestHeaders
  readonly hasAuthorization: boolean
  readonly conditions: Conditions
  readonly directives: Directives
  readonly tags: readonly string[]
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
    keys: RequestKey,
    renderer: Renderer,
    { conditions, directives, tags, startedAt }: RequestState,
  ) {
    const { headers } = request
    this.request = request
    this.response = response
    this.keys = keys
    this.renderer = renderer
    this.headers = headers
    this.hasAuthorization = headers.authorization !== undefined
    this.conditions = conditions
    this.directives = directives
    this.tags = tags
    this.startedAt = startedAt
  }
}
