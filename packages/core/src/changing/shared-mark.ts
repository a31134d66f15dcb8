import type { AnyStore, ReadOptions } from '../store.ts'
import type { BackendTime } from '../time/backend-time.ts'
import { type Clock, Moment } from '../time/clock.ts'
import { conflict, replaceSeen, retryOnConflict } from '../updates/conditional-write.ts'
import { Mark, parseMark, toMarkItem } from '../values/mark.ts'
import { randomId } from '../values/random-id.ts'
import { storedItem } from '../values/stored-entries.ts'

/** The share of its ttl for which a mark certainly stands. The rest is for different clocks. */
const safeShare = 0.9
const readForUpdate: ReadOptions = { consistency: 'strong', forUpdate: true }

/** What replaces the mark in the end. `undefined` deletes the key. */
export interface Successor {
  readonly item: unknown
  readonly ttl: number | undefined
}

/** A key that is marked, and what is done with it. */
export interface MarkedKey {
  readonly store: AnyStore
  readonly key: string
  readonly time: BackendTime
  readonly clock: Clock
  /** How long the mark is stored, in milliseconds. */
  readonly ttlOf: (mark: Mark) => number
  /** Called before each write of the mark. */
  readonly onWrite: () => void
  /** Returns what replaces the mark in the end. */
  readonly successor: () => Promise<Successor>
}

/**
 * The mark of the changes that this process makes under one key. The changes of all processes share one item, which names
 * each process: it adds and removes itself by compare-and-set, and the last one ends the mark. Calls of one process share
 * the writes that have not begun yet, so that a key that many change at once needs no more of them.
 */
export class SharedMark {
  readonly #marked: MarkedKey
  readonly #onIdle: () => void
  readonly #id = randomId(8)
  /** How many changes of this process are in progress. */
  #changes = 0
  /** How long the mark is stored without a renewal, in milliseconds. */
  #ms = 0
  /** The mark that was written last, as an item. */
  #item: unknown
  #heldSince: Moment | undefined
  /** How long the mark is stored since then: a longer change may have begun, whose write has not ended. */
  #heldMs = 0
  /** Whether no other change, of any process, has overlapped with the first one. */
  #isExclusive = true
  #timer: NodeJS.Timeout | undefined
  #next: Successor | undefined
  /** The write in flight, and the one after it. */
  #writing: Promise<void> | undefined
  #nextWrite: Promise<void> | undefined

  /** @param onIdle called when no change is in progress any more */
  constructor(marked: MarkedKey, onIdle: () => void) {
    this.#marked = marked
    this.#onIdle = onIdle
  }

  get key(): string {
    return this.#marked.key
  }

  /** Whether the mark certainly stands for at least `ms` milliseconds more, unless the backend has lost it. */
  isSafeFor(ms: number): boolean {
    return this.#heldSince?.isWithin(this.#heldMs * safeShare - ms) === true
  }

