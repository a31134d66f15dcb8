import { answerWithin, DeadlineError } from '@stowage/core/driver'
import { Deferred } from '@stowage/core/internal'

/**
 * Limits the requests in flight, and thereby the connections. Later requests wait in order. The wait belongs to the call,
 * not to the request, whose own timeout begins when it is sent.
 */
export class RequestSlots {
  #free: number
  readonly #waiting = new Set<Deferred<void>>()

  constructor(count: number) {
    this.#free = count
  }

  /** Takes a slot if one is free. */
  tryAcquire(): boolean {
    if (this.#free === 0) return false
    this.#free--
    return true
  }

  /** Waits for a slot. @throws DeadlineError */
  async acquire(deadline: number): Promise<void> {
    const slot = new Deferred<void>()
    this.#waiting.add(slot)
    try {
      await answerWithin(deadline - performance.now(), slot.promise, notSent)
    } catch (error) {
      // A slot that was assigned in the meantime is passed on.
      if (!this.#waiting.delete(slot)) this.release()
      throw error
    }
  }

  release(): void {
    for (const next of this.#waiting) {
      this.#waiting.delete(next)
      next.resolve()
      return
    }
    this.#free++
  }
}

function notSent(): Error {
  return Object.assign(new DeadlineError(), { wasSent: false })
}
