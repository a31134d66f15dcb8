import { CacheError } from '../errors.ts'
import type { Awaitable, ReadOptions, StoreLimits } from '../store.ts'
import { BackendTime } from '../time/backend-time.ts'
import type { Clock } from '../time/clock.ts'
import type { Lifecycle } from '../time/lifecycle.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { createId, type GenerationId, isNewer, longestIdText, newestOf } from './generation-id.ts'
import { IdCopies, type IdReading } from './id-copies.ts'

/** How long a process uses the id it knows for reads that need not be strong. */
const refreshMs = 1_000
/** How long after it was confirmed a lost id is restored. Later, another process may have cleared in between. */
const restoreMs = 2 * refreshMs

type Call<T> = (prefix: string) => Awaitable<T>

/**
 * A store within a prefix of a store that cannot list its keys. Every key carries the id of the current generation, and
 * `clear()` replaces the id: O(1), and nothing outside the prefix is touched. Items of earlier generations are left to
 * their ttl or to eviction.
 *
 * - The newest id wins. A process never goes back to an older one, and where it finds an older one it stores the newest.
 *   So a clear holds as long as one node or one process remains that has seen it.
 * - A lost id is restored only by a process that has confirmed it lately. Otherwise a new one is created, which can only
 *   cause misses.
 * - Strong reads and writes confirm the id in the same round trip: the call is sent with the known id, beside a read of
 *   the id, and again only if the id has changed.
 */
export class GenerationStore implements AnyStore {
  readonly name: string
  readonly payload: 'bytes' | 'entry'
  readonly limits: StoreLimits
  readonly #store: AnyStore
  readonly #prefix: string
  readonly #clock: Clock
  readonly #lifecycle: Lifecycle
  readonly #closeStore: () => Promise<void>
  readonly #ids: IdCopies
  readonly #time: BackendTime
  #known: GenerationId | undefined
  /** The generation of the prefix around this one in which the id is known. */
  #knownWithin = ''
  /** What keys of the known generation begin with. */
  #keyPrefix = ''
  /** When the id was last read, or could not be read. */
  #readAt = 0
  #isConfirmed = false
  #confirmedAt = 0
  #repairedAt = 0
  #reading: Promise<void> | undefined
  #confirming: Promise<void> | undefined

  /** @param lifecycle that of the innermost store, which `closeStore` closes */
  constructor(
    store: AnyStore,
    prefix: string,
    clock: Clock,
    lifecycle: Lifecycle,
    closeStore: () => Promise<void>,
  ) {
    this.name = store.name
    this.payload = store.payload
    const taken = Buffer.byteLength(prefix) + longestIdText + 1
    this.limits = { ...store.limits, keyBytes: store.limits.keyBytes - taken }
    this.#store = store
    this.#prefix = prefix
    this.#clock = clock
    this.#lifecycle = lifecycle
    this.#closeStore = closeStore
    this.#ids = new IdCopies(store, prefix)
    this.#time = new BackendTime(store.time?.bind(store), clock)
  }

  get(key: string, options?: ReadOptions): Awaitable<unknown> {
    return this.#read('get', options, (at) => this.#store.get(at + key, options))
  }

