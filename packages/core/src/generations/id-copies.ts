import type { Payload, ReadOptions } from '../store.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { toText } from '../values/payload.ts'
import { type GenerationId, isNewer, newestOf, parseId } from './generation-id.ts'

/** The number of keys of an id on a backend that can lose items. The backend distributes them over its nodes. */
const copiesPerSet = 3
/** How many further sets of keys a starting process reads, in case none of the first set can be reached. */
const spareSets = 2
const maxAttempts = 5
const strongRead: ReadOptions = { consistency: 'strong' }

/** The result of reading the copies of an id. */
export interface IdReading {
  /** The newest id found. */
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
 * The id of a generation in its backend. It is stored under several keys where the backend can lose items, so that it
 * survives the loss of a node. A copy is only ever replaced by a newer id.
 */
export class IdCopies {
  readonly #store: AnyStore
  readonly #prefix: string
  readonly #copyCount: number
  readonly #setCount: number

  constructor(store: AnyStore, prefix: string) {
    this.#store = store
    this.#prefix = prefix
    this.#copyCount = store.durable === true ? 1 : copiesPerSet
    this.#setCount = store.durable === true ? 1 : 1 + spareSets
  }

  /**
   * Reads every copy. With `spares`, also reads the spare copies, and returns those if no other can be reached. All reads
   * are sent together, so that an unreachable node delays them by one deadline only.
   * @throws CacheError if no copy could be read
   */
  async read({ spares = false }: { readonly spares?: boolean } = {}): Promise<IdReading> {
    const sets = Array.from({ length: spares ? this.#setCount : 1 }, (_, set) => this.#readSet(set))
    const results = await Promise.all(sets)
    const copies = results.map(fulfilledOf).find(({ length }) => length > 0)
    if (copies === undefined) throw reasonOf(results.flat())
    const ids = copies.map(({ item }) => this.#decode(item))
    const newest = newestOf(ids)
    const isComplete = ids.every((id) => id?.text === newest?.text)
    const hasOlder = ids.some((id) => id !== undefined && id.text !== newest?.text)
    return { newest, isComplete, hasOlder, copies }
  }

  #readSet(set: number): Promise<PromiseSettledResult<Copy>[]> {
    return Promise.allSettled(this.#keysOf(set).map((key) => this.#read(key)))
  }

  /** Stores a first id, unless another process stores one. Returns the newest id that is stored then. */
  create(id: GenerationId, copies: readonly Copy[]): Promise<GenerationId> {
    return this.#writeAll(id, copies, () => true)
  }

  /** Replaces missing and older ids by `id`. Returns the newest id that is stored then. */
  raise(id: GenerationId, copies: readonly Copy[]): Promise<GenerationId> {
    return this.#writeAll(id, copies, (found) => !isNewer(id, found))
  }

  /** Writes `id` to each copy, except to those whose id is kept. */
  async #writeAll(
    id: GenerationId,
    copies: readonly Copy[],
    isKept: (found: GenerationId) => boolean,
  ): Promise<GenerationId> {
    const results = await Promise.allSettled(copies.map((copy) => this.#write(id, copy, isKept)))
    const newest = newestOf(fulfilledOf(results))
    if (newest === undefined) throw reasonOf(results)
    return newest
  }

  /** Returns the id that is stored in the copy then. */
  async #write(
    id: GenerationId,
    { key, item }: Copy,
    isKept: (found: GenerationId) => boolean,
  ): Promise<GenerationId> {
    let seen = item
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const found = this.#decode(seen)
      if (found !== undefined && isKept(found)) return found
      const isWritten =
        seen === undefined
          ? await this.#store.add(key, this.#encode(id))
          : await this.#store.compareAndSet(key, seen, this.#encode(id))
      if (isWritten) return id
      seen = await this.#store.get(key, strongRead)
    }
    // Neither readable nor missing: the reserved key contains a value of a foreign type.
    await this.#store.set(key, this.#encode(id))
    return id
  }

  #keysOf(set: number): string[] {
    return Array.from({ length: this.#copyCount }, (_, index) => {
      const copy = set * this.#copyCount + index
      // "~" is not a character of an id, so a key of a generation never equals one of these.
      return `${this.#prefix}~generation${copy === 0 ? '' : copy}`
    })
  }

  async #read(key: string): Promise<Copy> {
    return { key, item: await this.#store.get(key, strongRead) }
  }

  #decode(item: unknown): GenerationId | undefined {
    if (item === undefined) return undefined
    const text =
      this.#store.payload === 'entry' ? (item as { value: unknown }).value : toText(item as Payload)
    return typeof text === 'string' ? parseId(text) : undefined
  }

  #encode({ text }: GenerationId): unknown {
    return this.#store.payload === 'entry' ? { value: text } : text
  }
}

function fulfilledOf<T>(results: readonly PromiseSettledResult<T>[]): T[] {
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}

function reasonOf(results: readonly PromiseSettledResult<unknown>[]): unknown {
  return results.find((result) => result.status === 'rejected')?.reason
}
