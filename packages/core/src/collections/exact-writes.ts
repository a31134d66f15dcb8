import type { ChangeCalls } from '../changing/change-calls.ts'
import { LoadOptions, type RememberOptions } from '../loading/remember-options.ts'
import { strongRead } from '../store.ts'
import { savedItem, type WriteThroughContext } from './write-through.ts'

export interface ExactWritesContext extends WriteThroughContext {
  readonly changes: ChangeCalls
}

/** Writes of a value to its source while its key is marked. See `cache.changing`. */
export class ExactWrites {
  readonly #context: ExactWritesContext

  constructor(context: ExactWritesContext) {
    this.#context = context
  }

  /**
   * Calls `save`, and stores the value that it returns in the place of the mark. If another change of the key has overlapped,
   * nothing is stored: the order of the two in the source is not known. Resolves to the value.
   */
  async save<T>(key: string, options: RememberOptions<T>, save: () => Promise<T>): Promise<T> {
    const { changes, root, clock, ttl, keyspace } = this.#context
    const load = new LoadOptions<T>(options, ttl, clock)
    const reading = load.tags.length === 0 ? undefined : root.tags.currentVersions(load.tags)
    reading?.catch(() => {}) // The mark may fail first.
    return changes.runStoring({ keys: [key] }, async () => {
      const tags = await reading
      const value = await save()
      return {
        value,
        next: await savedItem(this.#context, keyspace.toStorageKey(key), load, value, tags),
      }
    })
  }

  /** Calls `remove`. Returns whether the cache contained a value. */
  async remove(key: string, remove: () => Promise<unknown>): Promise<boolean> {
    const { changes, entries, keyspace } = this.#context
    const storageKey = keyspace.toStorageKey(key)
    // Calls for one key take effect in order: before the mark.
    const reading = Promise.resolve(entries.store.get(storageKey, strongRead))
    reading.catch(() => {})
    return changes.run({ keys: [key] }, async () => {
      const existed = entries.decode(storageKey, await reading) !== undefined
      await remove()
      return existed
    })
  }
}
