import { type AnyStore, type Awaitable, type KeyPlacement, strongRead } from '../store.ts'
import { replaceSeen } from '../updates/conditional-write.ts'
import { textOf, toTextItem } from '../values/plain-items.ts'
import { type GenerationId, isNewer, newestOf, parseId } from './generation-id.ts'

/** The number of copies of an id on a backend that can lose items. It distributes their keys over its nodes. */
const copiesPerSet = 3
/** The number of further sets of copies, which a starting process uses if every copy of the first set is unreachable. */
const spareSets = 2
/** How many further keys are tried, to find some that are on other nodes. */
const maxFurtherKeys = 100
const maxFailedAdds = 5

/** A key within a generation contains its id, where these contain the name of a namespace or "~": they are never equal. */
function keyOfCopy(prefix: string, copy: number): string {
  return `${prefix}~generation${copy === 0 ? '' : copy}`
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
  /** Why others could not be read. */
  readonly failure: unknown
}

interface Copy {
  readonly key: string
  readonly item: unknown
  /** Whether every process reads this copy, with any list of nodes. */
  readonly isShared: boolean
}

/** The keys of a set of copies. */
interface CopySet {
  readonly shared: readonly string[]
  /** On nodes that have none of the shared copies. They depend on the list of nodes. */
  readonly further: readonly string[]
}

/**
 * The copies of the id of a generation in the backend. If the backend can lose items, the id is stored under several
 * keys, so that it survives the loss of a node. A copy is replaced only by a newer id.
 *
 * The keys of the shared copies are fixed: processes with different lists of nodes, or with an earlier version of this
 * package, agree on them. The nodes without one get a further copy each, up to three nodes in all. As the newest id is the
 * current one, a process that does not know a further copy, or finds an old one, is not misled.
 */
export class IdCopies {
  readonly #store: AnyStore
  readonly #prefix: string
  /** The first set, and the spare sets; `undefined` before the first read. */
  #sets: readonly CopySet[] | undefined
  #placement: KeyPlacement | undefined

  constructor(store: AnyStore, prefix: string) {
    this.#store = store
    this.#prefix = prefix
  }

  /**
   * Reads every copy. With `spares`, also reads the spare sets, and returns the first set of which a copy is reachable.
   * All reads are sent together, so that an unreachable node delays them by one deadline only.
   * @throws CacheError if no copy could be read
   */
  async read({ spares = false }: { readonly spares?: boolean } = {}): Promise<IdReading> {
    const all = this.#setsNow()
    const sets = spares ? all : all.slice(0, 1)
    const readings = await Promise.all(sets.map((set) => this.#readSet(set)))
    const reading = readings.find(({ copies }) => copies.length > 0)
    if (reading === undefined) throw readings[0]?.failure
    const ids = reading.copies.map(({ item }) => this.#decode(item))
    const newest = newestOf(ids)
    const isComplete = ids.every((id) => id?.text === newest?.text)
    const hasOlder = ids.some((id) => id !== undefined && id.text !== newest?.text)
    return { newest, isComplete, hasOlder, ...reading }
  }

  async #readSet({ shared, further }: CopySet): Promise<Pick<IdReading, 'copies' | 'failure'>> {
    const keys = [...shared, ...further]
    const results = await Promise.allSettled(keys.map((key) => this.#get(key)))
    const copies = results.flatMap((result, index): Copy[] => {
      if (result.status === 'rejected') return []
      const isShared = index < shared.length
      return [{ key: keys[index] as string, item: result.value, isShared }]
    })
    return { copies, failure: firstReasonOf(results) }
  }

  #setsNow(): readonly CopySet[] {
    const { placement } = this.#store
    if (this.#sets !== undefined && placement === this.#placement) return this.#sets
    this.#placement = placement
    const isDurable = this.#store.durable === true
    const size = isDurable ? 1 : copiesPerSet
    this.#sets = Array.from({ length: isDurable ? 1 : 1 + spareSets }, (_, index) => {
      const copies = Array.from({ length: size }, (_, copy) => index * size + copy)
      const shared = copies.map((copy) => keyOfCopy(this.#prefix, copy))
      // The spare sets are for the outage of every node of the first one.
      return { shared, further: index === 0 ? furtherKeys(this.#prefix, shared, placement) : [] }
    })
    return this.#sets
  }

  /** Returns a rejected promise if the store throws. */
  #get(key: string): Awaitable<unknown> {
    try {
      return this.#store.get(key, strongRead)
    } catch (error) {
      return Promise.reject(error)
    }
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
  async raise(id: GenerationId, copies: readonly Copy[]): Promise<GenerationId> {
    const isKept = (found: GenerationId) => !isNewer(id, found)
    const results = await Promise.allSettled(copies.map((copy) => this.#write(id, copy, isKept)))
    const newest = newestOf(
      results.map((result) => (result.status === 'fulfilled' ? result.value : undefined)),
    )
    if (newest === undefined) throw firstReasonOf(results)
    return newest
  }

  /**
   * Does the same for the id of a clear, given what was read. At least one copy that every process reads must be stored: the
   * others could be unknown to a process with another list of nodes.
   * @throws CacheError if none could be read or written
   */
  async raiseOnClear(id: GenerationId, { copies, failure }: IdReading): Promise<GenerationId> {
    const shared = copies.filter(({ isShared }) => isShared)
    if (shared.length === 0) throw failure
    const further = copies.filter(({ isShared }) => !isShared)
    const [stored, newest] = await Promise.all([
      this.raise(id, shared),
      further.length === 0 ? id : this.raise(id, further).catch(() => id),
    ])
    return newestOf([stored, newest]) as GenerationId
  }

  /** Writes `id` to a copy, unless `isKept` returns true for the id that it has. Returns the id that it has then. */
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
      if (await replaceSeen(this.#store, key, seen, this.#encode(id))) return id
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

function firstReasonOf(results: readonly PromiseSettledResult<unknown>[]): unknown {
  return results.find((result) => result.status === 'rejected')?.reason
}

/** Keys on nodes that have none of the shared copies, until there are as many nodes as shared copies. */
function furtherKeys(
  prefix: string,
  shared: readonly string[],
  placement: KeyPlacement | undefined,
): readonly string[] {
  if (placement === undefined) return []
  const nodes = new Set(shared.map((key) => placement.nodeOf(key)))
  const further: string[] = []
  const first = copiesPerSet * (1 + spareSets)
  for (let copy = first; copy < first + maxFurtherKeys; copy++) {
    if (nodes.size >= Math.min(shared.length, placement.nodeCount)) break
    const key = keyOfCopy(prefix, copy)
    const node = placement.nodeOf(key)
    if (nodes.has(node)) continue
    nodes.add(node)
    further.push(key)
  }
  return further
}

/** The keys of the copies of an id. */
const generationKey = /~generation(\d*)$/

/** Whether the item under a key is the id of a generation. It is only replaced by newer ones, so that no call is harmful late. */
export function isGenerationKey(key: string): boolean {
  return generationKey.test(key)
}

/** What the keys of all copies of an id begin with. `undefined` for other keys. */
export function idNameOf(key: string): string | undefined {
  const digits = generationKey.exec(key)?.[1]
  return digits === undefined ? undefined : key.slice(0, key.length - digits.length)
}
