import { randomUUID } from 'node:crypto'
import type { Clock } from '@stowage/core'
import type { Environment } from '../file/environment.ts'
import type { ItemTable } from '../items/item-table.ts'

const leaseKey = 'sweeper'
/** A sweeper that was killed is replaced after this time. */
const leaseMs = 5_000
/** Items per transaction: short, so that other processes do not wait. */
const sliceSize = 200

interface SweeperLease {
  readonly owner: string
  /** Epoch milliseconds. */
  readonly until: number
}

export interface SweeperOptions {
  readonly environment: Environment
  readonly items: ItemTable
  readonly clock: Clock
  readonly intervalMs: number
  readonly transact: <T>(work: () => T) => T
  /** Called with errors, which do not end the sweeper. */
  readonly onError: (error: unknown) => void
  /** Called when the file was deleted or moved. */
  readonly onReplaced: () => void
}

/** Deletes expired items. One of the processes that share the file does it at a time. */
export class Sweeper {
  readonly #options: SweeperOptions
  readonly #owner = randomUUID()
  readonly #timer: NodeJS.Timeout
  #isStopped = false

  constructor(options: SweeperOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#tick(), options.intervalMs)
    this.#timer.unref()
  }

  stop(): void {
    this.#isStopped = true
    clearInterval(this.#timer)
  }

  #tick(): void {
    const { environment, onReplaced } = this.#options
    try {
      environment.removeDeadReaders()
      if (environment.isReplaced()) onReplaced()
      else if (this.#isDue()) this.#sweep()
    } catch (error) {
      this.#options.onError(error)
    }
  }

  #isDue(): boolean {
    return this.#options.items.index.isDue(this.#options.clock.now())
  }

  /** Sweeps a slice, and continues in a later turn of the event loop if there is more. */
  #sweep(): void {
    const { items, clock, transact } = this.#options
    const count = transact(() => {
      const now = clock.now()
      if (!this.#acquire(now)) return 0
      const due = items.index.due(now, sliceSize)
      for (const each of due) items.removeDue(each, now)
      return due.length
    })
    if (count === sliceSize) setImmediate(() => !this.#isStopped && this.#tick())
  }

  #acquire(now: number): boolean {
    const { meta } = this.#options.environment
    const stored = meta.getBinary(leaseKey)?.toString()
    const lease = stored === undefined ? undefined : (JSON.parse(stored) as SweeperLease)
    const isForeign = lease !== undefined && lease.owner !== this.#owner
    // A lease far in the future is one of a clock that was set back.
    if (isForeign && lease.until > now && lease.until <= now + leaseMs) return false
    const next: SweeperLease = { owner: this.#owner, until: now + leaseMs }
    meta.put(leaseKey, Buffer.from(JSON.stringify(next)))
    return true
  }
}
