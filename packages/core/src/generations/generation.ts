import type { AnyStore } from '../store.ts'
import { BackendTime } from '../time/backend-time.ts'
import { type Clock, Moment } from '../time/clock.ts'
import {
  createIdAfter,
  type GenerationId,
  isNewer,
  maxIdLength,
  newestOf,
} from './generation-id.ts'
import { IdCopies, type IdReading } from './id-copies.ts'
import { type CallKind, type PrefixedCall, UnconfirmedCall } from './unconfirmed-call.ts'

/** How long a process uses the id it knows for reads that need not be strong. */
const refreshMs = 1_000
/**
 * How long after it was confirmed a lost id is restored. Short, because another process may have cleared since: with all
 * copies of the newer id lost, its clear would be undone until that process reads the id again.
 */
const restoreMs = 2 * refreshMs
/** For how long after an attempt to read an id that failed calls do not wait for another attempt. */
const failingMs = 2 * refreshMs

const resolved = Promise.resolve()
/**
 * How many clears this process has begun, of all prefixes. A clear has the next number, and a call the number of the clear
 * before it: so a write that was made before a clear is not repeated after it.
 */
let clearsBegun = 0

/** When a read of the id began, and how often others had cleared until then, as far as this process knows. */
interface Beginning {
  readonly at: Moment
  readonly expirations: number
}

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
  /** The prefix with those around it, without their ids: the ids of all prefixes lie beside each other. */
  readonly #path: string
  readonly #ids: IdCopies
  /** Those around this generation, and this one. Every key contains the ids of all of them. */
  readonly #chain: readonly Generation[]
  readonly #clock: Clock
  readonly #time: BackendTime
  /** The newest id that this process has read or stored. */
  #id: GenerationId | undefined
  #ownKeyPrefix = ''
  /** When the last read of the id began, or failed. */
  #readAt: Moment | undefined
  /** Whether the last read of the id succeeded. */
  #isConfirmed = false
  #confirmedAt: Moment | undefined
  #repairedAt: Moment | undefined
  /** The number of the last clear that has taken effect. */
  #lastClear = 0
  readonly #clearsInFlight = new Set<{ readonly clearNumber: number; readonly id: GenerationId }>()
  #reading: Promise<void> | undefined
  /** The first read of the ids, until it has settled. */
  #starting: Promise<void> | undefined
  /** How often `expire` was called. */
  #expirations = 0
  #confirming: Promise<void> | undefined
  /** Those of this generation and of the ones within it, in the order in which they were made. */
  readonly #unconfirmedCalls = new Set<UnconfirmedCall<unknown>>()

  constructor(store: AnyStore, prefix: string, clock: Clock, outer?: Generation) {
    this.keyPrefixBytes = (outer?.keyPrefixBytes ?? 0) + Buffer.byteLength(prefix) + maxIdLength + 1
    this.#prefix = prefix
    this.#path = outer === undefined ? prefix : outer.#path + prefix
    this.#ids = new IdCopies(store, this.#path)
    this.#chain = outer === undefined ? [this] : [...outer.#chain, this]
    this.#clock = clock
    this.#time = outer === undefined ? new BackendTime(store.time?.bind(store), clock) : outer.#time
  }

  /** What all keys of this generation begin with. */
  get keyPrefix(): string {
    let prefix = ''
    for (const each of this.#chain) prefix += each.#ownKeyPrefix
    return prefix
  }

  /** Epoch milliseconds, by the clock of the backend if it has one. */
  time(): Promise<number> {
    return this.#time.estimate()
  }

  /** Whether `keyPrefix` is recent enough for reads that need not be strong. Otherwise use {@link callRefreshing}. */
  isFresh(): boolean {
    return this.#isStarted && this.#chain.every((each) => each.#isRecent())
  }

  /** Call it when another process may have cleared: the next call reads the id. */
  expire(): void {
    this.#expirations++
    this.#readAt = undefined
    // A read in flight may return the id before the clear.
    this.#reading = undefined
  }

  /** Makes a call that need not be strong, and refreshes the ids. */
  async callRefreshing<T>(call: PrefixedCall<T>): Promise<T> {
    if (!this.#isStarted) await this.#start()
    const reading = all(this.#chain, (each) => each.#refresh())
    return this.#callWhile(reading, 'read', call)
  }

  /** Reads the id again unless it was read recently. */
  #refresh(): Promise<void> {
    if (this.#isRecent()) return resolved
    const isFailing = this.#isFailing()
    const reading = this.#readShared()
    if (!isFailing) return reading
    reading.catch(ignore)
    return resolved
  }

  #isRecent(): boolean {
    return this.#readAt?.isWithin(refreshMs) === true
  }

  /**
   * Whether the id was unreachable a moment ago. Calls do not wait for the next attempt then, or all of them would wait for
   * its deadline. A process that was idle meanwhile waits, because there may have been a clear since the outage.
   */
  #isFailing(): boolean {
    return !this.#isConfirmed && this.#readAt?.isWithin(failingMs) === true
  }

  /**
   * Makes a call with ids that are confirmed after the beginning of the call. If one is unreachable, a write or a change is
   * made with the known one. A read rejects, because another process may have cleared what it would return; and an `add`,
   * because two processes that know different ids would both get a lock.
   */
  async callConfirmed<T>(kind: CallKind, call: PrefixedCall<T>): Promise<T> {
    if (!this.#isStarted) await this.#start()
    const confirming = all(this.#chain, (each) => each.#confirm())
    const result = await this.#callWhile(confirming, kind, call)
    if (kind === 'read' || kind === 'add') await confirming
    return result
  }

  /**
   * Makes a call with the known ids while they are being read, and repeats it if that finds a newer one. While an id is
   * unreachable, the known one is used: in an outage that affects all processes, `clear()` fails as well.
   */
  async #callWhile<T>(reading: Promise<void>, kind: CallKind, call: PrefixedCall<T>): Promise<T> {
    const prefixes = this.#chain.map((each) => each.#ownKeyPrefix)
    const unconfirmed = new UnconfirmedCall(kind, call, prefixes, clearsBegun)
    for (const each of this.#chain) each.#unconfirmedCalls.add(unconfirmed)
    try {
      await reading
    } catch {
      // The known ids are used.
    }
    for (const each of this.#chain) each.#unconfirmedCalls.delete(unconfirmed)
    return await unconfirmed.result
  }

  /** Begins a new generation. */
  async clear(): Promise<void> {
    const clearNumber = ++clearsBegun
    const beginning = this.#beginReading()
    // Without spare copies: they are ignored as soon as others are reachable again, which would undo the clear.
    const [reading, time] = await Promise.all([this.#ids.read(), this.#time.read()])
    const own = { clearNumber, id: createIdAfter(newestOf([reading.newest, this.#id]), time) }
    this.#clearsInFlight.add(own)
    const id = await this.#ids.raiseOnClear(own.id, reading).finally(() => {
      this.#clearsInFlight.delete(own)
    })
    this.#lastClear = Math.max(this.#lastClear, clearNumber)
    this.#adopt(id, beginning)
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

  /** Whether a call may be made with the known ids. Otherwise it would overtake those that wait for the first read. */
  get #isStarted(): boolean {
    return this.#starting === undefined && this.#chain.every((each) => each.#id !== undefined)
  }

  /** Reads the ids for the first time. The calls that wait for them continue in the order in which they were made. */
  #start(): Promise<void> {
    if (this.#starting !== undefined) return this.#starting
    const unknown = this.#chain.filter((each) => each.#id === undefined)
    const starting = all(unknown, (each) => each.#readShared())
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
    try {
      await this.#readOrCreate(this.#beginReading())
    } catch (error) {
      this.#readAt = new Moment(this.#clock)
      this.#isConfirmed = false
      throw error
    }
  }

  /** To be called before a request is sent: a clear of another process may follow while its reply is on the way. */
  #beginReading(): Beginning {
    return { at: new Moment(this.#clock), expirations: this.#expirations }
  }

  async #readOrCreate(beginning: Beginning): Promise<void> {
    const spares = this.#id === undefined
    const { newest, isComplete, hasOlder, copies } = await this.#ids.read({ spares })
    if (newest === undefined) return this.#adopt(await this.#restoreOrCreate(copies), beginning)
    const id = newestOf([newest, this.#id]) as GenerationId
    this.#adopt(id, beginning)
    const isOutdated = hasOlder || id.text !== newest.text
    if (!isOutdated && (isComplete || !this.#mayRepair())) return
    this.#repairedAt = new Moment(this.#clock)
    try {
      this.#adopt(await this.#ids.raise(id, copies), beginning)
    } catch {
      // The id has been read nevertheless. The next read repairs the copies.
    }
  }

  /**
   * Missing copies are stored at most once per refresh, because a node may be down for longer. Older copies are replaced
   * at once: a process that knows no newer id would use them.
   */
  #mayRepair(): boolean {
    return this.#repairedAt?.isWithin(refreshMs) !== true
  }

  /** Stores the known id if it was confirmed recently, or else a new one. Returns the newest id that is stored then. */
  async #restoreOrCreate(copies: IdReading['copies']): Promise<GenerationId> {
    if (this.#id !== undefined && this.#isRestorable()) return this.#ids.raise(this.#id, copies)
    return this.#ids.create(createIdAfter(this.#id, await this.#time.read()), copies)
  }

  /** Whether the known id was confirmed recently. */
  #isRestorable(): boolean {
    return this.#confirmedAt?.isWithin(restoreMs) === true
  }

  #adopt(id: GenerationId, { at, expirations }: Beginning): void {
    this.#readAt = expirations === this.#expirations ? at : undefined
    this.#confirmedAt = at
    this.#isConfirmed = true
    if (this.#id !== undefined && !isNewer(id, this.#id)) return
    this.#id = id
    this.#ownKeyPrefix = `${this.#prefix}${id.text}:`
    this.#noteClears(id)
    // Immediately, so that calls for one key keep their order: the next call is sent with the new id.
    const depth = this.#chain.length - 1
    for (const call of this.#unconfirmedCalls) {
      if (!call.isWriteBefore(this.#lastClear)) call.repeat(depth, this.#ownKeyPrefix)
    }
  }

  /** A clear of this process has taken effect as soon as its id is found, although it has not been stored everywhere. */
  #noteClears(found: GenerationId): void {
    for (const { clearNumber, id } of this.#clearsInFlight) {
      if (!isNewer(id, found)) this.#lastClear = Math.max(this.#lastClear, clearNumber)
    }
  }
}

function ignore(): void {}

/** Waits for the work of every generation, and rejects if that of one has failed. */
async function all(
  generations: readonly Generation[],
  work: (generation: Generation) => Promise<void>,
): Promise<void> {
  const results = await Promise.allSettled(generations.map(work))
  const failed = results.find(({ status }) => status === 'rejected')
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason
}
