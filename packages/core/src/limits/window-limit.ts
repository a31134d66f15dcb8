import { strongRead } from '../store.ts'
import { conflict, retryOnConflict } from '../updates/conditional-write.ts'
import { integerOf, toIntegerItem } from '../values/plain-items.ts'
import type { LimitPolicy, LimitStore, Verdict } from './limit.ts'

/** Sums of shares of a window are not exact. */
const epsilon = 1e-6

/** What has been counted, before a call. */
interface Counts {
  readonly current: number
  readonly previous: number
}

/** A window, and the storage keys of its counter and of the one before. */
interface KeyedWindow extends LimitWindow {
  readonly key: string
  readonly previousKey: string
  readonly ttl: number
}

/**
 * Counts units in a counter per window, whose number is part of the key: nothing but an increment is needed. The sliding
 * policy also counts the units of the window before, by the share of it that lies within one duration of now.
 */
export class WindowLimit implements LimitPolicy {
  readonly capacity: number
  readonly #at: LimitStore
  readonly #prefix: string
  readonly #windowMs: number
  readonly #isSliding: boolean

  /** @param prefix the name of the limiter within the reserved keys */
  constructor(at: LimitStore, prefix: string, limit: number, windowMs: number, isSliding: boolean) {
    this.#at = at
    this.#prefix = prefix
    this.capacity = limit
    this.#windowMs = windowMs
    this.#isSliding = isSliding
  }

  async consume(key: string, cost: number): Promise<Verdict> {
    const now = this.#at.time.estimateOrThrow()
    const window = this.#windowOf(key, typeof now === 'number' ? now : await now)
    const counting = this.#at.store.increment(window.key, cost, window.ttl)
    const [sum, previous] = this.#isSliding
      ? await Promise.all([counting, this.#read(window.previousKey)])
      : [await counting, 0]
    const counts = { current: sum - cost, previous }
    const verdict = this.#judge(counts, window, cost)
    if (!verdict.allowed && this.#mustGiveBack(counts)) {
      // Otherwise, calls that were denied would use up the limit. If it fails, too few are allowed, and not too many.
      await this.#giveBack(window, sum, cost).catch(() => {})
    }
    return verdict
  }

  async peek(key: string): Promise<Verdict> {
    const window = this.#windowOf(key, await this.#at.time.estimateOrThrow())
    return this.#judge(await this.#readCounts(window), window, 1, 0)
  }

  async undo(key: string, cost: number): Promise<void> {
    const { store, clock, time } = this.#at
    const window = this.#windowOf(key, await time.estimateOrThrow())
    await retryOnConflict({ operation: 'undo', store: store.name, key: window.key }, clock, () =>
      this.#tryUndo(window, cost),
    )
  }

  async reset(key: string): Promise<void> {
    const window = this.#windowOf(key, await this.#at.time.estimateOrThrow())
    const keys = this.#isSliding ? [window.key, window.previousKey] : [window.key]
    await this.#at.store.deleteMany(keys)
  }

  #windowOf(key: string, now: number): KeyedWindow {
    const { number, elapsedMs, remainingMs } = windowAt(now, key, this.#windowMs)
    const lifetimeMs = this.#isSliding ? remainingMs + this.#windowMs : remainingMs
    return {
      number,
      elapsedMs,
      remainingMs,
      key: this.#storageKey(number, key),
      previousKey: this.#isSliding ? this.#storageKey(number - 1, key) : '',
      ttl: Math.ceil(lifetimeMs + this.#at.slackMs),
    }
  }

  #storageKey(number: number, key: string): string {
    return this.#at.keys.toStorageKey(`${this.#prefix}${number.toString(36)}:${key}`)
  }

  async #read(key: string): Promise<number> {
    const item = await this.#at.store.get(key, strongRead)
    return integerOf(this.#at.store, item) ?? 0
  }

  async #readCounts({ key, previousKey }: KeyedWindow): Promise<Counts> {
    const reads = [this.#read(key), this.#isSliding ? this.#read(previousKey) : 0] as const
    const [current, previous] = await Promise.all(reads)
    return { current, previous }
  }

  /** @param taken how many units are taken if the call is allowed */
  #judge(
    { current, previous }: Counts,
    window: LimitWindow,
    cost: number,
    taken: number = cost,
  ): Verdict {
    const { elapsedMs, remainingMs } = window
    const before = previous * (remainingMs / this.#windowMs)
    const used = before + current
    const allowed = used + cost <= this.capacity + epsilon
    const after = allowed ? current + taken : current
    const left = this.capacity - before - after
    return {
      allowed,
      remaining: Math.max(0, Math.floor(left + epsilon)),
      // Units of the current window count in the next one as well.
      resetMs: this.#isSliding && after > 0 ? remainingMs + this.#windowMs : remainingMs,
      retryMs: allowed ? 0 : this.#retryMs({ current, previous }, elapsedMs, cost),
    }
  }

  /** When the call would be allowed, if nothing is consumed until then. */
  #retryMs({ current, previous }: Counts, elapsedMs: number, cost: number): number {
    if (cost > this.capacity) return Infinity
    const windowMs = this.#windowMs
    if (!this.#isSliding) return Math.ceil(windowMs - elapsedMs)
    const elapsedUntil = (count: number, free: number) => (1 - free / count) * windowMs
    const free = this.capacity - current - cost
    const ms =
      free >= 0
        ? elapsedUntil(previous, free) - elapsedMs
        : windowMs - elapsedMs + elapsedUntil(current, this.capacity - cost)
    return Math.max(1, Math.ceil(ms))
  }

  /** In a fixed window, a count above the limit is as good as the limit. */
  #mustGiveBack({ current }: Counts): boolean {
    return this.#isSliding || current < this.capacity
  }

  /** Makes one attempt: with many conflicts, the key is denied anyway. */
  async #giveBack({ key, ttl }: KeyedWindow, sum: number, cost: number): Promise<void> {
    const { store } = this.#at
    // Not an increment: of a counter that was reset meanwhile, that would allow too many.
    const seen = store.payload === 'bytes' ? String(sum) : await store.get(key, strongRead)
    if (integerOf(store, seen) !== sum) return
    await store.compareAndSet(key, seen, toIntegerItem(store, sum - cost), ttl)
  }

