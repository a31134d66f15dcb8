import { Lifecycle } from '../calls/in-flight.ts'
import type { StoreDiagnostics } from '../diagnostics.ts'
import { valueTooLarge } from '../driver-errors.ts'
import { isGenerationKey } from '../generations/id-copies.ts'
import type { Awaitable, ByteStore, Payload, ReadOptions, StoreLimits } from '../store.ts'
import { exceeds, payloadBytes, toText } from '../values/payload.ts'
import { Batches, type Entries, type Items } from './batches.ts'
import { Changes } from './changes.ts'
import { Fallback } from './fallback/fallback.ts'
import { isOutage } from './recovery/outage-error.ts'
import { type FailoverSettings, Recovery } from './recovery/recovery.ts'
import { recoveryOf, type StoreRecovery } from './store-recovery.ts'
import { failoverDiagnostics, timeOf, weakestLimits } from './traits.ts'

/** A store in front of another one: see `failover`. */
export class FailoverStore implements ByteStore {
  readonly name: string
  readonly payload = 'bytes'
  readonly processLocal: boolean
  readonly primary: ByteStore
  readonly recovery: StoreRecovery
  readonly scan?: (prefix: string) => AsyncIterable<readonly string[]>
  readonly time?: () => Promise<number>
  readonly consistencyToken?: () => Promise<string>
  readonly observe?: (token: string) => void
  readonly diagnostics: StoreDiagnostics
  readonly #fallbackStore: ByteStore
  readonly #fallback: Fallback
  readonly #recovery: Recovery
  readonly #changes: Changes
  readonly #batches: Batches
  readonly #lifecycle: Lifecycle

  constructor(primary: ByteStore, fallbackStore: ByteStore, settings: FailoverSettings) {
    this.name = primary.name
    this.#lifecycle = new Lifecycle(primary.name)
    this.processLocal = primary.processLocal === true && fallbackStore.processLocal === true
    this.primary = primary
    this.#fallbackStore = fallbackStore
    this.#fallback = new Fallback(fallbackStore, settings.journal)
    const recovery = new Recovery(primary, this.#fallback, settings)
    this.#recovery = recovery
    this.#changes = new Changes(recovery, this.#fallback)
    const single = { set: this.set.bind(this), delete: this.delete.bind(this) }
    this.#batches = new Batches(primary, this.#fallback, recovery, this.#changes, single)
    this.recovery = {
      get isPrimary() {
        return recovery.phase === 'primary'
      },
      onOverflow: (prefix, clear) => recovery.drain.onOverflow(prefix, clear),
      onSettled: (listener) => {
        recovery.onSettled(listener)
        recoveryOf(fallbackStore)?.onSettled(() => listener(undefined))
      },
      noteClear: (prefix) => this.#noteClear(prefix),
    }
    // A fallback store that is a failover store itself may lose keys of its own journal.
    recoveryOf(fallbackStore)?.onOverflow('', async () => this.#fallback.drop())
    const { observe } = primary
    this.diagnostics = failoverDiagnostics(primary, fallbackStore)
    if (primary.scan && fallbackStore.scan) this.scan = (prefix) => this.#pages(prefix)
    if (primary.time)
      this.time = timeOf(primary, fallbackStore, () => recovery.phase === 'fallback')
    if (primary.consistencyToken) this.consistencyToken = () => this.#token()
    if (observe) this.observe = (token) => observe.call(primary, token)
  }

  /** Read each time: a store may learn its limits from the first reply. */
  get limits(): StoreLimits {
    return weakestLimits(this.primary.limits, this.#fallbackStore.limits)
  }

  get(key: string, options?: ReadOptions): Awaitable<Payload | undefined> {
    const recovery = this.#recovery
    if (recovery.phase !== 'primary' && recovery.readsFallback(key)) {
      return this.#getFromFallback(key, options)
    }
    return this.#changes.call(
      () => this.primary.get(key, options),
      (error) => {
        recovery.noteFailure(error)
        return this.#getFromFallback(key, options)
      },
    )
  }

  getMany(keys: readonly string[], options?: ReadOptions): Awaitable<Items> {
    return this.#batches.getMany(keys, options)
  }

  set(key: string, item: Payload, givenTtl?: number): Awaitable<void> {
    const ttl = this.#roundUp(givenTtl)
    if (this.#isTooLarge(item)) return this.#refuse('set', key, item)
    return this.#changes.repeatable(
      key,
      () => this.primary.set(key, item, ttl),
      () => this.#fallback.set(key, item, ttl),
    )
  }

  setMany(entries: Entries, givenTtl?: number): Awaitable<void> {
    const ttl = this.#roundUp(givenTtl)
    const isAllowed = !entries.some(([, item]) => this.#isTooLarge(item))
    return isAllowed ? this.#batches.setMany(entries, ttl) : this.#batches.setEach(entries, ttl)
  }

  add(key: string, item: Payload, givenTtl?: number): Awaitable<boolean> {
    const ttl = this.#roundUp(givenTtl)
    if (this.#isTooLarge(item)) return this.#refuse('add', key, item)
    const result = this.#changes.once(
      key,
      () => this.primary.add(key, item, ttl),
      () => this.#addToFallback(key, item, ttl),
      () => this.#fallback.set(key, item, ttl),
    )
    return isGenerationKey(key) ? this.#repeatAddOfId(key, item, ttl, result) : result
  }

  compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    givenTtl?: number,
  ): Awaitable<boolean> {
    const ttl = this.#roundUp(givenTtl)
    const isTooLarge = next !== undefined && this.#isTooLarge(next)
    if (isTooLarge) return this.#refuse('compareAndSet', key, next)
    return this.#changes.once(
      key,
      () => this.primary.compareAndSet(key, expected, next, ttl),
      () => this.#swapInFallback(key, expected, next, ttl),
      () => (next === undefined ? this.#fallback.delete(key) : this.#fallback.set(key, next, ttl)),
    )
  }

  increment(key: string, by: number, givenTtl?: number): Awaitable<number> {
    const ttl = this.#roundUp(givenTtl)
    return this.#changes.once(
      key,
      () => this.primary.increment(key, by, ttl),
      () => this.#fallback.increment(key, by, ttl),
      // The expiry of the counter is not known.
      () => this.#fallback.delete(key),
    )
  }

  touch(key: string, givenTtl?: number): Awaitable<boolean> {
    const ttl = this.#roundUp(givenTtl)
    return this.#changes.touch(
      key,
      () => this.primary.touch(key, ttl),
      () => this.#fallback.touch(key, ttl),
    )
  }

