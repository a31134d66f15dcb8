import { answerWithin, DeadlineError } from '@stowage/core/driver'
import { Deferred } from '@stowage/core/internal'

/** A request that waits for a slot. */
interface Waiter {
  readonly deadline: number
  readonly slot: Deferred<void>
  hasSlot: boolean
}

/**
 * Limits the requests in flight, and thereby the connections. Later requests wait in order. The wait belongs to the call,
 * not to the request, whose own timeout begins when it is sent.
 */
export class RequestSlots {
  #free: number
  readonly #waiting = new Set<Waiter>()

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
    const waiter: Waiter = { deadline, slot: new Deferred(), hasSlot: false }
    this.#waiting.add(waiter)
    try {
      await answerWithin(deadline - performance.now(), waiter.slot.promise, notSent)
    } catch (error) {
      this.#waiting.delete(waiter)
      // A slot that was assigned in the meantime is passed on.
      if (waiter.hasSlot) this.release()
      throw error
    }
  }

  release(): void {
    for (const waiter of this.#waiting) {
      this.#waiting.delete(waiter)
      if (performance.now() < waiter.deadline) {
        waiter.hasSlot = true
        waiter.slot.resolve()
        return
      }
      // Its timer is late, because this process was stopped or busy.
      waiter.slot.reject(notSent())
    }
    this.#free++
  }
}

function notSent(): Error {
  return Object.assign(new DeadlineError(), { wasSent: false })
}
