import type { EntryFacts } from '../entry.ts'
import type { AnyStore, Awaitable } from '../store.ts'
import type { TagVersions } from '../tags/tag-versions.ts'
import type { Ttl } from '../time/duration.ts'
import { randomId } from '../values/random-id.ts'
import type { StoredEntries } from '../values/stored-entries.ts'
import type { OrderedStore } from '../wrappers/ordered-store.ts'

/** Options of a write that stores no tags. */
export interface TtlOptions {
  /** Time to live of the entry. @default the cache's ttl */
  readonly ttl?: Ttl | undefined
}

export interface WriteOptions extends TtlOptions {
  /** Tags of the value. `invalidateTags` for one of them makes it a miss. @default none */
  readonly tags?: readonly string[] | undefined
}

type KeyedValue = readonly [storageKey: string, value: unknown]
type KeyedItem = readonly [storageKey: string, item: unknown]

export interface TaggedWritesContext {
  readonly store: OrderedStore
  readonly entries: StoredEntries
  readonly tags: Pick<TagVersions, 'currentVersions'>
  /** Prevents a load in flight from overwriting a value that is written. */
  readonly scope: { invalidateLoads(storageKey: string): void }
}

/** Writes of values with tags. The versions of the tags are read first, and stored with the values. */
export class TaggedWrites {
  readonly #context: TaggedWritesContext

  constructor(context: TaggedWritesContext) {
    this.#context = context
  }

  /** Stores the values; deletes them if the ttl is 0. */
  set(
    values: readonly KeyedValue[],
    tags: readonly string[] | undefined,
    ttl: number | undefined,
  ): Promise<void> {
    return this.write(values, tags, async (store, items) => {
      const [first] = items
      if (ttl === 0) await store.deleteMany(items.map(([key]) => key))
      else if (first !== undefined && items.length === 1) await store.set(...first, ttl)
      else await store.setMany(items, ttl)
    })
  }

  /** Encodes values with the versions of their tags, and calls `write`. Later calls for the keys wait until then. */
  write<T>(
    values: readonly KeyedValue[],
    tags: readonly string[] | undefined,
    write: (store: AnyStore, items: readonly KeyedItem[]) => Promise<T>,
  ): Promise<T> {
    const { entries, scope, store } = this.#context
    const keys = values.map(([key]) => key)
    // At once: a tag that is invalidated after this call invalidates the value.
    const reading = this.factsOf(tags)
    reading.catch(() => {}) // It may fail while the write waits for earlier ones.
    return store.writeLater(keys, async (unordered) => {
      const facts = await reading
      // A load that has begun meanwhile must not overwrite the value.
      for (const key of keys) scope.invalidateLoads(key)
      return write(
        unordered,
        values.map(([key, value]) => [key, entries.encode(key, value, facts)] as const),
      )
    })
  }

  /** Encodes a value; if it has tags, after their versions have been read. */
  encode(
    storageKey: string,
    value: unknown,
    tags: readonly string[] | undefined,
  ): Awaitable<unknown> {
    const { entries } = this.#context
    if (tags === undefined) return entries.encode(storageKey, value)
    return this.factsOf(tags).then((facts) => entries.encode(storageKey, value, facts))
  }

  /** What is stored with a value that has these tags. */
  async factsOf(tags: readonly string[] | undefined): Promise<EntryFacts | undefined> {
    if (tags === undefined || tags.length === 0) return undefined
    const versions = await this.#context.tags.currentVersions(tags)
    return { id: randomId(8), tags: versions }
  }
}
