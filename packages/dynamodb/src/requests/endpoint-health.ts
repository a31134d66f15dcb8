import { publishTopology } from '@stowage/core/internal'
import { UnreachableError } from '../dynamodb-errors.ts'

/** Requests without a reply, one after the other, after which the endpoint counts as unreachable. */
const maxFailures = 2
const minPauseMs = 50
const maxPauseMs = 1_000

/**
 * Whether the endpoint replies. When it is unreachable, requests fail without being sent, except one at a time after a
 * pause: if that one gets a reply, the endpoint is reachable again. Otherwise every call would wait for its deadline.
 */
export class EndpointHealth {
  readonly #table: string
  #repliedAt = Number.NEGATIVE_INFINITY
  #failures = 0
  #failure: Error | undefined
  #pauseMs = minPauseMs
  #retryAt = 0
  #isProbing = false

  /** @param table for events */
  constructor(table: string) {
    this.#table = table
  }

  /** Why the endpoint is unreachable; `undefined` if a request may be sent. The request must be reported by `ended`. */
  begin(): UnreachableError | undefined {
    if (this.#failure === undefined) return undefined
    if (this.#isProbing || performance.now() < this.#retryAt) {
      return new UnreachableError(this.#failure)
    }
    this.#isProbing = true
    return undefined
  }

  /** A request got a complete reply, even an error. */
  replied(): void {
    this.#repliedAt = performance.now()
    this.#failures = 0
    if (this.#failure !== undefined) this.#publish('up')
    this.#failure = undefined
    this.#pauseMs = minPauseMs
  }

  /** A request that began at `sentAt` got no reply. Counts only if no other request has got one since then. */
  failed(error: Error, sentAt: number): void {
    this.#isProbing = false
    if (this.#repliedAt > sentAt) return
    this.#failures++
    if (this.#failures < maxFailures) return
    if (this.#failure === undefined) this.#publish('down', error)
    this.#failure = error
    this.#retryAt = performance.now() + this.#pauseMs
    this.#pauseMs = Math.min(2 * this.#pauseMs, maxPauseMs)
  }

  /** A request ended without showing whether the endpoint replies, for example for lack of credentials. */
  released(): void {
    this.#isProbing = false
  }

  #publish(change: 'up' | 'down', error?: Error): void {
    publishTopology({ store: 'dynamodb', change, server: this.#table, error })
  }
}
