import { channels } from '../../channels.ts'
import { isGenerationKey } from '../../generations/id-copies.ts'
import { type ByteStore, strongRead } from '../../store.ts'
import { after } from '../../time/wait.ts'
import type { Fallback } from '../fallback/fallback.ts'
import { Drain } from './drain.ts'
import { FailureRate, type FailureRateOptions } from './failure-rate.ts'
import { isOutage } from './outage-error.ts'
import { probe } from './probe.ts'
import { beginGeneration } from './restore-primary.ts'

/**
 * - `'primary'`: only the primary store is used.
 * - `'partial'`: some calls have failed. Writes go to both stores, reads to the primary one, except for unsettled keys.
 * - `'suspected'`: most calls have just failed. Writes go to both stores, reads to the fallback one, until a ping replies.
 * - `'fallback'`: only the fallback store is used.
 * - `'settling'`: the primary store replies again. Writes go to both stores, reads to the fallback one.
 */
export type Phase = 'primary' | 'partial' | 'suspected' | 'fallback' | 'settling'

/** The options after validation, with defaults applied. */
export interface FailoverSettings extends FailureRateOptions {
  readonly probeMs: number
  readonly journal: number
  readonly settleMs: number
}

/** Called with the keys that are read from the primary store again, or with `undefined` for all. */
export type SettledListener = (keys: readonly string[] | undefined) => void

/** Exists in the primary store while a process deletes its journal from it. Keys of a cache never begin with "~". */
const settlingKey = '~settling'
/** Time between two attempts to delete the journal while the primary store is used, in milliseconds. */
const stepMs = 100
/** How many times longer than usual a process settles, if others delete their journals or a generation cannot begin. */
const maxSettlingTimes = 10

/** Determines which store is used, and leads back to the primary one. Its timers do not keep the process alive. */
export class Recovery {
  phase: Phase = 'primary'
  readonly rate: FailureRate
  readonly drain: Drain
  readonly #primary: ByteStore
  readonly #fallback: Fallback
  readonly #settings: FailoverSettings
  #lastFailureAt = 0
  /** When the primary store began to settle. */
  #settlingSince = 0
  #cancelStep: (() => void) | undefined
  #stepAt = 0
  readonly #settledListeners = new Set<SettledListener>()
  /** The keys that are written while generations may begin in the primary store of which the caches do not know yet. */
  #written: Set<string> | undefined
  #isStepping = false
  #isClosed = false

  constructor(primary: ByteStore, fallback: Fallback, settings: FailoverSettings) {
    this.#primary = primary
    this.#fallback = fallback
    this.#settings = settings
    this.rate = new FailureRate(settings)
    this.drain = new Drain(primary, fallback, settings.journal)
    fallback.onReplaced = () => {
      // The processes have used different generations, so that the keys may not be those of the caches.
      if (primary.scan === undefined) this.drain.unsettled.journal.addUnknown()
    }
  }

  /** Whether all reads go to the fallback store. */
  get isAway(): boolean {
    return this.phase !== 'primary' && this.phase !== 'partial'
  }

  /** Whether the item under this key is read from the fallback store. */
  readsFallback(key: string): boolean {
    return this.isAway || this.drain.unsettled.has(key)
  }

