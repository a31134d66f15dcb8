import type { Awaitable, ByteStore, Payload, ReadOptions } from '../../store.ts'
import { BatchError, errorFor } from '../../wrappers/batch-error.ts'
import { OutageId, outageIdBytes } from './outage-id.ts'

/** Longest ttl of an item in the fallback store, in milliseconds: nothing deletes the items of an outage that has ended. */
const maxTtlMs = 86_400_000

/**
 * The items of one outage in the fallback store. Their keys begin with the id of the outage, so that a later outage does not
 * find them, and the store can be used by others as well.
 */
export class Fallback {
  /** What is left for a key, in bytes. */
  static readonly keyPrefixBytes: number = outageIdBytes
  /** Whether other processes see the items. */
  readonly isShared: boolean
  readonly store: ByteStore
  /** Called when another process has replaced the id, so that the processes did not see the same items. */
  onReplaced: () => void = () => {}
  /** How often the items have become unreachable, because an outage has ended. */
  endings = 0
  readonly #id: OutageId
  readonly #maxKeys: number
  /** The keys that this process has changed, if others share the store. */
  readonly #changed = new Set<string>()
  #hasOverflown = false

  /** @param maxKeys how many changed keys to remember */
  constructor(store: ByteStore, maxKeys: number) {
    this.store = store
    this.#maxKeys = maxKeys
    this.isShared = store.processLocal !== true
    this.#id = new OutageId(store, this.isShared, (id) => this.#deleteChanged(id))
  }

  /** Forgets the items of this process, and reads the id again if other processes share it. */
  refresh(): void {
    this.#id.refresh()
  }

  /** Reads the id again, and keeps it from expiring. */
  renew(isAway: boolean): Promise<void> {
    return this.#id.renew(isAway)
  }

  /** Call it when the outage is over. */
  end(): Promise<void> {
    this.endings++
    this.#forgetChanges()
    return this.#id.end()
  }

  /** Makes the items unreachable, for every process. */
  drop(): Promise<void> {
    this.endings++
    this.#forgetChanges()
    return this.#id.replace()
  }

  get(key: string, options?: ReadOptions): Awaitable<Payload | undefined> {
    return this.#with((prefix) => this.store.get(prefix + key, options))
  }

  getMany(keys: readonly string[], options?: ReadOptions): Awaitable<(Payload | undefined)[]> {
    return this.#with((prefix) => this.store.getMany(withPrefix(prefix, keys), options))
  }

  set(key: string, item: Payload, ttl?: number): Awaitable<void> {
    return this.#change(key, (prefix) => this.store.set(prefix + key, item, bounded(ttl)))
  }

  setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Awaitable<void> {
    for (const [key] of entries) this.#noteChange(key)
    return this.#with((prefix) =>
      this.store.setMany(
        entries.map(([key, item]) => [prefix + key, item] as const),
        bounded(ttl),
      ),
    )
  }

  add(key: string, item: Payload, ttl?: number): Awaitable<boolean> {
    return this.#change(key, (prefix) => this.store.add(prefix + key, item, bounded(ttl)))
  }

  compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Awaitable<boolean> {
    return this.#change(key, (prefix) =>
      this.store.compareAndSet(prefix + key, expected, next, bounded(ttl)),
    )
  }

  increment(key: string, by: number, ttl?: number): Awaitable<number> {
    return this.#change(key, (prefix) => this.store.increment(prefix + key, by, bounded(ttl)))
  }

  touch(key: string, ttl?: number): Awaitable<boolean> {
    return this.#with((prefix) => this.store.touch(prefix + key, bounded(ttl)))
  }

  delete(key: string): Awaitable<boolean> {
    return this.#change(key, (prefix) => this.store.delete(prefix + key))
  }

  deleteMany(keys: readonly string[]): Awaitable<number> {
    for (const key of keys) this.#noteChange(key)
    return this.#with((prefix) => this.store.deleteMany(withPrefix(prefix, keys)))
  }

  /** Lists the keys, without the id. */
  async *scan(prefix: string): AsyncGenerator<readonly string[], void, undefined> {
    const id = await this.#id.with((keyPrefix) => keyPrefix)
    for await (const page of this.store.scan?.(id + prefix) ?? []) {
      yield page.map((key) => key.slice(id.length))
    }
  }

  #noteChange(key: string): void {
    if (!this.isShared) return
    if (this.#changed.size < this.#maxKeys) this.#changed.add(key)
    else if (!this.#changed.has(key)) this.#hasOverflown = true
  }

  #forgetChanges(): void {
    this.#changed.clear()
    this.#hasOverflown = false
  }

  /**
   * What others stored with another id may be older than what this process has changed, even if it has changed that in both
   * stores. Resolves to whether the items can be used.
   */
  async #deleteChanged(id: string): Promise<boolean> {
    this.onReplaced()
    const isUsable = !this.#hasOverflown
    const keys = [...this.#changed]
    if (isUsable && keys.length > 0) await this.store.deleteMany(withPrefix(id, keys))
    this.#forgetChanges()
    return isUsable
  }

  #change<T>(key: string, call: (prefix: string) => Awaitable<T>): Awaitable<T> {
    this.#noteChange(key)
    return this.#with(call)
  }

  /** Makes a call with the id. Its error has the key without the id. */
  #with<T>(call: (prefix: string) => Awaitable<T>): Awaitable<T> {
    let result: Awaitable<T>
    try {
      result = this.#id.with(call)
    } catch (error) {
      throw withoutId(error)
    }
    return result instanceof Promise ? result.catch(rejectWithoutId) : result
  }
}

function rejectWithoutId(error: unknown): never {
  throw withoutId(error)
}

function withoutId(error: unknown): unknown {
  const { key, operation, outcomes } = error as Partial<BatchError>
  if (outcomes !== undefined) return new BatchError(outcomes.map(outcomeWithoutId))
  if (key === undefined || operation === undefined || !key.startsWith('~o')) return error
  return errorFor(key.slice(outageIdBytes), operation, error)
}

function outcomeWithoutId(outcome: PromiseSettledResult<unknown>): PromiseSettledResult<unknown> {
  if (outcome.status === 'fulfilled') return outcome
  return { status: 'rejected', reason: withoutId(outcome.reason) }
}

function withPrefix(prefix: string, keys: readonly string[]): string[] {
  return keys.map((key) => prefix + key)
}

function bounded(ttl: number | undefined): number {
  return ttl === undefined ? maxTtlMs : Math.min(ttl, maxTtlMs)
}
