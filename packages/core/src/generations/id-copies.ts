import type { Awaitable, ReadOptions } from '../store.ts'
import { textOf, toTextItem } from '../values/items/text-item.ts'
import { type GenerationId, isNewer, newestOf, parseId } from './generation-id.ts'
import type { IdStore } from './pinned-store.ts'

/** The number of copies of an id on a backend that can lose items. It distributes their keys over its nodes. */
const copiesPerSet = 3
/** The number of further sets of copies, which a starting process uses if every copy of the first set is unreachable. */
const spareSets = 2
const maxFailedAdds = 5
const strongRead: ReadOptions = { consistency: 'strong' }

/** The keys of all copies of the id of a prefix. */
export function keysOfIds(prefix: string): readonly string[] {
  // Ids do not contain "~", so a key within a generation never equals one of these.
  return Array.from(
    { length: copiesPerSet * (1 + spareSets) },
    (_, copy) => `${prefix}~generation${copy === 0 ? '' : copy}`,
  )
}

/** The result of reading the copies of an id. */
export interface IdReading {
  /** The newest id found; `undefined` if there is none. */
  readonly newest: GenerationId | undefined
  /** Whether every copy that could be read holds the newest id. */
  readonly isComplete: boolean
  /** Whether a copy that could be read holds an older id, which a process without a newer one would use. */
  readonly hasOlder: boolean
  /** The copies that could be read. */
  readonly copies: readonly Copy[]
}

interface Copy {
  readonly key: string
  readonly item: unknown
}

/**
 * The copies of the id of a generation in the backend. If the backend can lose items, the id is stored under several
 * keys, so that it survives the loss of a node. A copy is replaced only by a newer id.
 */
export class IdCopies {
  /** The key prefix of the generation that contains the copies; `''` if there is none around. */
  readonly outerKeyPrefix: string
  readonly #store: IdStore
  /** Of all sets, one after another. */
  readonly #keys: readonly string[]
  readonly #copyCount: number
  readonly #setCount: number

  /** @param keys {@link keysOfIds} */
  constructor(store: IdStore, keys: readonly string[]) {
    this.outerKeyPrefix = store.fullKeyPrefix ?? ''
    this.#store = store
    this.#keys = keys
    this.#copyCount = store.durable === true ? 1 : copiesPerSet
    this.#setCount = store.durable === true ? 1 : 1 + spareSets
  }

  /**
   * Reads every copy. With `spares`, also reads the spare sets, and returns the first set of which a copy is reachable.
   * All reads are sent together, so that an unreachable node delays them by one deadline only.
   * @throws CacheError if no copy could be read
   */
  async read({ spares = false }: { readonly spares?: boolean } = {}): Promise<IdReading> {
    const keys = this.#keys.slice(0, this.#copyCount * (spares ? this.#setCount : 1))
    const results = await Promise.allSettled(keys.map((key) => this.#get(key)))
    const copies = this.#firstReachable(keys, results)
    if (copies === undefined) throw firstReasonOf(results)
    const ids = copies.map(({ item }) => this.#decode(item))
    const newest = newestOf(ids)
    const isComplete = ids.every((id) => id?.text === newest?.text)
    const hasOlder = ids.some((id) => id !== undefined && id.text !== newest?.text)
    return { newest, isComplete, hasOlder, copies }
  }

  /** Returns a rejected promise if the store throws. */
  #get(key: string): Awaitable<unknown> {
    try {
      return this.#store.get(key, strongRead)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The copies that could be read of the first set that has any. */
  #firstReachable(
    keys: readonly string[],
    results: readonly PromiseSettledResult<unknown>[],
  ): readonly Copy[] | undefined {
    for (let start = 0; start < keys.length; start += this.#copyCount) {
      const copies: Copy[] = []
      for (let at = start; at < start + this.#copyCount; at++) {
        const result = results[at]
        if (result?.status !== 'fulfilled') continue
        copies.push({ key: keys[at] as string, item: result.value })
      }
      if (copies.length > 0) return copies
    }
    return undefined
  }

  /**
   * Stores `id`, unless another process has stored one meanwhile. Returns the id that is current then.
   *
   * The first copy that can be written decides between processes that create an id at the same time. The others are
   * written after it: if a process could find an id that is replaced by a newer one created at the same time, what it
   * writes with that id would be lost, and a lock could be acquired twice.
   * @throws CacheError if no copy could be written
   */
  async create(id: GenerationId, copies: readonly Copy[]): Promise<GenerationId> {
    const [first, ...others] = copies
    if (first === undefined) return id
    try {
      const decided = await this.#write(id, first, () => true)
      return others.length === 0 ? decided : await this.raise(decided, others).catch(() => decided)
    } catch (error) {
      if (others.length === 0) throw error
      return this.create(id, others)
    }
  }

  /** Stores `id` in the missing copies and those with an older id. Returns the newest id that is stored then. */
  raise(id: GenerationId, copies: readonly Copy[]): Promise<GenerationId> {
    return this.#writeAll(id, copies, (found) => !isNewer(id, found))
  }

  /** Writes `id` to each copy, except to those with an id for which `isKept` returns true. */
  async #writeAll(
    id: GenerationId,
    copies: readonly Copy[],
    isKept: (found: GenerationId) => boolean,
  ): Promise<GenerationId> {
    const results = await Promise.allSettled(copies.map((copy) => this.#write(id, copy, isKept)))
    const newest = newestOf(valuesOfFulfilled(results))
    if (newest === undefined) throw firstReasonOf(results)
    return newest
  }

  /** Returns the id that the copy contains then. */
  async #write(
    id: GenerationId,
    { key, item }: Copy,
    isKept: (found: GenerationId) => boolean,
  ): Promise<GenerationId> {
    let seen = item
    // A failed compareAndSet means that another process has stored an id, so only failed adds could repeat forever.
    for (let failedAdds = 0; failedAdds < maxFailedAdds; ) {
      const found = this.#decode(seen)
      if (found !== undefined && isKept(found)) return found
      const isWritten =
        seen === undefined
          ? await this.#store.add(key, this.#encode(id))
          : await this.#store.compareAndSet(key, seen, this.#encode(id))
      if (isWritten) return id
      if (seen === undefined) failedAdds++
      seen = await this.#store.get(key, strongRead)
    }
    // The key exists but cannot be read: it contains a value of a foreign type.
    await this.#store.set(key, this.#encode(id))
    return id
  }

  #decode(item: unknown): GenerationId | undefined {
    const text = textOf(this.#store, item)
    return text === undefined ? undefined : parseId(text)
  }

  #encode({ text }: GenerationId): unknown {
    return toTextItem(this.#store, text)
  }
}

function valuesOfFulfilled<T>(results: readonly PromiseSettledResult<T>[]): T[] {
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}

function firstReasonOf(results: readonly PromiseSettledResult<unknown>[]): unknown {
  return results.find((result) => result.status === 'rejected')?.reason
}
