import { isGenerationKey } from '../../generations/id-copies.ts'
import { Journal, type JournalEntry } from './journal.ts'

/**
 * The keys for which the primary store must not be read: those of the journal, and for a while those that were deleted
 * from it after a call with an unknown outcome, because the server may execute that call late.
 */
export class UnsettledKeys {
  readonly journal: Journal
  /** Keys of the journal that were changed by a call with an unknown outcome. */
  readonly #uncertain = new Set<string>()
  /** When such keys were deleted, in the time of `performance.now()`. */
  readonly #deletedAt = new Map<string, number>()
  /** The ids of generations that this process has found in the fallback store, or stored there, by their keys. */
  readonly #usedIds = new Map<string, Set<string>>()
  /** The ids of generations that have begun in the primary store since, by those in whose place they are. */
  readonly #raisedIds = new Map<string, string>()

  constructor(maxKeys: number) {
    this.journal = new Journal(maxKeys)
  }

  get isEmpty(): boolean {
    return this.journal.size === 0 && this.#deletedAt.size === 0 && this.journal.overflow === 0
  }

  has(key: string): boolean {
    return this.journal.has(key) || this.#deletedAt.has(key)
  }

  /**
   * @param isUncertain whether the primary store may still execute the change, or is used again for the key while the fallback
   *   store has an item of it. Such a key is deleted from both, a while after the first time
   */
  add(key: string, isUncertain: boolean): void {
    this.journal.add(key)
    if (isUncertain && this.journal.has(key)) this.#uncertain.add(key)
  }

  /** Lets {@link deletedBefore} return the key of a generation that was used during the outage. */
  noteId(key: string, id: string): void {
    if (!this.journal.has(key)) this.#deletedAt.set(key, performance.now())
    const ids = this.#usedIds.get(key)
    if (ids === undefined) this.#usedIds.set(key, new Set([id]))
    else ids.add(id)
  }

  /** Records that a generation has begun in the primary store, in the place of one that this process has used. */
  noteRaised(used: string, id: string): void {
    this.#raisedIds.set(used, id)
  }

  /** The key with the ids of the generations that have begun; `undefined` if it contains none that has ended. */
  raised(key: string): string | undefined {
    let result = key
    for (const [used, id] of this.#raisedIds) result = result.replace(`${used}:`, `${id}:`)
    return result === key ? undefined : result
  }

  /**
   * Whether this process has used no other id than this one during the outage.
   *
   * @param last the id in the fallback store
   */
  hasUsedOnly(key: string, id: string, last: string | undefined): boolean {
    const ids = this.#usedIds.get(key)
    if (ids === undefined) return last === id
    return ids.size === 1 && ids.has(id) && (last === undefined || last === id)
  }

  /** The ids that this process has used for this key during the outage. */
  usedIds(key: string): Iterable<string> {
    return this.#usedIds.get(key) ?? []
  }

  /** Call it when the keys have been deleted from the primary store. */
  confirm(entries: readonly JournalEntry[]): void {
    this.journal.confirm(entries)
    for (const [key] of entries) {
      if (this.journal.has(key)) continue
      const isUncertain = this.#uncertain.delete(key) || isGenerationKey(key)
      if (isUncertain) this.#deletedAt.set(key, performance.now())
    }
  }

  /**
   * The keys that were deleted at least `ms` milliseconds ago, and all ids of generations: another process may have stored
   * one in the meantime.
   */
  deletedBefore(ms: number): string[] {
    const until = performance.now() - ms
    return [...this.#deletedAt].flatMap(([key, at]) =>
      at <= until || isGenerationKey(key) ? [key] : [],
    )
  }

  /** Call it when these keys have been deleted for the second time. */
  release(keys: readonly string[]): void {
    for (const key of keys) {
      this.#deletedAt.delete(key)
      this.#usedIds.delete(key)
    }
  }

  /** Call it when the caches know the ids of the generations that have begun. */
  forgetRaised(): void {
    this.#raisedIds.clear()
  }
}
