import type { ServerResponse } from 'node:http'
import type { Directives } from '../headers/cache-control.ts'
import type { Conditions } from '../request/request-headers.ts'
import type { FrameworkRequest, RequestKey } from '../request/request-key.ts'
import type { ForwardReason } from '../response/cache-status.ts'
import type { RequestHeaders } from '../storage/response-store.ts'
import type { Renderer } from './renderer.ts'

/** A request that uses the cache, and its response. */
export interface Exchange {
  readonly request: FrameworkRequest
  readonly response: ServerResponse
  readonly keys: RequestKey
  /** The headers that a response may vary by, as they were received. */
  readonly headers: RequestHeaders
  readonly conditions: Conditions
  /** Of the request; empty if they are ignored. */
  readonly directives: Directives
  readonly tags: readonly string[]
  readonly hasAuthorization: boolean
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly renderer: Renderer
  /** Whether no client waits: a stale response was sent already. */
  readonly isBackground: boolean
  /** Why the handler is called. */
  reason: ForwardReason
  /** Whether a stale response may be sent while another request refreshes it. */
  mayBeSentStale: boolean
  /** Whether the handler runs for this request, or the response was answered. */
  isTaken: boolean
}
