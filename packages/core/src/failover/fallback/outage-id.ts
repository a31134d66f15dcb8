import { type Awaitable, type ByteStore, strongRead } from '../../store.ts'
import { replaceSeen } from '../../updates/conditional-write.ts'
import { toText } from '../../values/payload.ts'
import { randomId } from '../../values/random-id.ts'

/** Where processes find the id of an outage. Keys of a cache never begin with "~". */
const idKey = '~outage'
/** Contains the token of the last process that uses the fallback store only. */
const userKey = '~outage-user'
/** How long an id is kept after the last process that uses it has renewed it. */
const idTtlMs = 30_000
const userTtlMs = 5_000
const renewalMs = 1_000
const maxConflicts = 5
const idPattern = /^~o[\w-]{8}:$/

/** Length of an id. */
export const outageIdBytes = 11

/**
 * The id of an outage, with which all keys in the fallback store begin. All processes that share the store use the same id
 * during an outage. It is replaced when the outage is over, so that the next one begins without items.
 */
export class OutageId {
  readonly #store: ByteStore
  readonly #isShared: boolean
  readonly #onReplaced: (id: string) => Promise<boolean>
  #current: string | undefined
  /** The id before it is read again. */
  #last: string | undefined
  #reading: Promise<string> | undefined
  #readAt = 0
  readonly #token = createId()
  /** The last id that was dropped, which must not be used again. */
  #dropped: string | undefined

  /**
   * @param onReplaced called with the new id when another process has replaced it, before it is used. Resolves to whether
   *   it can be used
   */
  constructor(store: ByteStore, isShared: boolean, onReplaced: (id: string) => Promise<boolean>) {
    this.#store = store
    this.#onReplaced = onReplaced
    this.#isShared = isShared
  }

  /** Makes a call with the id, which is read from the store before the first one. */
  with<T>(call: (id: string) => Awaitable<T>): Awaitable<T> {
    if (this.#current !== undefined) return call(this.#current)
    if (this.#isShared) return this.#readShared().then(call)
    this.#current = createId()
    return call(this.#current)
  }

  /** Reads the id again before the next call, because this process uses the fallback store only from now on. */
  refresh(): void {
    if (!this.#isShared) return
    this.#last = this.#current ?? this.#last
    this.#current = undefined
    this.#setUser().catch(() => {})
  }

  /**
   * Reads the id once per second, and renews its ttl.
   *
   * @param isAway whether this process uses the fallback store only, so that others must not replace the id
   */
  async renew(isAway: boolean): Promise<void> {
    if (!this.#isShared || this.#current === undefined) return
    if (performance.now() - this.#readAt < renewalMs) return
    try {
      await this.#read()
      if (isAway) await this.#setUser()
    } catch {
      // The calls decide what to do, and the next renewal follows.
    }
  }

  /** Ends the use of the id. Other processes may still use it: their outage continues. */
  async end(): Promise<void> {
    const ended = this.#forget()
    if (ended === undefined) return
    this.#dropped = ended
    if (!this.#isShared || !(await this.#hasOtherUser())) await this.#drop(ended)
  }

  /** Ends the use of the id, also by other processes: they find another one when they renew it. */
  async replace(): Promise<void> {
    const ended = this.#forget()
    if (ended !== undefined) await this.#drop(ended)
  }

  /** Returns the last id that was used. */
  #forget(): string | undefined {
    const last = this.#current ?? this.#last
    this.#current = undefined
    this.#last = undefined
    return last
  }

  async #drop(id: string): Promise<void> {
    this.#dropped = id
    if (!this.#isShared) return
    try {
      await this.#store.compareAndSet(idKey, id, undefined)
    } catch {
      // The id is not used again by this process.
    }
  }

  async #setUser(): Promise<void> {
    await this.#store.set(userKey, this.#token, userTtlMs)
  }

  /** Whether another process uses the fallback store only. */
  async #hasOtherUser(): Promise<boolean> {
    try {
      const user = await this.#store.get(userKey, strongRead)
      if (user === undefined) return false
      return !(await this.#store.compareAndSet(userKey, this.#token, undefined))
    } catch {
      return false
    }
  }

  #readShared(): Promise<string> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #read(): Promise<string> {
    const readAt = performance.now()
    const last = this.#current ?? this.#last
    let id = await this.#findOrCreate()
    if (last !== undefined && last !== id && !(await this.#onReplaced(id))) {
      this.#dropped = id
      id = await this.#findOrCreate()
    }
    this.#readAt = readAt
    this.#current = id
    return id
  }

  async #findOrCreate(): Promise<string> {
    for (let conflicts = 0; ; conflicts++) {
      const found = await this.#store.get(idKey, strongRead)
      const id = found === undefined ? undefined : toText(found)
      if (id !== undefined && idPattern.test(id) && id !== this.#dropped) {
        await this.#store.touch(idKey, idTtlMs)
        return id
      }
      const created = createId()
      const isStored = await replaceSeen(this.#store, idKey, found, created, idTtlMs)
      // Without agreement, each process uses an id of its own, which can only cause misses.
      if (isStored || conflicts >= maxConflicts) return created
    }
  }
}

function createId(): string {
  return `~o${randomId(8)}:`
}
