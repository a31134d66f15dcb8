import { isUnreachable } from '../errors.ts'
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
  readonly #store: AnyStore
  readonly #prefix: string
  /** Length of what is prepended to every key. */
  readonly #prefixBytes: number
  readonly #clock: Clock
  readonly #lifecycle: Lifecycle
  readonly #closeStore: () => Promise<void>
  readonly #ids: IdCopies
  readonly #time: BackendTime
  #known: GenerationId | undefined
  /** What keys of the known generation begin with. */
  #keyPrefix = ''
  /** When the id was last read, or could not be read. */
  #readAt = 0
  #isConfirmed = false
  #confirmedAt = 0
  #repairedAt = 0
  /** How often this process has cleared the prefix. */
  #clearCount = 0
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
    this.#prefixBytes = Buffer.byteLength(prefix) + longestIdText + 1
    this.#store = store
    this.#prefix = prefix
    this.#clock = clock
    this.#lifecycle = lifecycle
    this.#closeStore = closeStore
    this.#ids = new IdCopies(store, prefix)
    this.#time = new BackendTime(store.time?.bind(store), clock)
  }

  /** Read from the store each time: some limits are known only after the backend has replied. */
  get limits(): StoreLimits {
    const { limits } = this.#store
    return { ...limits, keyBytes: limits.keyBytes - this.#prefixBytes }
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
    return this.#confirmed('set', (at) => this.#store.set(at + key, item, ttl))
  }

  setMany(entries: readonly (readonly [string, unknown])[], ttl?: number): Awaitable<void> {
    return this.#confirmed('setMany', (at) =>
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
    return this.#confirmed('compareAndSet', (at) =>
      this.#store.compareAndSet(at + key, expected, next, ttl),
    )
  }

  increment(key: string, by: number, ttl?: number): Awaitable<number> {
    return this.#confirmed('increment', (at) => this.#store.increment(at + key, by, ttl))
  }

  touch(key: string, ttl?: number): Awaitable<boolean> {
    return this.#confirmed('touch', (at) => this.#store.touch(at + key, ttl))
  }

  delete(key: string): Awaitable<boolean> {
    return this.#confirmed('delete', (at) => this.#store.delete(at + key))
  }

  deleteMany(keys: readonly string[]): Awaitable<number> {
    return this.#confirmed('deleteMany', (at) =>
      this.#store.deleteMany(keys.map((key) => at + key)),
    )
  }

  clear(): Promise<void> {
    return this.#lifecycle.run('clear', async () => {
      const { newest, copies } = await this.#ids.read()
      const id = await this.#newIdAfter(newestOf([newest, this.#known]))
      this.#adopt(await this.#ids.raise(id, copies))
      this.#clearCount++
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
    if (this.#known === undefined) return this.#afterFirstRead(operation, call)
    if (isWithin(refreshMs, this.#readAt, this.#clock.now())) return call(this.#keyPrefix)
    // After a failed attempt, calls do not wait for the next one.
    if (this.#isConfirmed) {
      return this.#lifecycle.run(operation, () => this.#besideReading(call, this.#readShared()))
    }
    this.#readShared().catch(() => {})
    return call(this.#keyPrefix)
  }

  #afterFirstRead<T>(operation: string, call: Call<T>): Promise<T> {
    return this.#lifecycle.run(operation, async () => {
      await this.#readShared()
      return call(this.#keyPrefix)
    })
  }

  /** Makes a call with an id that was confirmed after the call began. */
  #confirmed<T>(operation: string, call: Call<T>): Promise<T> {
    return this.#lifecycle.run(operation, async () => {
      if (this.#known === undefined) await this.#readShared()
      return this.#besideReading(call, this.#confirm())
    })
  }

  /**
   * Makes a call with the known id while the id is being read, and again if the id has changed. While the id cannot be
   * reached, the known one is right: `clear` fails as well.
   */
  async #besideReading<T>(call: Call<T>, reading: Promise<void>): Promise<T> {
    const prefix = this.#keyPrefix
    const clearCount = this.#clearCount
    const [, result] = await Promise.allSettled([reading, attempt(call, prefix)])
    // After a clear of this process that was called later, the old generation was the right one.
    const isOutdated = prefix !== this.#keyPrefix && clearCount === this.#clearCount
    if (isOutdated) return call(this.#keyPrefix)
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

  /** Reads the id, shared by all calls that wait for it. */
  #readShared(): Promise<void> {
    this.#reading ??= this.#readId().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #readId(): Promise<void> {
    try {
      const spares = this.#known === undefined
      const { newest, isComplete, hasOlder, copies } = await this.#ids.read({ spares })
      const id = newest === undefined ? this.#restorable() : newestOf([newest, this.#known])
      if (id === undefined) {
        this.#adopt(await this.#ids.create(await this.#newIdAfter(this.#known), copies))
      } else {
        this.#adopt(id)
        const isOutdated = hasOlder || (newest !== undefined && id.text !== newest.text)
        const isMissing = newest === undefined || !isComplete
        if (isOutdated || (isMissing && this.#mayRepair())) await this.#repair(id, copies)
      }
    } catch (error) {
      this.#readAt = this.#clock.now()
      this.#isConfirmed = false
      // While this process cannot reach the id, it knows of no clear, so it may restore the id for as long.
      if (isUnreachable(error) && this.#restorable() !== undefined) this.#confirmedAt = this.#readAt
      throw error
    }
  }

  /** Missing copies are stored at most once in a refresh interval: a copy may be lost for longer. */
  #mayRepair(): boolean {
    return !isWithin(refreshMs, this.#repairedAt, this.#clock.now())
  }

  /** Stores the id where it is missing or older. */
  async #repair(id: GenerationId, copies: IdReading['copies']): Promise<void> {
    this.#repairedAt = this.#clock.now()
    this.#adopt(await this.#ids.raise(id, copies))
  }

  /** The known id, if it was confirmed so lately that restoring it cannot undo the clear of another process. */
  #restorable(): GenerationId | undefined {
    return isWithin(restoreMs, this.#confirmedAt, this.#clock.now()) ? this.#known : undefined
  }

  async #newIdAfter(id: GenerationId | undefined): Promise<GenerationId> {
    return createId(Math.max((id?.number ?? 0) + 1, await this.#time.now()))
  }

  #adopt(id: GenerationId): void {
    if (this.#known === undefined || isNewer(id, this.#known)) {
      this.#known = id
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
