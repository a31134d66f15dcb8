import { setMaxListeners } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import { type AuditEvent, type CacheEvent, channels, publishError } from '../channels.ts'
import { type Clock, elapsedTimeOf } from '../time/clock.ts'
import { waitInBackground } from '../time/wait.ts'
import {
  type AuditOptions,
  type ResolvedAuditOptions,
  resolveAuditOptions,
} from './audit-options.ts'
import {
  AuditCount,
  type AuditReport,
  type AuditWindow,
  auditWindows,
  reportOf,
} from './audit-report.ts'

/** How long nothing is compared after the source or the backend has failed, in milliseconds. */
const pauseMs = 30_000
/** The values that differ are kept until the last comparison. Meanwhile, with this many, no other hit is compared. */
const maxDiffering = 1_000
const maxGroups = 100

/** A hit, and how to compare it with the source. */
export interface AuditedHit {
  /** The key that the application passed. */
  readonly name: string
  readonly event: CacheEvent
  /** The value that was returned, decoded apart from that of the caller. */
  readonly served: unknown
  /** Whether it was returned as a stale value. */
  readonly isStale: boolean
  /** Calls the loader. Resolves to what a read would return after it. Stores nothing. */
  load(): Promise<unknown>
  /** Reads the key, as a caller does or from the primary server. Resolves to `undefined` for a miss. */
  read(from: 'any' | 'primary'): Promise<unknown>
  /** What is known about the entry. */
  describe(): Promise<Pick<AuditEvent, 'tags' | 'ttlMs'>>
}

/** Returns the audit of a cache, if it is configured. */
export function createAudit(options: AuditOptions | undefined, clock: Clock): Audit | undefined {
  return options === undefined ? undefined : new Audit(resolveAuditOptions(options), clock)
}

/** Measures how consistent a cache is: compares a sample of its hits with the source, again after some time. */
export class Audit {
  readonly #options: ResolvedAuditOptions
  readonly #clock: Clock
  readonly #elapsed: () => number
  readonly #counts = new Map<string, AuditCount>()
  readonly #closing = new AbortController()
  #differing = 0
  /** Before this moment, the loader is not called. */
  #nextAt = -Infinity

  constructor(options: ResolvedAuditOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#elapsed = elapsedTimeOf(clock)
    setMaxListeners(maxDiffering, this.#closing.signal)
  }

  /** Whether a hit is to be passed to `compare`: decided at random, because most are not. */
  isSampled(): boolean {
    return Math.random() < this.#options.sample
  }

  /** Returns whether the loader may be called now. Then `compare` must be called. */
  begin(): boolean {
    return !this.#closing.signal.aborted && this.#differing < maxDiffering && this.#takeTurn()
  }

  /** Ends comparisons for some time, because the source or the backend has failed. */
  pause(): void {
    this.#nextAt = Math.max(this.#nextAt, this.#elapsed() + pauseMs)
  }

  /** Ends the audit. What it has found remains. */
  stop(reason: unknown): void {
    this.#closing.abort(reason)
  }

  /** What was found so far. */
  report(): AuditReport {
    return reportOf(this.#counts)
  }

  /** Compares a hit with the source. If they differ, does so again later, without the caller. */
  async compare(hit: AuditedHit): Promise<void> {
    const isSame = await this.#isSame(hit)
    if (isSame === undefined) return
    const count = this.#countOf(hit.name)
    count.sampled++
    if (isSame) return
    if (hit.isStale) count.stale++
    else void this.#follow(hit, count)
  }

  /** Whether the source has the returned value. `undefined` if it has failed. */
  async #isSame({ served, load, event }: AuditedHit): Promise<boolean | undefined> {
    const { equal = isDeepStrictEqual } = this.#options
    try {
      return equal(served, await load())
    } catch (error) {
      this.#onFailure(event, error)
      return undefined
    }
  }

  #onFailure(event: CacheEvent, error: unknown): void {
    if (this.#closing.signal.aborted) return
    this.pause()
    publishError(event, error)
  }

  async #follow(hit: AuditedHit, count: AuditCount): Promise<void> {
    count.differing++
    this.#differing++
    const since = this.#elapsed()
    try {
      for (const [name, ms] of Object.entries(auditWindows)) {
        await this.#wait(since + ms - this.#elapsed())
        const state = await this.#stateOf(hit)
        if (state === 'stale') count.stale++
        if (state !== 'inconsistent') return
        count.inconsistent[name as AuditWindow]++
        await this.#publish(hit, this.#elapsed() - since)
      }
    } catch (error) {
      // What the hit would have been later is not known.
      this.#onFailure(hit.event, error)
    } finally {
      this.#differing--
    }
  }

  /** Whether the key still has the same value, and the source another one. */
  async #stateOf(hit: AuditedHit): Promise<'inconsistent' | 'stale' | 'consistent'> {
    if (!(await this.#isStillServed(hit, 'any'))) return 'consistent'
    while (!this.#takeTurn()) await this.#wait(this.#nextAt - this.#elapsed())
    const isSame = await this.#isSame(hit)
    if (isSame !== false || !(await this.#isStillServed(hit, 'any'))) return 'consistent'
    return (await this.#isStillServed(hit, 'primary')) ? 'inconsistent' : 'stale'
  }

  async #isStillServed({ read, served }: AuditedHit, from: 'any' | 'primary'): Promise<boolean> {
    return isDeepStrictEqual(await read(from), served)
  }

  async #publish(hit: AuditedHit, differsForMs: number): Promise<void> {
    if (!channels.audit.hasSubscribers) return
    const event: AuditEvent = {
      ...hit.event,
      group: this.#groupOf(hit.name),
      differsForMs,
      ...(await hit.describe()),
    }
    channels.audit.publish(event)
  }

  /** Returns whether enough time has passed since the last call of the loader. */
  #takeTurn(): boolean {
    const now = this.#elapsed()
    if (now < this.#nextAt) return false
    this.#nextAt = now + 1_000 / this.#options.perSecond
    return true
  }

  #wait(ms: number): Promise<void> {
    return waitInBackground(this.#clock, Math.max(0, ms), this.#closing.signal)
  }

  #countOf(name: string): AuditCount {
    const group = this.#groupOf(name)
    const existing = this.#counts.get(group)
    if (existing !== undefined) return existing
    const created = new AuditCount()
    this.#counts.set(group, created)
    return created
  }

  #groupOf(name: string): string {
    const { group = firstPart } = this.#options
    const own = String(group(name))
    return this.#counts.has(own) || this.#counts.size < maxGroups ? own : 'other'
  }
}

function firstPart(name: string): string {
  const end = name.indexOf(':')
  return end === -1 ? '' : name.slice(0, end)
}