  /** Begins a change. Resolves when the mark has been written, or extended, after this call. */
  async begin(ms: number): Promise<void> {
    this.#changes++
    if (this.#changes > 1) this.#isExclusive = false
    if (ms > this.#ms) {
      this.#ms = ms
      clearInterval(this.#timer)
      // A renewal that fails is repeated by the next one, and the mark stands until then.
      this.#timer = setInterval(() => void this.#write().catch(ignore), ms / 3).unref()
    }
    await this.#write()
  }

  /**
   * Ends a change. Resolves when this process is removed from the mark or, if it makes other changes, when the mark stands
   * again in case it was lost: what has been stored instead may be older than the change.
   *
   * @param next what replaces the mark, if no other change has overlapped
   */
  async end(next?: Successor): Promise<void> {
    this.#changes--
    if (this.#changes === 0) {
      this.#stop()
      this.#next = next
    }
    await this.#write()
  }

  /** Ends a change whose mark could not be written, without another attempt if it is the only one. */
  async cancel(): Promise<void> {
    if (this.#changes > 1 || this.#item !== undefined) return this.end()
    this.#changes--
    this.#stop()
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#onIdle()
  }

  /** Joins the next write, which begins when the one in flight has ended. */
  #write(): Promise<void> {
    if (this.#nextWrite !== undefined) return this.#nextWrite
    return this.#writing === undefined ? this.#writeNow() : this.#writeAfter(this.#writing)
  }

  #writeNow(): Promise<void> {
    const writing = (this.#changes > 0 ? this.#hold() : this.#release()).finally(() => {
      if (this.#writing === writing) this.#writing = undefined
    })
    this.#writing = writing
    return writing
  }

  #writeAfter(earlier: Promise<void>): Promise<void> {
    this.#nextWrite = earlier.catch(ignore).then(() => {
      this.#nextWrite = undefined
      return this.#writeNow()
    })
    return this.#nextWrite
  }

  /** Extends the mark. Writes it if there is none, or if it is lost. */
  async #hold(): Promise<void> {
    const { time, clock } = this.#marked
    const sentAt = new Moment(clock)
    if (this.#item !== undefined) {
      const now = await time.estimateOrThrow()
      if (await this.#replace(this.#item, now, sentAt)) return
    }
    await this.#take()
  }

  /** Writes the mark, whatever the key contains: an entry, a lease, the mark of other processes, or nothing. */
  #take(): Promise<void> {
    const { store, key, time, clock } = this.#marked
    return this.#retry(async () => {
      const sentAt = new Moment(clock)
      const reading = store.get(key, readForUpdate)
      const [read, now] = await Promise.all([reading, time.estimateOrThrow()])
      return this.#replace(storedItem(read), now, sentAt)
    })
  }

  /**
   * Removes this process from the mark. A mark that was lost meanwhile is written again first: whatever has been stored
   * instead may be older than the change.
   */
  async #release(): Promise<void> {
    if (this.#item === undefined) await this.#take()
    await this.#retry(async () => {
      if (await this.#remove()) return true
      await this.#take()
      return false
    })
    this.#item = undefined
  }

  /** Replaces the item `seen`, or nothing, by a mark with this process. Returns false if the key contains another item. */
  async #replace(seen: unknown, now: number, sentAt: Moment): Promise<boolean> {
    const { store, key, onWrite, ttlOf } = this.#marked
    const others = this.#others(seen, now)
    const ms = this.#ms
    const mark = changeMark([...others, holderAt(this.#id, ms, now)], seen)
    const item = toMarkItem(store, mark)
    onWrite()
    if (!(await replaceSeen(store, key, seen, item, ttlOf(mark)))) return false
    const isLost = this.#item !== undefined && this.#item !== seen
    if (others.length > 0 || isLost) this.#isExclusive = false
    this.#item = item
    this.#heldSince = sentAt
    this.#heldMs = ms
    return true
  }

  async #remove(): Promise<boolean> {
    const { store, key, time, successor, onWrite, ttlOf } = this.#marked
    const others = this.#others(this.#item, await time.estimateOrThrow())
    onWrite()
    if (others.length > 0) {
      const mark = changeMark(others, this.#item)
      return store.compareAndSet(key, this.#item, toMarkItem(store, mark), ttlOf(mark))
    }
    const { item, ttl } = (this.#isExclusive ? this.#next : undefined) ?? (await successor())
    return store.compareAndSet(key, this.#item, item, ttl)
  }

  #others(item: unknown, now: number): Holder[] {
    return holdersOf(item, now).filter(({ id }) => id !== this.#id)
  }

  /** Repeats a write until no other one comes in between. */
  async #retry(write: () => Promise<boolean>): Promise<void> {
    const { store, key, clock } = this.#marked
    const at = { operation: 'changing', store: store.name, key }
    await retryOnConflict(at, clock, async () => ((await write()) ? undefined : conflict))
  }
}

function ignore(): void {}

/** Who makes a change, as the mark of the change records it. */
interface Holder {
  readonly id: string
  /** How long the mark is stored after this holder has written it, in milliseconds. */
  readonly ms: number
  /** When the holder is taken to have ended: epoch milliseconds, by the clock of the backend. */
  readonly end: number
}

/**
 * How much later than its mark expires a holder is taken to have ended. Only those use it who find a mark that outlives
 * its holder, because it is that of a tag, or another holder or a `touch` has extended it: the difference of their clocks
 * must not matter.
 */
const graceShare = 1

/** Returns a holder that writes the mark at the time `now` of the backend. */
function holderAt(id: string, ms: number, now: number): Holder {
  return { id, ms, end: Math.ceil(now + ms * (1 + graceShare)) }
}

/** Returns the holders that a mark of a change records, without those that have ended. No other item has any. */
function holdersOf(item: unknown, now: number): Holder[] {
  const mark = parseMark(item)
  if (mark?.kind !== 'change') return []
  return mark.token
    .split(',')
    .map((text) => text.split(':'))
    .map(([id = '', ms, end]) => ({ id, ms: Number(ms), end: Number(end) }))
    .filter(({ end }) => end > now)
}

/**
 * Returns the mark of a change with these holders. It differs from every earlier one of the key that the holders have seen.
 *
 * @param replaced the item that it replaces
 */
function changeMark(holders: readonly Holder[], replaced: unknown): Mark {
  const token = holders.map(({ id, ms, end }) => `${id}:${ms}:${end}`).join(',')
  const earlier = parseMark(replaced)
  const count = earlier?.kind === 'change' ? earlier.count + 1 : 0
  const ms = Math.max(...holders.map((each) => each.ms))
  return new Mark('change', token, count, ms, Math.max(...holders.map(({ end }) => end)))
}