  async #tryUndo({ key, ttl }: KeyedWindow, cost: number): Promise<undefined | typeof conflict> {
    const { store } = this.#at
    const item = await store.get(key, strongRead)
    const count = integerOf(store, item) ?? 0
    if (count <= 0) return undefined
    // Calls that were denied are counted as well.
    const next = Math.max(0, Math.min(count, this.capacity) - cost)
    const isStored = await store.compareAndSet(key, item, toIntegerItem(store, next), ttl)
    return isStored ? undefined : conflict
  }
}

/** A part of the time of the backend, in which the units of a key are counted. */
interface LimitWindow {
  /** Its number, which is part of its key. */
  readonly number: number
  /** Since its beginning, in milliseconds. */
  readonly elapsedMs: number
  readonly remainingMs: number
}

/**
 * Returns the window of a key at a time. The windows of different keys begin at different times, so that not all callers
 * are allowed again at the same moment; those of a key begin at the same times in all processes.
 */
function windowAt(now: number, key: string, windowMs: number): LimitWindow {
  const shifted = now + Math.floor(hashOf(key) * windowMs)
  const number = Math.floor(shifted / windowMs)
  const elapsedMs = shifted - number * windowMs
  return { number, elapsedMs, remainingMs: windowMs - elapsedMs }
}

/** A number from 0 to 1 that differs for different keys (FNV-1a). */
function hashOf(key: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < key.length; index++) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193)
  }
  // The highest bits of FNV-1a hardly depend on the last characters.
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32
}
