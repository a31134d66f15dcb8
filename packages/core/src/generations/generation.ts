import type { Awaitable } from '../store.ts'
import { BackendTime } from '../time/backend-time.ts'
import { type Clock, Moment } from '../time/clock.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import {
  createIdAfter,
  type GenerationId,
  isNewer,
  maxIdLength,
  newestOf,
} from './generation-id.ts'
import { IdCopies, type IdReading } from './id-copies.ts'
import { type IdStore, PinnedStore } from './pinned-store.ts'
import { type CallKind, type PrefixedCall, UnconfirmedCall } from './unconfirmed-call.ts'

/** How long a process uses the id it knows for reads that need not be strong. */
const refreshMs = 1_000
/**
 * How long after it was confirmed a lost id is restored. Short, because another process may have cleared since: with all
 * copies of the newer id lost, its clear would be undone until that process reads the id again.
 */
const restoreMs = 2 * refreshMs

const resolved = Promise.resolve()
/** How many clears this process has begun. */
let clearsBegun = 0

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
  /** The copies of the id, if no generation is around this one. */
  #ids: IdCopies | undefined
  readonly #store: AnyStore
  /** The generation of the prefix around this one, if that has generations too. */
  readonly #outer: Generation | undefined
  readonly #clock: Clock
  readonly #time: BackendTime
  /** The newest id that this process has read or stored. */
  #id: GenerationId | undefined
  /** The key prefix of the outer generation in which the id was read or stored. */
  #outerKeyPrefix = ''
  #keyPrefix = ''
  /** When the last read of the id began, or failed. */
  #readAt: Moment | undefined
  /** Whether the last read of the id succeeded. */
  #isConfirmed = false
  #confirmedAt: Moment | undefined
  #repairedAt: Moment | undefined
  #lastClear = 0
  readonly #clearsInFlight = new Set<{ readonly number: number; readonly id: GenerationId }>()
  #reading: Promise<void> | undefined
  /** The first read of the id, until it has settled. */
  #starting: Promise<void> | undefined
  /** How often `expire` was called. */
  #expirations = 0
  #confirming: Promise<void> | undefined
  /** In the order in which they were made. */
  readonly #unconfirmedCalls = new Set<UnconfirmedCall<unknown>>()

  constructor(store: AnyStore, prefix: string, clock: Clock, outer?: Generation) {
    this.#outer = outer
    this.keyPrefixBytes = Buffer.byteLength(prefix) + maxIdLength + 1
    this.#prefix = prefix
    this.#clock = clock
    this.#store = store
    this.#time = outer === undefined ? new BackendTime(store.time?.bind(store), clock) : outer.#time
  }

  /** What all keys of this generation begin with, within the outer one. */
  get keyPrefix(): string {
    return this.#keyPrefix
  }

  /** What all keys of this generation begin with, outer generations included. */
  get fullKeyPrefix(): string {
    return this.#outer === undefined ? this.#keyPrefix : this.#outer.fullKeyPrefix + this.#keyPrefix
  }

  /** The number of the last clear of this prefix, or of one around it, that this process has made; 0 if there is none. */
  get lastClear(): number {
    return Math.max(this.#lastClear, this.#outer?.lastClear ?? 0)
  }

  /** Epoch milliseconds, by the clock of the backend if it has one. */
  time(): Promise<number> {
    return this.#time.now()
  }

  /** Whether `keyPrefix` is recent enough for reads that need not be strong. Otherwise use {@link callRefreshing}. */
  isFresh(): boolean {
    return this.#isStarted && this.#readAt?.isWithin(refreshMs) === true
  }

  /** To be called when another process may have cleared: the next call reads the id. */
  expire(): void {
    this.#expirations++
    this.#readAt = undefined
    // A read in flight may return the id before the clear.
    this.#reading = undefined
  }

  /** Makes a call that need not be strong, and refreshes the id. */
  async callRefreshing<T>(call: PrefixedCall<T>): Promise<T> {
    const isKnown = this.#isStarted
    const reading = isKnown ? this.#readShared() : this.#start()
    if (isKnown && !this.#isFailing()) return this.#callWhile(reading, 'read', call)
    if (isKnown) reading.catch(ignore)
    else await reading
    // This call may have been made after `expire`, while the first read was in flight.
    if (!isKnown && this.#readAt === undefined) {
      return this.#callWhile(this.#readShared(), 'read', call)
    }
    return call(this.#keyPrefix)
  }

  /**
   * Whether the id was unreachable a moment ago. Calls do not wait for the next attempt then, or all of them would wait for
   * its deadline. A process that was idle meanwhile waits, because there may have been a clear since the outage.
   */
  #isFailing(): boolean {
    return !this.#isConfirmed && this.#readAt?.isWithin(restoreMs) === true
  }

  /**
   * Makes a call with an id that is confirmed after the beginning of the call. If the id is unreachable, a write or a change is
   * made with the known one. A read rejects, because another process may have cleared what it would return; and an `add`,
   * because two processes that know different ids would both get a lock.
   */
  async callConfirmed<T>(kind: CallKind, call: PrefixedCall<T>): Promise<T> {
    if (!this.#isStarted) await this.#start()
    const confirming = this.#confirm()
    const result = await this.#callWhile(confirming, kind, call)
    if (kind === 'read' || kind === 'add') await confirming
    return result
  }

  /**
   * Makes a call with the known id while the id is being read, and repeats it if that finds a newer one. While the id is
   * unreachable, the known one is used: in an outage that affects all processes, `clear()` fails as well.
   */
  async #callWhile<T>(reading: Promise<void>, kind: CallKind, call: PrefixedCall<T>): Promise<T> {
    const outerKeyPrefix = this.#outer?.fullKeyPrefix
    const unconfirmed = new UnconfirmedCall(kind, call, this.#keyPrefix, clearsBegun)
    this.#unconfirmedCalls.add(unconfirmed)
    try {
      await reading
    } catch {
      // The known id is used.
    }
    if (this.#outer !== undefined) await this.#followOuter(this.#outer, outerKeyPrefix, unconfirmed)
    this.#unconfirmedCalls.delete(unconfirmed)
    return await unconfirmed.result
  }

  /** Waits for the result. If the outer generation has changed meanwhile, reads the id that is current in the new one. */
  async #followOuter(
    outer: Generation,
    outerKeyPrefix: string | undefined,
    call: UnconfirmedCall<unknown>,
  ): Promise<void> {
    await call.result.catch(ignore)
    const keyPrefix = outer.fullKeyPrefix
    if (keyPrefix === outerKeyPrefix) return
    // The outer generation has repeated the call. If another id is current there, `#adopt` repeats it with that id.
    await this.#readShared().catch(ignore)
    await this.#followOuter(outer, keyPrefix, call)
  }

  /** Begins a new generation. */
  async clear(): Promise<void> {
    await this.#clear(++clearsBegun)
  }

  async #clear(number: number): Promise<void> {
    const readAt = new Moment(this.#clock)
    const ids = await this.#locateIds()
    // Without spare copies: they are ignored as soon as others are reachable again, which would undo the clear.
    const [reading, time] = await Promise.all([ids.read(), this.#time.shared()])
    const own = { number, id: createIdAfter(newestOf([reading.newest, this.#id]), time) }
    this.#clearsInFlight.add(own)
    const id = await ids.begin(own.id, reading).finally(() => this.#clearsInFlight.delete(own))
    // The generation around this one has changed: the id was stored in the one before, or in none.
    if (!this.#isWithin(ids)) return this.#clear(number)
    this.#lastClear = Math.max(this.#lastClear, number)
    this.#adopt(id, readAt, ids.outerKeyPrefix)
  }

  /** Reads the id, shared by all calls made before the read can be sent. */
  #confirm(): Promise<void> {
    if (this.#confirming === undefined) {
      this.#confirming = this.#readId()
      // Costs less than `queueMicrotask`.
      resolved.then(() => {
        this.#confirming = undefined
      })
    }
    return this.#confirming
  }

  /** Whether a call may be made with the known id. Otherwise it would overtake those that wait for the first read. */
  get #isStarted(): boolean {
    return this.#id !== undefined && this.#starting === undefined
  }

  /** Reads the id for the first time. The calls that wait for it continue in the order in which they were made. */
  #start(): Promise<void> {
    if (this.#starting !== undefined) return this.#starting
    const starting = this.#readShared()
    this.#starting = starting
    const end = () => {
      this.#starting = undefined
    }
    // Before the reactions of the waiting calls: no later call comes between.
    starting.then(end, end)
    return starting
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
    const readAt = new Moment(this.#clock)
    const expirations = this.#expirations
    try {
      while (!(await this.#readIdOnce(readAt)));
      if (this.#expirations !== expirations) this.#readAt = undefined
    } catch (error) {
      this.#readAt = new Moment(this.#clock)
      this.#isConfirmed = false
      throw error
    }
  }

  /** Returns whether the generation around this one was the same all the time. */
  async #readIdOnce(readAt: Moment): Promise<boolean> {
    const ids = await this.#locateIds()
    const { newest, isComplete, hasOlder, copies } = await ids.read({
      spares: this.#id === undefined,
    })
    if (!this.#isWithin(ids)) return false
    // An id of an earlier outer generation must not replace the id that another process has stored in this one.
    const known = ids.outerKeyPrefix === this.#outerKeyPrefix ? this.#id : undefined
    const id = newestOf([newest, known])
    if (newest === undefined || id === undefined) {
      return this.#adoptIfWithin(ids, await this.#restoreOrCreate(ids, known, copies), readAt)
    }
    this.#adopt(id, readAt, ids.outerKeyPrefix)
    const isOutdated = hasOlder || id.text !== newest.text
    if (!isOutdated && (isComplete || !this.#mayRepair())) return true
    this.#repairedAt = new Moment(this.#clock)
    return this.#adoptIfWithin(ids, await ids.raise(id, copies), readAt)
  }

  /** The copies of the id within the current generation around this one, if there is one. */
  #locateIds(): Awaitable<IdCopies> {
    if (this.#outer !== undefined) return this.#pinIds(this.#outer)
    this.#ids ??= this.#idsIn(this.#store)
    return this.#ids
  }

  async #pinIds(outer: Generation): Promise<IdCopies> {
    return this.#idsIn(await outer.#pin())
  }

  #idsIn(store: IdStore): IdCopies {
    return new IdCopies(store, this.#prefix)
  }

  /** The store within this generation. */
  async #pin(): Promise<PinnedStore> {
    if (this.#id === undefined) await this.#readShared()
    return new PinnedStore(await this.#storeAround(), this.#keyPrefix, () => this.#confirm())
  }

  #storeAround(): Awaitable<IdStore> {
    return this.#outer === undefined ? this.#store : this.#outer.#pin()
  }

  /** Whether the copies belong to the current generation around this one. */
  #isWithin({ outerKeyPrefix }: IdCopies): boolean {
    return outerKeyPrefix === (this.#outer?.fullKeyPrefix ?? '')
  }

  #adoptIfWithin(ids: IdCopies, id: GenerationId, readAt: Moment): boolean {
    const isWithin = this.#isWithin(ids)
    if (isWithin) this.#adopt(id, readAt, ids.outerKeyPrefix)
    return isWithin
  }

  /**
   * Missing copies are stored at most once per refresh, because a node may be down for longer. Older copies are replaced
   * at once: a process that knows no newer id would use them.
   */
  #mayRepair(): boolean {
    return this.#repairedAt?.isWithin(refreshMs) !== true
  }

  /** Stores the known id if it was confirmed recently, or else a new one. Returns the newest id that is stored then. */
  async #restoreOrCreate(
    ids: IdCopies,
    known: GenerationId | undefined,
    copies: IdReading['copies'],
  ): Promise<GenerationId> {
    if (known !== undefined && this.#isRestorable()) return ids.raise(known, copies)
    return ids.create(createIdAfter(this.#id, await this.#time.shared()), copies)
  }

  /** Whether the known id was confirmed recently. */
  #isRestorable(): boolean {
    return this.#confirmedAt?.isWithin(restoreMs) === true
  }

  #adopt(id: GenerationId, readAt: Moment, outerKeyPrefix: string): void {
    this.#readAt = readAt
    this.#confirmedAt = readAt
    this.#isConfirmed = true
    const isOuterNew = outerKeyPrefix !== this.#outerKeyPrefix
    if (this.#id !== undefined && !isOuterNew && !isNewer(id, this.#id)) return
    const isSameId = id.text === this.#id?.text
    this.#id = id
    this.#outerKeyPrefix = outerKeyPrefix
    // The outer generation repeats the calls itself, with the same id.
    if (isSameId) return
    this.#keyPrefix = `${this.#prefix}${id.text}:`
    if (!isOuterNew) this.#noteClears(id)
    // Immediately, so that calls for one key keep their order: the next call is sent with the new id.
    for (const call of this.#unconfirmedCalls) {
      if (!call.isWriteBefore(this.lastClear)) call.send(this.#keyPrefix)
    }
  }
  /** A clear of this process has taken effect as soon as its id is found, although it has not been stored everywhere. */
  #noteClears(found: GenerationId): void {
    for (const { number, id } of this.#clearsInFlight) {
      if (!isNewer(id, found)) this.#lastClear = Math.max(this.#lastClear, number)
    }
  }
}

function ignore(): void {}