  /** Whether items that are written to the primary store are written to the fallback one as well. */
  get isMirrored(): boolean {
    return this.isAway || (this.phase === 'partial' && this.#fallback.isShared)
  }

  /** Call it when a call of the primary store has failed. Throws an error that does not mean an outage. */
  noteFailure(error: unknown): void {
    if (!isOutage(error)) throw error
    this.rate.fail()
    this.#lastFailureAt = performance.now()
    if (this.phase === 'fallback' || this.#isClosed) return
    if (this.phase === 'primary') this.#enter('partial')
    if (this.rate.isExceeded()) this.#open(error)
    else if (this.rate.isRecentlyExceeded()) this.#suspect()
    else this.#schedule(stepMs)
  }

  /** The same for a call that changes keys, which are unsettled from then on. It counts once, as if it had succeeded. */
  noteFailedChange(keys: readonly string[], error: unknown): void {
    this.noteFailure(error)
    for (const key of keys) this.#addUnsettled(key, true)
  }

  /** Records a change that was made in the fallback store only. */
  noteChange(key: string): void {
    this.#addUnsettled(key, false)
    if (this.phase !== 'fallback') this.#schedule(stepMs)
  }

  /** Call it before a key is written. */
  noteWrite(key: string): void {
    this.#written?.add(key)
  }

  /** Registers a listener for keys that are read from the primary store again. */
  onSettled(listener: SettledListener): void {
    this.#settledListeners.add(listener)
  }

  #notifySettled(keys?: readonly string[]): void {
    if (keys?.length === 0) return
    for (const listener of this.#settledListeners) listener(keys)
  }

  #addUnsettled(key: string, isUncertain: boolean): void {
    this.drain.unsettled.add(key, isUncertain)
    // Any item of the primary store may be outdated, until the caches have been cleared.
    if (this.phase === 'partial' && this.drain.isIncomplete) this.#suspect()
  }

  /** Deletes a key that was changed in the fallback store, while the primary one replies. */
  async settle(key: string): Promise<void> {
    try {
      if (isGenerationKey(key)) await beginGeneration(this.#primary, this.#fallback, key)
      else await this.#primary.delete(key)
    } catch (error) {
      this.noteFailedChange([key], error)
    }
  }

  /** Call it when a prefix is cleared, so that it is cleared in the primary store later. */
  noteClear(prefix: string): void {
    if (this.phase === 'fallback') this.drain.addPrefix(prefix)
  }

  /** Stops the timers. Deletes the journal if the primary store replies. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelStep?.()
    if (this.phase !== 'primary' && this.phase !== 'fallback') await this.drain.run(ready)
  }

  #enter(phase: Phase): void {
    this.phase = phase
    if (!channels.failover.hasSubscribers) return
    const { journal } = this.drain.unsettled
    channels.failover.publish({
      store: this.#primary.name,
      fallback: this.#fallback.store.name,
      phase,
      journal: journal.size,
      hasOverflown: journal.overflow > 0,
    })
  }

  #publishBreaker(state: 'open' | 'half-open' | 'closed', error?: unknown): void {
    if (!channels.breaker.hasSubscribers) return
    channels.breaker.publish({ store: this.#primary.name, state, error })
  }

  #open(error: unknown): void {
    this.#fallback.refresh()
    this.#enter('fallback')
    this.#publishBreaker('open', error)
    this.#schedule(this.#probeDelay())
  }

  #suspect(): void {
    if (this.phase !== 'suspected') {
      this.#fallback.refresh()
      this.#enter('suspected')
    }
    this.#schedule(0)
  }

  /** Takes the next step in `ms` milliseconds, unless one is planned before. */
  #schedule(ms: number): void {
    const at = performance.now() + ms
    if (this.#isClosed || (this.#cancelStep !== undefined && this.#stepAt <= at)) return
    this.#cancelStep?.()
    this.#stepAt = at
    this.#cancelStep = after(ms, () => {
      this.#cancelStep = undefined
      if (!this.#isStepping) void this.#takeStep()
    })
  }

  async #takeStep(): Promise<void> {
    const startedAt = performance.now()
    this.#isStepping = true
    try {
      await this.#fallback.renew(this.isAway)
      if (this.phase === 'fallback' || this.phase === 'suspected') await this.#probeStep()
      else if (this.phase === 'settling') await this.#settlingStep()
      else await this.#partialStep()
    } catch {
      // A store failed in another way than by an outage. The next step tries again.
    }
    this.#isStepping = false
    if (this.phase === 'primary') return
    // The interval begins with the probe: processes must notice a return at about the same time.
    const probeMs = Math.max(0, startedAt + this.#probeDelay() - performance.now())
    this.#schedule(this.phase === 'fallback' ? probeMs : stepMs)
  }

  #probeDelay(): number {
    return this.#settings.probeMs * (0.8 + 0.4 * Math.random())
  }