  getMany(keys: readonly string[], options?: ReadOptions): Awaitable<unknown[]> {
    return this.#read('getMany', options, (at) =>
      this.#store.getMany(
        keys.map((key) => at + key),
        options,
      ),
    )
  }

  set(key: string, item: unknown, ttl?: number): Awaitable<void> {
    return this.#write('set', (at) => this.#store.set(at + key, item, ttl))
  }

  setMany(entries: readonly (readonly [string, unknown])[], ttl?: number): Awaitable<void> {
    return this.#write('setMany', (at) =>
      this.#store.setMany(
        entries.map(([key, item]) => [at + key, item] as const),
        ttl,
      ),
    )
  }

  add(key: string, item: unknown, ttl?: number): Awaitable<boolean> {
    return this.#confirmed('add', (at) => this.#store.add(at + key, item, ttl))
  }

  compareAndSet(key: string, expected: unknown, next: unknown, ttl?: number): Awaitable<boolean> {
    return this.#write('compareAndSet', (at) =>
      this.#store.compareAndSet(at + key, expected, next, ttl),
    )
  }

  increment(key: string, by: number, ttl?: number): Awaitable<number> {
    return this.#write('increment', (at) => this.#store.increment(at + key, by, ttl))
  }

  touch(key: string, ttl?: number): Awaitable<boolean> {
    return this.#write('touch', (at) => this.#store.touch(at + key, ttl))
  }

  delete(key: string): Awaitable<boolean> {
    return this.#write('delete', (at) => this.#store.delete(at + key))
  }

  deleteMany(keys: readonly string[]): Awaitable<number> {
    return this.#write('deleteMany', (at) => this.#store.deleteMany(keys.map((key) => at + key)))
  }

  clear(): Promise<void> {
    return this.#lifecycle.run('clear', async () => {
      const { newest, copies } = await this.#ids.read({ spares: false })
      const outer = this.#outerKeyPrefix
      const id = await this.#newIdAfter(newestOf([newest, this.#known]))
      this.#adopt(await this.#ids.raise(id, copies), outer)
    })
  }

  ping(): Awaitable<void> {
    return this.#store.ping()
  }

  time(): Awaitable<number> {
    return this.#time.now()
  }

  close(): Promise<void> {
    return this.#lifecycle.close(this.#closeStore)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  consistencyToken(): Awaitable<string> {
    return this.#store.consistencyToken?.() ?? ''
  }

  observe(token: string): void {
    this.#store.observe?.(token)
  }

  #read<T>(operation: string, options: ReadOptions | undefined, call: Call<T>): Awaitable<T> {
    if (options?.consistency === 'strong' && options.confirmGeneration !== false) {
      return this.#confirmed(operation, call)
    }
    this.#lifecycle.assertOpen(operation)
    if (this.#known === undefined) return this.#afterReading(operation, call)
    if (isWithin(refreshMs, this.#readAt, this.#clock.now())) return call(this.#keyPrefix)
    // After a failed attempt, the known id serves while the next attempt is made.
    if (this.#isConfirmed) return this.#afterReading(operation, call)
    this.#readShared().catch(() => {})
    return call(this.#keyPrefix)
  }

  /** A write goes to the known generation when the id cannot be confirmed: its own node may well be reachable. */
  #write<T>(operation: string, call: Call<T>): Awaitable<T> {
    return this.#confirmed(operation, call, true)
  }

  #afterReading<T>(operation: string, call: Call<T>): Promise<T> {
    return this.#lifecycle.run(operation, async () => {
      await this.#readOrKeep()
      return call(this.#keyPrefix)
    })
  }

  /** Makes a call with the known id while the id is confirmed, and again if the id has changed. */
  #confirmed<T>(operation: string, call: Call<T>, isLenient = false): Promise<T> {
    return this.#lifecycle.run(operation, () => this.#callConfirmed(call, isLenient))
  }

  async #callConfirmed<T>(call: Call<T>, isLenient: boolean): Promise<T> {
    if (this.#known === undefined) await this.#readOrKeep()
    const prefix = this.#keyPrefix
    const outer = this.#outerKeyPrefix
    const confirming = this.#confirm()
    const [confirmed, result] = await Promise.allSettled([confirming, attempt(call, prefix)])
    // The id may have been confirmed in an earlier generation of the prefix around this one than the call was made in.
    if (outer !== this.#outerKeyPrefix) return this.#callConfirmed(call, isLenient)
    if (prefix !== this.#keyPrefix) return call(this.#keyPrefix)
    if (confirmed.status === 'rejected' && !isLenient) throw confirmed.reason
    if (result.status === 'rejected') throw result.reason
    return result.value
  }

  /** Reads the id, shared by all calls made before the read can be sent. */
  #confirm(): Promise<void> {
    if (this.#confirming === undefined) {
      this.#confirming = this.#readId()
      queueMicrotask(() => {
        this.#confirming = undefined
      })
    }
    return this.#confirming
  }

  /** Reads the id, or goes on with the known one when it cannot be read. */
  async #readOrKeep(): Promise<void> {
    try {
      await this.#readShared()
    } catch (error) {
      if (this.#known === undefined || !CacheError.is(error)) throw error
    }
  }

  #readShared(): Promise<void> {
    this.#reading ??= this.#readId().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #readId(): Promise<void> {
    try {
      const { newest, isComplete, copies } = await this.#readCopies()
      const outer = this.#outerKeyPrefix
      // An id of an earlier generation of the prefix around this one must not replace that of another process.
      const known = outer === this.#knownWithin ? this.#known : undefined
      const id = newest === undefined ? this.#restorable(known) : newestOf([newest, known])
      if (id === undefined) {
        this.#adopt(await this.#ids.create(await this.#newIdAfter(this.#known), copies), outer)
      } else {
        this.#adopt(id, outer)
        if (!isComplete || id.text !== newest?.text) await this.#repair(id, copies, outer)
      }
    } catch (error) {
      this.#readAt = this.#clock.now()
      this.#isConfirmed = false
      throw error
    }
  }

  /** Reads the copies, all of them in one generation of the prefix around this one. */
  async #readCopies(): Promise<IdReading> {
    for (;;) {
      const outer = this.#outerKeyPrefix
      const reading = await this.#ids.read()
      if (outer === '' || outer === this.#outerKeyPrefix) return reading
    }
  }

  /** What keys of the prefix around this one begin with, if that has generations too. */
  get #outerKeyPrefix(): string {
    return this.#store instanceof GenerationStore ? this.#store.#keyPrefix : ''
  }

  /** Stores the id where it is missing or older, at most once in a refresh interval: a copy may be lost for longer. */
  async #repair(id: GenerationId, copies: IdReading['copies'], outer: string): Promise<void> {
    const now = this.#clock.now()
    if (isWithin(refreshMs, this.#repairedAt, now)) return
    this.#repairedAt = now
    this.#adopt(await this.#ids.raise(id, copies), outer)
  }

  /** The known id, if it was confirmed so lately that restoring it cannot undo the clear of another process. */
  #restorable(known: GenerationId | undefined): GenerationId | undefined {
    return isWithin(restoreMs, this.#confirmedAt, this.#clock.now()) ? known : undefined
  }

  async #newIdAfter(id: GenerationId | undefined): Promise<GenerationId> {
    return createId(Math.max((id?.number ?? 0) + 1, await this.#time.now()))
  }

  #adopt(id: GenerationId, outer: string): void {
    const isElsewhere = outer !== this.#knownWithin
    if (this.#known === undefined || isElsewhere || isNewer(id, this.#known)) {
      this.#known = id
      this.#knownWithin = outer
      this.#keyPrefix = `${this.#prefix}${id.text}:`
    }
    this.#readAt = this.#clock.now()
    this.#confirmedAt = this.#readAt
    this.#isConfirmed = true
  }
}

/** Whether `now` is less than `span` after `time`. A clock that was set back counts as later. */
function isWithin(span: number, time: number, now: number): boolean {
  const age = now - time
  return age >= 0 && age < span
}

/** Calls a store, which may also throw. */
async function attempt<T>(call: Call<T>, prefix: string): Promise<T> {
  return call(prefix)
}
