import type { Awaitable } from '../store.ts'
import { type Clock, monotonicOf } from './clock.ts'

/** How often the clock of the backend is read. */
const refreshMs = 60_000
/** A reply that took longer says little about the time, for example because the process was suspended meanwhile. */
const maxRoundTripMs = 250
const maxReads = 3
/** How long after the last reading the time is known without another one. */
const maxAgeMs = 2 * refreshMs
/** If the clock of the process and the monotonic clock differ by more since the last reading, it does not count. */
const maxDisagreementMs = 250

/**
 * The time of a backend, which all processes share even if their own clocks differ. The clock of the backend is read on
 * the first use and then once per minute; in between the time is computed with a monotonic clock, which stands still
 * while the machine is suspended, so the clock of the backend is read again as soon as the clock of the process has advanced
 * differently. If the backend has no clock, or its clock has not been readable since then, that of the process is used.
 */
export class BackendTime {
  readonly #readClock: (() => Awaitable<number>) | undefined
  readonly #processClock: Clock
  /** What to add to the monotonic clock. */
  #offset: number | undefined
  /** In the time of the monotonic clock. */
  #readAt = 0
  /** By how much the clock of the process was ahead of the monotonic clock when the last reading was sent. */
  #processOffset = 0
  /** How long the reply took: the clock of the backend may have been read at its beginning. */
  #roundTripMs = 0
  /** The reading in flight, for all callers. */
  #reading: Promise<number> | undefined

  constructor(readClock: (() => Awaitable<number>) | undefined, processClock: Clock) {
    this.#readClock = readClock
    this.#processClock = processClock
  }

  /** Epoch milliseconds, an integer; `undefined` if the clock of the backend has to be read first. */
  peek(): number | undefined {
    if (this.#readClock === undefined) return this.#processClock.now()
    if (this.#offset === undefined) return undefined
    const now = monotonicOf(this.#processClock)
    if (!this.#isRunning(now)) return undefined
    const age = now - this.#readAt
    if (age > maxAgeMs) return undefined
    // In the background: within another minute, the clocks do not drift apart noticeably.
    if (age > refreshMs) void this.#renew()
    return Math.floor(now + this.#offset)
  }

  /** Epoch milliseconds, an integer. */
  async estimate(): Promise<number> {
    if (this.#readClock !== undefined) {
      this.#dropAfterSuspension()
      const isOutdated = monotonicOf(this.#processClock) - this.#readAt > refreshMs
      // Without a reply, the last offset or the clock of the process is accurate enough until the next attempt.
      if (this.#offset === undefined || isOutdated) await this.#renew()
    }
    return this.#computed() ?? Math.floor(this.#processClock.now())
  }

  /**
   * Epoch milliseconds, an integer, for counts that all processes share. Waits for the clock of the backend on the first use
   * only: later it is read in the background.
   *
   * @throws CacheError if the backend has a clock that has never been readable, or not since the machine was suspended:
   * processes with different clocks would count apart
   */
  estimateOrThrow(): Awaitable<number> {
    if (this.#readClock === undefined) return Math.floor(this.#processClock.now())
    this.#dropAfterSuspension()
    const isOutdated = monotonicOf(this.#processClock) - this.#readAt > refreshMs
    const reading = this.#offset === undefined || isOutdated ? this.#readShared() : undefined
    const time = this.#computed()
    if (time === undefined) return (reading as Promise<number>).then(Math.floor)
    reading?.catch(ignore)
    return time
  }

  /**
   * The same, for times that processes compare with those of others: reads the clock of the backend each time, because the
   * clocks of processes drift apart in between.
   *
   * @throws CacheError if the backend has a clock that has never been readable
   */
  async read(): Promise<number> {
    if (this.#readClock === undefined) return Math.floor(this.#processClock.now())
    try {
      return Math.floor(await this.#read(this.#readClock))
    } catch (error) {
      this.#dropAfterSuspension()
      const time = this.#computed()
      if (time === undefined) throw error
      return time
    }
  }

  /**
   * The latest time that the clock of the backend may show now, for the moment of an invalidation.
   *
   * @throws CacheError as `read`
   */
  async readUpperBound(): Promise<number> {
    return Math.ceil((await this.read()) + this.#roundTripMs)
  }

  /** Whether the clocks agree since the last reading: neither was the process suspended, nor its clock set. */
  #isRunning(now: number): boolean {
    const ahead = this.#processClock.now() - now - this.#processOffset
    return ahead < maxDisagreementMs && ahead > -maxDisagreementMs
  }

  #dropAfterSuspension(): void {
    if (this.#offset !== undefined && !this.#isRunning(monotonicOf(this.#processClock)))
      this.#offset = undefined
  }

  #computed(): number | undefined {
    return this.#offset === undefined
      ? undefined
      : Math.floor(monotonicOf(this.#processClock) + this.#offset)
  }

  /** The same as `#readShared`, but never rejects: the last offset is used until the next attempt. */
  #renew(): Promise<void> {
    return this.#readShared().then(ignore, ignore)
  }

  /** Reads the clock of the backend, or joins a read in flight. */
  #readShared(): Promise<number> {
    this.#reading ??= this.#readPrecisely(this.#readClock as () => Awaitable<number>).finally(
      () => {
        this.#reading = undefined
      },
    )
    return this.#reading
  }

  async #readPrecisely(readClock: () => Awaitable<number>): Promise<number> {
    for (let reads = 1; ; reads++) {
      const time = await this.#read(readClock)
      const isPrecise =
        this.#roundTripMs <= maxRoundTripMs && this.#isRunning(monotonicOf(this.#processClock))
      if (isPrecise || reads === maxReads) return time
    }
  }

  async #read(readClock: () => Awaitable<number>): Promise<number> {
    const sentAt = monotonicOf(this.#processClock)
    const processOffset = this.#processClock.now() - sentAt
    const time = await readClock()
    this.#readAt = monotonicOf(this.#processClock)
    this.#roundTripMs = this.#readAt - sentAt
    this.#offset = time - this.#readAt
    this.#processOffset = processOffset
    return time
  }
}

function ignore(): void {}