  async #probeStep(): Promise<void> {
    const { phase } = this
    if (phase === 'fallback') this.#publishBreaker('half-open')
    const { share, probeMs } = this.#settings
    const error = await probe(this.#primary, share, probeMs)
    if (error === undefined) await this.#beginSettling()
    else if (phase === 'suspected') this.#open(error)
    else this.#publishBreaker('open', error)
  }

  async #beginSettling(): Promise<void> {
    if (this.phase === 'fallback') this.#publishBreaker('closed')
    this.rate.reset()
    this.#settlingSince = performance.now()
    this.#enter('settling')
    await this.#mark()
    await this.drain.run(() => this.#mark())
  }

  async #settlingStep(): Promise<void> {
    // Again, because the first mark may have expired while the server was too busy to delete or clear.
    if (this.drain.hasOutdated) await this.#mark()
    await this.drain.run(() => this.#mark())
    const { settleMs } = this.#settings
    if (this.drain.isIncomplete || !this.#hasSettled(settleMs) || (await this.#isAnotherSettling()))
      return
    await this.#whileGenerationsBegin(async () => {
      const { failed } = await this.drain.release(settleMs)
      // In a generation that has not been replaced, the primary store may have what other processes have stored before this
      // one made its last changes.
      const isReplaced = !failed.some(isGenerationKey) || this.#hasWaitedTooLong
      if (isReplaced && this.phase === 'settling') await this.#return()
    })
  }

  /**
   * Does what may begin generations in the primary store, and lets the caches know. What they write meanwhile is in a
   * generation that has ended, so that its key is unsettled in the one that has begun: other processes may have stored
   * something older there.
   */
  async #whileGenerationsBegin(work: () => Promise<void>): Promise<void> {
    const written = new Set<string>()
    this.#written = written
    const { unsettled } = this.drain
    try {
      await work()
    } finally {
      this.#written = undefined
      for (const key of written) {
        const raised = unsettled.raised(key)
        if (raised !== undefined) this.#addUnsettled(raised, true)
      }
      unsettled.forgetRaised()
    }
  }

  #hasSettled(ms: number): boolean {
    return this.phase === 'settling' && performance.now() - this.#settlingSince >= ms
  }

  /** Lets other processes wait until this one has deleted its journal. */
  async #mark(): Promise<void> {
    try {
      await this.#primary.set(settlingKey, '1', this.#settings.settleMs)
    } catch {
      // The others wait for the usual time.
    }
  }

  /** A process or a key that cannot be settled must not hold up the others. */
  get #hasWaitedTooLong(): boolean {
    return this.#hasSettled(maxSettlingTimes * this.#settings.settleMs)
  }

  async #isAnotherSettling(): Promise<boolean> {
    if (this.#hasWaitedTooLong) return false
    try {
      return (await this.#primary.get(settlingKey, strongRead)) !== undefined
    } catch {
      return false
    }
  }

  async #return(): Promise<void> {
    this.rate.reset()
    this.#lastFailureAt = performance.now()
    // Other processes do not write to it, so it would not be up to date in the next outage.
    if (!this.#fallback.isShared) await this.#fallback.drop()
    this.#enter('partial')
    this.#notifySettled()
  }

  async #partialStep(): Promise<void> {
    const { settleMs } = this.#settings
    await this.drain.run(ready)
    await this.#whileGenerationsBegin(async () => {
      this.#notifySettled((await this.drain.release(settleMs)).released)
    })
    if (!this.#isQuiet()) return
    // Without calls, nothing has failed.
    const { share, probeMs } = this.#settings
    const error = await probe(this.#primary, share, probeMs)
    if (error !== undefined) this.noteFailure(error)
    if (!this.#isQuiet()) return
    this.#enter('primary')
    // Also reads of other keys may have been repeated on the fallback store.
    this.#notifySettled()
    await this.#fallback.end()
  }

  /** Whether nothing has failed for a while, and nothing is left to delete. */
  #isQuiet(): boolean {
    const quietMs = performance.now() - this.#lastFailureAt
    return this.phase === 'partial' && quietMs >= this.#settings.settleMs && this.drain.isDone
  }
}

async function ready(): Promise<void> {}
