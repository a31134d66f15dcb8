import { isUnreachable } from '../errors.ts'
import type { Awaitable } from '../store.ts'
import { BackendTime } from '../time/backend-time.ts'
import type { Clock } from '../time/clock.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { createId, type GenerationId, isNewer, maxIdLength, newestOf } from './generation-id.ts'
import { IdCopies, type IdReading } from './id-copies.ts'

/** How long a process uses the id it knows for reads that need not be strong. */
const refreshMs = 1_000
/**
 * How long after it was confirmed a lost id is restored. Short, because another process may have cleared since: with all
 * copies of the newer id lost, its clear would be undone until that process reads the id again.
 */
const restoreMs = 2 * refreshMs

/** A call of a store, for keys that begin with `keyPrefix`. */
export type PrefixedCall<T> = (keyPrefix: string) => Awaitable<T>

/**
 * The current generation of a prefix. Its id is part of every key, and `clear()` replaces the id: O(1), and nothing
 * outside the prefix is touched.
 *
 * - The newest id is the current one. A process never returns to an older id, and replaces an older id that it finds. So
 *   a clear remains in effect as long as one node stores its id or one process knows it.
 * - A process restores a lost id only if it confirmed it recently. Otherwise it creates a new one, which can only cause
 *   misses.
 * - Strong reads and writes confirm the id in the same round trip: the call is sent with the known id together with a
 *   read of the id, and repeated only if the id has changed.
 */
export class Generation {
  /** Maximum length of `keyPrefix`. */
  readonly keyPrefixBytes: number
  readonly #prefix: string
  readonly #clock: Clock
  readonly #ids: IdCopies
  readonly #time: BackendTime
  /** The newest id that this process has read or stored. */
  #id: GenerationId | undefined
  #keyPrefix = ''
  /** When the last read of the id began, or failed. */
  #readAt = 0
  /** Whether the last read of the id succeeded. */
  #isConfirmed = false
  #confirmedAt = 0
  #repairedAt = 0
  #reading: Promise<void> | undefined
  #confirming: Promise<void> | undefined
  /** In the order in which they were made. */
  readonly #unconfirmedCalls = new Set<UnconfirmedCall<unknown>>()

  constructor(store: AnyStore, prefix: string, clock: Clock) {
    this.keyPrefixBytes = Buffer.byteLength(prefix) + maxIdLength + 1
    this.#prefix = prefix
    this.#clock = clock
    this.#ids = new IdCopies(store, prefix)
    this.#time = new BackendTime(store.time?.bind(store), clock)
  }

  /** What all keys of this generation begin with. */
  get keyPrefix(): string {
    return this.#keyPrefix
  }

  /** Epoch milliseconds, by the clock of the backend if it has one. */
  time(): Promise<number> {
    return this.#time.now()
  }

  /** Whether `keyPrefix` is recent enough for reads that need not be strong. Otherwise use {@link callRefreshing}. */
  isFresh(): boolean {
    return this.#id !== undefined && isWithin(refreshMs, this.#readAt, this.#clock.now())
  }