  delete(key: string): Awaitable<boolean> {
    return this.#changes.repeatable(
      key,
      () => this.primary.delete(key),
      () => this.#fallback.delete(key),
    )
  }

  deleteMany(keys: readonly string[]): Awaitable<number> {
    return this.#batches.deleteMany(keys)
  }

  async clear(): Promise<void> {
    this.#lifecycle.assertOpen('clear')
    // Others may be using the fallback store: its items stay there, out of reach.
    await this.#fallback.drop()
    if (this.#recovery.phase === 'fallback') this.#recovery.noteClear('')
    else await this.primary.clear()
  }

  ping(): Awaitable<void> {
    if (this.#recovery.phase === 'fallback') return this.#fallbackStore.ping()
    return this.#changes.call(
      () => this.primary.ping(),
      (error) => {
        this.#recovery.noteFailure(error)
        return this.#fallbackStore.ping()
      },
    )
  }

  /** Deletes the journal if the primary store replies, and closes both stores. */
  close(): Promise<void> {
    return this.#lifecycle.close(() => this.#close())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await this.#recovery.close()
    // One after the other: calls in flight may still need the fallback store.
    const [outcome] = await Promise.allSettled([this.primary.close()])
    await this.#fallbackStore.close()
    if (outcome.status === 'rejected') throw outcome.reason
  }

  #getFromFallback(key: string, options?: ReadOptions): Awaitable<Payload | undefined> {
    const item = this.#fallback.get(key, options)
    return isGenerationKey(key) ? this.#noteGeneration(key, item) : item
  }

  async #noteGeneration(key: string, item: Awaitable<Payload | undefined>) {
    const id = await item
    this.#noteId(key, id)
    return id
  }

  /** A change of a generation that only the fallback store has does not change the items of the primary one. */
  #noteId(key: string, id: Payload | undefined): void {
    if (id !== undefined) this.#recovery.drain.unsettled.noteId(key, toText(id))
  }

  /**
   * An `add` of an id can be repeated, even if it may have been executed: a late one is replaced by a newer id. Otherwise
   * a process that reads a prefix for the first time could not make any call with it.
   */
  async #repeatAddOfId(
    key: string,
    item: Payload,
    ttl: number | undefined,
    added: Awaitable<boolean>,
  ): Promise<boolean> {
    try {
      return await added
    } catch (error) {
      if (this.#recovery.phase === 'primary' || !isOutage(error)) throw error
      return this.#addToFallback(key, item, ttl)
    }
  }

  async #addToFallback(key: string, item: Payload, ttl: number | undefined): Promise<boolean> {
    const isAdded = await this.#fallback.add(key, item, ttl)
    if (isAdded && isGenerationKey(key)) this.#noteId(key, item)
    return isAdded
  }

  async #swapInFallback(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl: number | undefined,
  ): Promise<boolean> {
    const isSwapped = await this.#fallback.compareAndSet(key, expected, next, ttl)
    if (isSwapped && isGenerationKey(key)) this.#noteId(key, next)
    return isSwapped
  }

  /** Rounds a ttl up to the step of both stores. */
  #roundUp(ttl: number | undefined): number | undefined {
    const step = Math.max(this.primary.limits.ttlStep, this.#fallbackStore.limits.ttlStep)
    return ttl === undefined || step <= 1 ? ttl : Math.ceil(ttl / step) * step
  }

  #isTooLarge(item: Payload): boolean {
    const { valueBytes } = this.#fallbackStore.limits
    return valueBytes < this.primary.limits.valueBytes && exceeds(item, valueBytes)
  }

  /** Rejects an item that only the primary store could keep. A `set` deletes the item that it would have replaced. */
  async #refuse(
    operation: 'set' | 'add' | 'compareAndSet',
    key: string,
    item: Payload,
  ): Promise<never> {
    if (operation === 'set') await this.delete(key)
    const { valueBytes } = this.#fallbackStore.limits
    throw valueTooLarge(this.name, operation, key, payloadBytes(item), valueBytes)
  }

  #noteClear(prefix: string): void {
    this.#recovery.noteClear(prefix)
    // The keys that a fallback store of the fallback store has replaced cannot be listed.
    if (recoveryOf(this.#fallbackStore) !== undefined) void this.#fallback.drop()
  }

  async *#pages(prefix: string): AsyncGenerator<readonly string[], void, undefined> {
    const { phase } = this.#recovery
    if (phase !== 'primary') yield* this.#fallback.scan(prefix)
    if (phase !== 'fallback') yield* this.primary.scan?.(prefix) ?? []
  }

  async #token(): Promise<string> {
    if (this.#recovery.phase === 'fallback') return ''
    return this.primary.consistencyToken?.() ?? ''
  }
}
