/** An entry of a {@link BoundedMap}. */
export interface MapEntry<V> {
  key: string
  /** `undefined` after the eviction. */
  value: V | undefined
  /** In bytes, as the caller measures it. */
  size: number
  /** Epoch milliseconds; `Infinity` for an entry that never expires. */
  expiresAt: number
  /** How often it was read since the last search for an entry to evict passed it. */
  reads: number
  newer: MapEntry<V> | undefined
  older: MapEntry<V> | undefined
}

/** A doubly linked list of entries, in the order in which they were added. */
export class EntryList<V> {
  length = 0
  oldest: MapEntry<V> | undefined
  #newest: MapEntry<V> | undefined

  add(entry: MapEntry<V>): void {
    entry.older = this.#newest
    entry.newer = undefined
    if (this.#newest === undefined) this.oldest = entry
    else this.#newest.newer = entry
    this.#newest = entry
    this.length++
  }

  remove({ newer, older }: MapEntry<V>): void {
    if (newer === undefined) this.#newest = older
    else newer.older = older
    if (older === undefined) this.oldest = newer
    else older.newer = newer
    this.length--
  }

  clear(): void {
    this.length = 0
    this.oldest = undefined
    this.#newest = undefined
  }
}
