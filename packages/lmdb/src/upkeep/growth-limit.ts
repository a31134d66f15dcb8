import type { Environment, HeldSnapshot } from '../file/environment.ts'
import { HeldSnapshotError } from '../lmdb-errors.ts'

/** A read takes microseconds, and longer only if the process cannot run. */
const maxHeldMs = 1_000

/**
 * Keeps the file from growing without limit. While a process is stopped as it reads, the pages of its snapshot and all those that
 * are freed later are kept for it, so that each transaction needs new ones.
 */
export class GrowthLimit {
  readonly #environment: Environment
  readonly #heldMs: number
  #oldest: HeldSnapshot | undefined
  #seenAt = 0
  #isRefusing = false

  /** @param timeoutMs how long calls wait for other processes */
  constructor(environment: Environment, timeoutMs: number) {
    this.#environment = environment
    this.#heldMs = Math.min(timeoutMs, maxHeldMs)
  }

  /** Call it at the beginning of a write transaction: it checks at once if the last one was refused. @throws HeldSnapshotError */
  checkAgain(): void {
    if (this.#isRefusing) this.check()
  }

  /** Call it in a write transaction. @throws HeldSnapshotError if the file is oversized and would grow further */
  check(): void {
    this.#isRefusing = false
    if (!this.#environment.isOversized()) return
    this.#environment.removeDeadReaders()
    const oldest = this.#environment.oldestSnapshot()
    if (oldest?.id !== this.#oldest?.id) this.#seenAt = performance.now()
    this.#oldest = oldest
    if (oldest === undefined || performance.now() - this.#seenAt <= this.#heldMs) return
    this.#isRefusing = true
    throw new HeldSnapshotError(oldest.pid)
  }
}
