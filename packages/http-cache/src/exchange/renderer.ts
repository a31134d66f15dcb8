import type { Duration } from '@stowage/core'
import type { Refusal } from '../policy/storing.ts'
import type { Validators } from '../request/conditions.ts'
import type { CapturedResponse, Decision, ResponseHead } from '../response/capture.ts'

/** What is known about a response besides what it contains. The first three were requested with `response.cache`. */
export interface RenderFacts {
  readonly ttl: Duration | undefined
  readonly tags: readonly string[]
  readonly isExcluded: boolean
  /** What the handler has read that makes the response private, if anything. */
  readonly privateRead: string | undefined
  /** Headers that the handler has read, and that are private unless the response varies by them. */
  readonly headersRead: readonly string[]
  /** Whether other requests may lack what was read: a header, or what middleware in front has added for this request. */
  readonly isOfRequest: boolean
}

export interface Rendered {
  readonly captured: CapturedResponse
  readonly facts: RenderFacts
}

/** Decides what is sent to the client whose request has called the handler. */
export interface RenderDecisions {
  /** The validators of the stale response, which the request to the handler contains. */
  readonly validators: Validators | undefined
  onHead(head: ResponseHead, facts: RenderFacts): Decision
  /** Called if the body cannot be stored, while it is being sent. */
  onOversize(): void
  onComplete(captured: CapturedResponse, facts: RenderFacts): Decision
  /** Called if the handler fails, or its response cannot be rendered, before `render` rejects. */
  onFail(facts: RenderFacts): void
}

/** Runs the handler of a route. */
export interface Renderer {
  /** Whether the handler runs apart from the client, so that it needs none. */
  readonly isDetached: boolean
  /** Called before a stale response is sent while `render` runs in the background: it needs the headers set so far. */
  prepare?(): void
  /** Rejects if the handler fails, or its response is not completed. */
  render(decisions: RenderDecisions): Promise<Rendered>
  /** Runs the handler for the client, without the cache. */
  bypass(): void
  /** Ends `render` after the last client that waits for it has left. Absent if the response is that of one client. */
  stop?(): void
  /** Answers the client after `render` has failed. */
  fail(error: unknown): void
}

/** The response of a handler was not completed, as its client has gone. */
export class IncompleteResponseError extends Error {
  override readonly name: string = 'IncompleteResponseError'

  constructor() {
    super('The response was not completed.')
  }
}

/** A response cannot be sent once it is complete, as it is too large, has no end, or its client does not read. */
export class StreamedResponseError extends Error {
  override readonly name: string = 'StreamedResponseError'
  readonly refusal: Refusal

  constructor(refusal: Refusal) {
    super('The response cannot be rendered apart from its client.')
    this.refusal = refusal
  }
}
