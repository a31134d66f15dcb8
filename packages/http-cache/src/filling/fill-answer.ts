import { reportError } from '../channels.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { CacheOutcome } from '../response/cache-status.ts'
import type { CapturedResponse, Decision } from '../response/capture.ts'
import type { CompleteResponse, FillScope } from './store-response.ts'

/** Answers the client whose request has called the handler, unless the handler has done so itself. */
export class FillAnswer {
  readonly #scope: FillScope
  readonly #exchange: Exchange
  readonly #key: string
  /** Whether the response of the handler was held back, so that another one must be sent. */
  #isHeld = false

  constructor(scope: FillScope, exchange: Exchange, key: string) {
    this.#scope = scope
    this.#exchange = exchange
    this.#key = key
  }

  /** Holds back the response of the handler. */
  hold(): Decision {
    this.#isHeld = true
    return 'hold'
  }

  /** Sends a stored response. */
  async send(stored: CompleteResponse, outcome: CacheOutcome): Promise<void> {
    if (this.#isAwaited) await this.#scope.sender.send(this.#exchange, stored, outcome)
  }

  /** Sends what the handler has written, which is not stored. */
  sendCaptured(captured: CapturedResponse, outcome: CacheOutcome): void {
    if (this.#isAwaited) this.#scope.sender.sendCaptured(this.#exchange, captured, outcome)
  }

  /** An error of the cache, or of what the handler requests: the client receives what the handler has written. */
  sendUnstored(captured: CapturedResponse, error: unknown): void {
    const { reason, renderer, response } = this.#exchange
    reportError(this.#scope.options.cache.name, this.#key, error)
    try {
      this.sendCaptured(captured, { forwarded: reason, detail: 'store-failure' })
    } catch (failure) {
      // Node cannot send it: its message is invalid, for example.
      if (renderer.isDetached) renderer.fail(failure)
      else response.destroy()
    }
  }

  get #isAwaited(): boolean {
    const { isBackground, renderer } = this.#exchange
    return !isBackground && (renderer.isDetached || this.#isHeld)
  }
}
