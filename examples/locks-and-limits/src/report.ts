import { setTimeout as sleep } from 'node:timers/promises'
import { type Cache, CacheError } from '@stowage/core'

const lockName = 'report'
const reportKey = 'report'

export interface Report {
  /** Process that has generated it. */
  readonly process: number
  /** Epoch milliseconds. */
  readonly finishedAt: number
  /** The number of the holder. A database would refuse a report with a lower one. */
  readonly fence: number
}

/** A report that takes long to generate. Of all processes, one at a time does. */
export class SharedReport {
  readonly #cache: Cache
  readonly #workMs: number

  constructor(cache: Cache, workMs: number) {
    this.#cache = cache
    this.#workMs = workMs
  }

  latest(): Promise<Report | undefined> {
    return this.#cache.get<Report>(reportKey, { consistency: 'strong' })
  }

  /** Whether any process is generating it. */
  isBeingGenerated(): Promise<boolean> {
    return this.#cache.lock(lockName).isLocked()
  }

  /**
   * Generates the report, unless that is being done. Resolves to whether it was generated.
   *
   * The ttl is short, so that the next process need not wait long if this one crashes: the lock is renewed meanwhile.
   */
  async generate(): Promise<boolean> {
    const lock = this.#cache.lock(lockName, { ttl: '5s' })
    try {
      await lock.run(async ({ signal, fence }) => {
        const number = await fence()
        await sleep(this.#workMs, undefined, { signal }) // queries, pages, charts
        await this.#store({ process: process.pid, finishedAt: Date.now(), fence: number })
      })
      return true
    } catch (error) {
      if (CacheError.is(error) && error.code === 'ERR_CACHE_LOCKED') return false
      throw error
    }
  }

  /** Keeps the report of a later holder: this process may have been suspended since it had the lock. */
  async #store(report: Report): Promise<void> {
    await this.#cache.update<Report>(reportKey, (current) =>
      current !== undefined && current.fence > report.fence ? current : report,
    )
  }
}
