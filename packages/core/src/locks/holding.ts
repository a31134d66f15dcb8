import { Deferred } from '../calls/deferred.ts'
import { onAbort } from '../calls/on-abort.ts'
import type { Awaitable } from '../store.ts'
import { after } from '../time/wait.ts'
import type { HeldLock } from './lock.ts'
import type { LockContext, LockName } from './lock-context.ts'
import type { Tenure } from './tenure.ts'

/** Work that runs while it holds a lock. */
export class Holding {
  readonly #context: LockContext
  readonly #name: LockName
  readonly #tenure: Tenure
  readonly #controller = new AbortController()
  readonly #startedAt = performance.now()
  /** For how long `close()` waits. */
  readonly #ended = new Deferred<void>()
  #isLost = false
  #cancelClose = () => {}

  constructor(context: LockContext, name: LockName, tenure: Tenure) {
    this.#context = context
    this.#name = name
    this.#tenure = tenure
  }

  /** Runs the work, and releases the lock when it has settled. */
  async run<T>(work: (held: HeldLock) => Awaitable<T>, outer: AbortSignal | undefined): Promise<T> {
    const { signal } = this.#controller
    const { activeLoads } = this.#context
    const active = { abort: (reason: unknown) => this.#close(reason) }
    const abort = () => this.#controller.abort(outer?.reason)
    const renewal = new Renewal(this.#tenure, () => this.#lose())
    activeLoads.add(active)
    activeLoads.trackBackground(this.#ended.promise)
    const stopListening = outer && onAbort(outer, abort)
    try {
      if (outer?.aborted) abort()
      return await work({ signal, fence: () => this.#fence() })
    } finally {
      renewal.stop()
      stopListening?.()
      activeLoads.remove(active)
      await this.#release()
      this.#cancelClose()
      this.#ended.resolve()
    }
  }

  async #fence(): Promise<number> {
    const number = await this.#context.fences.next(this.#name.fenceKey)
    // A number that was drawn after the lock was lost would be higher than that of the next holder.
    if (this.#isLost || !(await this.#tenure.renew())) throw this.#lostError()
    return number
  }

  #lose(): void {
    this.#isLost = true
    this.#publish('lost')
    this.#controller.abort(this.#lostError())
  }

  /** A failure is not one of the work: the lock ends with its ttl. */
  async #release(): Promise<void> {
    const { key, queueKey } = this.#name
    try {
      const isReleased = await this.#tenure.end()
      if (isReleased) this.#context.notifyReleased(queueKey)
      if (!this.#isLost) this.#publish(isReleased ? 'released' : 'lost')
    } catch (error) {
      this.#context.publishError(key, error)
    }
  }

  /** The work may ignore its signal: the lock then ends with its ttl. */
  #close(reason: unknown): void {
    this.#controller.abort(reason)
    // The process must not end before, although nothing else may keep it alive.
    this.#cancelClose = after(this.#tenure.facts.ttl, () => this.#ended.resolve(), true)
  }

  #publish(outcome: 'released' | 'lost'): void {
    this.#context.publish(this.#name.key, outcome, performance.now() - this.#startedAt)
  }

  #lostError(): Error {
    const problem = 'was lost: it could not be renewed in time, or was deleted.'
    return this.#context.lockedError(this.#name, problem)
  }
}

/** The share of the time for which the lock is certainly held, after which it is renewed: a third of its ttl. */
const renewShare = 0.37
/** The share of the ttl after which a renewal that failed is repeated. */
const retryShare = 1 / 12

/**
 * Renews a lock until it is stopped or lost. The lock counts as lost when the backend says so, and shortly before another
 * process could hold it because no renewal has succeeded in time.
 */
class Renewal {
  readonly #tenure: Tenure
  readonly #onLost: () => void
  #cancelRenewal = () => {}
  #cancelLoss = () => {}
  #isOver = false

  /** @param onLost called once, unless the renewal is stopped before */
  constructor(tenure: Tenure, onLost: () => void) {
    this.#tenure = tenure
    this.#onLost = onLost
    tenure.onRenewal = (isHeld) => {
      if (this.#isOver) return
      if (isHeld) this.#schedule()
      else this.#lose()
    }
    this.#schedule()
  }

  stop(): void {
    this.#isOver = true
    this.#cancelRenewal()
    this.#cancelLoss()
  }

  #schedule(): void {
    const { safeMs } = this.#tenure
    this.#cancelLoss()
    this.#cancelLoss = after(Math.max(0, safeMs), () => this.#lose())
    this.#renewAfter(safeMs * renewShare)
  }

  #renewAfter(ms: number): void {
    this.#cancelRenewal()
    this.#cancelRenewal = after(Math.max(0, ms), () => this.#renew())
  }

  #renew(): void {
    Promise.resolve(this.#tenure.renew()).catch(() => {
      if (!this.#isOver) this.#renewAfter(this.#tenure.facts.ttl * retryShare)
    })
  }

  #lose(): void {
    this.stop()
    this.#onLost()
  }
}
