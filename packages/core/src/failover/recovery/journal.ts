/**
 * The keys that were changed while a server was unreachable, so that it may have outdated items under them. They are
 * deleted from the server before it is used for them again. Bounded: beyond the limit, keys are dropped and the journal
 * reports that it has overflown.
 *
 * @example
 * const journal = new Journal(100_000)
 * journal.add('user:1')
 * const entries = journal.entries()
 * await store.deleteMany(entries.map(([key]) => key))
 * journal.confirm(entries)
 */
export class Journal {
  readonly #maxKeys: number
  /** The keys, each with the number of its last change. */
  readonly #changes = new Map<string, number>()
  #lastChange = 0
  #overflow = 0

  /** @param maxKeys how many keys it holds */
  constructor(maxKeys: number) {
    this.#maxKeys = maxKeys
  }

  /** The number of keys. */
  get size(): number {
    return this.#changes.size
  }

  /** A number above 0 if keys have been dropped, different after each further one. For {@link confirmOverflow}. */
  get overflow(): number {
    return this.#overflow
  }

  /** Records a change. */
  add(key: string): void {
    this.#lastChange++
    if (this.#changes.size < this.#maxKeys || this.#changes.has(key)) {
      this.#changes.set(key, this.#lastChange)
    } else {
      this.#overflow = this.#lastChange
    }
  }

  /** Records that keys have changed which are not known. */
  addUnknown(): void {
    this.#lastChange++
    this.#overflow = this.#lastChange
  }

  has(key: string): boolean {
    return this.#changes.has(key)
  }

  /** The keys, each with the number of its last change. */
  entries(): JournalEntry[] {
    return [...this.#changes]
  }

  /** Removes entries whose keys have been deleted from the server, except those that have changed again since. */
  confirm(entries: readonly JournalEntry[]): void {
    for (const [key, change] of entries) {
      if (this.#changes.get(key) === change) this.#changes.delete(key)
    }
  }

  /** Records that the server has none of the dropped keys any more, unless further ones were dropped since. */
  confirmOverflow(overflow: number): void {
    if (this.#overflow === overflow) this.#overflow = 0
  }
}

export type JournalEntry = readonly [key: string, change: number]