  /** Makes a call that need not be strong, and refreshes the id. */
  async callRefreshing<T>(call: PrefixedCall<T>): Promise<T> {
    if (this.#id !== undefined && this.#isConfirmed) {
      return this.#callWhile(this.#readShared(), call)
    }
    const reading = this.#readShared()
    if (this.#id === undefined) await reading
    // After a failed read, calls do not wait for the next attempt.
    else reading.catch(ignore)
    return call(this.#keyPrefix)
  }

  /**
   * Makes a call with an id that is confirmed after the beginning of the call. If the id is unreachable, the call is made
   * with the known one, unless `mustConfirm`: two processes that know different ids would both get a lock.
   */
  async callConfirmed<T>(call: PrefixedCall<T>, mustConfirm = false): Promise<T> {
    if (this.#id === undefined) await this.#readShared()
    const confirming = this.#confirm()
    const result = await this.#callWhile(confirming, call)
    if (mustConfirm) await confirming
    return result
  }

  /**
   * Makes a call with the known id while the id is being read, and repeats it if that finds a newer one. While the id is
   * unreachable, the known one is used: in an outage that affects all processes, `clear()` fails as well.
   */
  async #callWhile<T>(reading: Promise<void>, call: PrefixedCall<T>): Promise<T> {
    const unconfirmed = new UnconfirmedCall(call, this.#keyPrefix)
    this.#unconfirmedCalls.add(unconfirmed)
    await reading.catch(ignore)
    this.#unconfirmedCalls.delete(unconfirmed)
    return unconfirmed.result
  }

  /** Begins a new generation. */
  async clear(): Promise<void> {
    // Calls made before this clear must not be repeated in the generation after it.
    this.#unconfirmedCalls.clear()
    const readAt = this.#clock.now()
    // Without spare copies: they are ignored as soon as others are reachable again, which would undo the clear.
    const { newest, copies } = await this.#ids.read()
    const id = await this.#newIdAfter(newestOf([newest, this.#id]))
    this.#adopt(await this.#ids.raise(id, copies), readAt)
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

  /** Reads the id, or joins a read in flight. */
  #readShared(): Promise<void> {
    this.#reading ??= this.#readId().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #readId(): Promise<void> {
    // Before the read: a clear may follow while its reply is on the way.
    const readAt = this.#clock.now()
    try {
      const spares = this.#id === undefined
      const { newest, isComplete, hasOlder, copies } = await this.#ids.read({ spares })
      if (newest === undefined) {
        this.#adopt(await this.#restoreOrCreate(copies), readAt)
        return
      }
      const id = newestOf([newest, this.#id]) ?? newest
      this.#adopt(id, readAt)
      const isOutdated = hasOlder || id.text !== newest.text
      if (isOutdated || (!isComplete && this.#mayRepair())) await this.#repair(id, copies, readAt)
    } catch (error) {
      this.#readAt = this.#clock.now()
      this.#isConfirmed = false
      // In an outage that affects all processes, nothing is cleared, so the id remains restorable while it is in use.
      if (isUnreachable(error) && this.#isRestorable()) this.#confirmedAt = this.#readAt
      throw error
    }
  }

  /**
   * Missing copies are stored at most once per refresh, because a node may be down for longer. Older copies are replaced
   * at once: a process that knows no newer id would use them.
   */
  #mayRepair(): boolean {
    return !isWithin(refreshMs, this.#repairedAt, this.#clock.now())
  }

  /** Stores the id where it is missing or older. */
  async #repair(id: GenerationId, copies: IdReading['copies'], readAt: number): Promise<void> {
    this.#repairedAt = this.#clock.now()
    this.#adopt(await this.#ids.raise(id, copies), readAt)
  }

  /** Stores the known id if it was confirmed recently, or else a new one. Returns the newest id that is stored then. */
  async #restoreOrCreate(copies: IdReading['copies']): Promise<GenerationId> {
    if (this.#id !== undefined && this.#isRestorable()) return this.#ids.raise(this.#id, copies)
    return this.#ids.create(await this.#newIdAfter(this.#id), copies)
  }

  /** Whether the known id was confirmed recently. */
  #isRestorable(): boolean {
    return isWithin(restoreMs, this.#confirmedAt, this.#clock.now())
  }

  async #newIdAfter(id: GenerationId | undefined): Promise<GenerationId> {
    return createId(Math.max((id?.number ?? 0) + 1, await this.#time.now()))
  }

  #adopt(id: GenerationId, readAt: number): void {
    this.#readAt = readAt
    this.#confirmedAt = readAt
    this.#isConfirmed = true
    if (this.#id !== undefined && !isNewer(id, this.#id)) return
    this.#id = id
    this.#keyPrefix = `${this.#prefix}${id.text}:`
    // Immediately, so that calls for one key keep their order: the next call is sent with the new id.
    for (const call of this.#unconfirmedCalls) call.send(this.#keyPrefix)
  }
}

/** A call in flight that is repeated if the id of the generation has changed. */
class UnconfirmedCall<T> {
  /** The result for the last prefix with which the call was sent. */
  result!: Promise<T>
  readonly #call: PrefixedCall<T>

  constructor(call: PrefixedCall<T>, keyPrefix: string) {
    this.#call = call
    this.send(keyPrefix)
  }

  send(keyPrefix: string): void {
    this.result = attempt(this.#call, keyPrefix)
    // It may be replaced, and is awaited later.
    this.result.catch(ignore)
  }
}

/** Whether `now` is less than `span` after `time`. A clock that was set back counts as later. */
function isWithin(span: number, time: number, now: number): boolean {
  const age = now - time
  return age >= 0 && age < span
}

function ignore(): void {}

/** Makes a call that may also throw. */
async function attempt<T>(call: PrefixedCall<T>, keyPrefix: string): Promise<T> {
  return call(keyPrefix)
}
