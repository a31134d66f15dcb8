import { channels, type EvictionEvent } from '../channels.ts'

/** As a multiple of the mean. An entry of twice this size is kept if it was read twice, and so on. */
const sizePerRead = 8
/** As many as any size needs, and few enough for V8 to count them in place. */
const maxCountedReads = 1_000_000
/** Of a run of keys that were evicted too early, one of so many counts as read, after the first ones. */
const restoredPerRead = 8

/** An `ExpiryClock`. */
interface Expiry {
  /** Whether a time, in epoch milliseconds, has been reached. */
  isPast(time: number): boolean
}

export interface BoundedMapOptions {
  readonly maxEntries: number
  /** `Infinity` for no limit. */
  readonly maxBytes: number
  readonly expiry: Expiry
  /** Name of the store, to publish evictions. Without one, they are not published. */
  readonly store?: string | undefined
}

/**
 * A map with a maximum number of entries and bytes, whose entries may expire. It evicts with SIEVE (Zhang et al., NSDI
 * '24): a hand goes from the oldest entry to the newest. It evicts the first entry that was not read since it last passed.
 * A read moves nothing, and entries that are read once, as in a scan, are evicted before those that are read again.
 *
 * The keys of recently evicted entries are kept. If one of them is set again, it was evicted too early, and counts as
 * read. That is worth one percent of hits where the frequencies of keys differ little. If one follows another, a loop of
 * reads is longer than the map: then only some of them count as read, so that these stay, and are hits.
 *
 * If `maxBytes` is exceeded, an entry that is much larger than the mean takes the room of many others. It must be read more
 * often to stay. That is worth four to seven percent of hits where sizes differ by a factor of 1,000.
 *
 * @example
 * const expiry = new ExpiryClock(systemClock, true)
 * const map = new BoundedMap<string>({ maxEntries: 1_000, maxBytes: 1_000_000, expiry })
 * map.set('key', 'value', 8, expiry.expiresAt(60_000))
 * console.log(map.get('key')) // 'value'
 */
export class BoundedMap<V> {
  /** Also contains the evicted entries. */
  readonly #entries = new Map<string, MapEntry<V>>()
  readonly #list = new EntryList<V>()
  readonly #evicted = new EntryList<V>()
  #hand: MapEntry<V> | undefined
  /** An entry that is not used any more, for the next one: a new object would have to be copied to the old generation. */
  #spare: MapEntry<V> | undefined
  #bytes = 0
  /** How many evicted keys were set again without a new key between them. */
  #restored = 0
  readonly #maxEntries: number
  readonly #maxBytes: number
  /** Sizes do not matter without `maxBytes`. Then it is sufficient to know whether an entry was read. */
  readonly #maxReads: number
  readonly #expiry: Expiry
  readonly #store: string | undefined

  constructor({ maxEntries, maxBytes, expiry, store }: BoundedMapOptions) {
    this.#store = store
    this.#maxEntries = maxEntries
    this.#maxBytes = maxBytes
    this.#maxReads = maxBytes === Infinity ? 1 : maxCountedReads
    this.#expiry = expiry
  }

  /** The number of entries, including those that have expired and were not read since. */
  get size(): number {
    return this.#list.length
  }

  /** The sum of their sizes. */
  get bytes(): number {
    return this.#bytes
  }

  get(key: string): V | undefined {
    return this.find(key)?.value
  }

  /** Returns the entry, and counts as a read. Its `expiresAt` may be changed. */
  find(key: string): MapEntry<V> | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined || entry.value === undefined) return undefined
    if (this.#expiry.isPast(entry.expiresAt)) return this.#remove(entry)
    if (entry.reads < this.#maxReads) entry.reads++
    return entry
  }

  /** Whether the entry exists. Does not count as a read. */
  has(key: string): boolean {
    const entry = this.#entries.get(key)
    return entry?.value !== undefined && !this.#expiry.isPast(entry.expiresAt)
  }

  /** @param size at most `maxBytes` @param expiresAt epoch milliseconds */
  set(key: string, value: V & {}, size: number, expiresAt: number): void {
    const existing = this.#entries.get(key)
    if (existing === undefined) this.#insert(key, value, size, expiresAt)
    else if (existing.value === undefined) this.#restore(existing, value, size, expiresAt)
    else this.#replace(existing, value, size, expiresAt)
  }

  /** Returns whether an entry existed that had not expired. */
  delete(key: string): boolean {
    const entry = this.#entries.get(key)
    if (entry?.value === undefined) return false
    const existed = !this.#expiry.isPast(entry.expiresAt)
    this.#remove(entry)
    return existed
  }

  clear(): void {
    this.#entries.clear()
    this.#list.clear()
    this.#evicted.clear()
    this.#hand = undefined
    this.#bytes = 0
  }

  /** The keys, also of entries that have expired. */
  *keys(): Generator<string, void, undefined> {
    for (const { key, value } of this.#entries.values()) if (value !== undefined) yield key
  }

  #insert(key: string, value: V, size: number, expiresAt: number): void {
    this.#restored = 0
    this.#evictFor(1, size)
    const entry = this.#spare ?? createEntry()
    this.#spare = undefined
    entry.key = key
    entry.reads = 0
    this.#entries.set(key, entry)
    fill(entry, value, size, expiresAt)
    this.#add(entry)
  }

  /** Stores a value in an entry that was evicted a short time ago. */
  #restore(entry: MapEntry<V>, value: V, size: number, expiresAt: number): void {
    // First, or it could be dropped to keep the key of another one.
    this.#evicted.remove(entry)
    this.#evictFor(1, size)
    const run = this.#restored++
    entry.reads = run > restoredPerRead && run % restoredPerRead > 0 ? 0 : 1
    fill(entry, value, size, expiresAt)
    this.#add(entry)
  }

  #replace(entry: MapEntry<V>, value: V, size: number, expiresAt: number): void {
    const growth = size - entry.size
    // The hand evicts no entry that was read, unless it passes it twice.
    if (growth > 0) this.#evictFor(0, growth, entry)
    this.#bytes += growth
    if (entry.reads === 0) entry.reads = 1
    fill(entry, value, size, expiresAt)
  }

  #add(entry: MapEntry<V>): void {
    this.#list.add(entry)
    this.#bytes += entry.size
  }

  #evictFor(entries: number, bytes: number, kept?: MapEntry<V>): void {
    for (;;) {
      const lacksBytes = this.#bytes + bytes > this.#maxBytes
      if (!lacksBytes && this.#list.length + entries <= this.#maxEntries) return
      const meanSize = this.#bytes / this.#list.length
      const entry = this.#findUnused(kept, lacksBytes ? meanSize * sizePerRead : Infinity)
      if (entry === undefined) return
      this.#evict(entry)
    }
  }

  /** @param bytesPerRead up to which size an entry is kept, for each time that it was read */
  #findUnused(kept: MapEntry<V> | undefined, bytesPerRead: number): MapEntry<V> | undefined {
    if (this.#list.length === (kept === undefined ? 0 : 1)) return undefined
    let entry = this.#hand ?? this.#list.oldest
    while (entry !== undefined && (entry === kept || this.#isUsed(entry, bytesPerRead))) {
      entry.reads = 0
      entry = entry.newer ?? this.#list.oldest
    }
    this.#hand = entry
    return entry
  }

  #isUsed({ reads, size, expiresAt }: MapEntry<V>, bytesPerRead: number): boolean {
    if (reads === 0 || reads * bytesPerRead < size) return false
    return !this.#expiry.isPast(expiresAt)
  }

  #evict(entry: MapEntry<V>): void {
    if (channels.eviction.hasSubscribers) this.#publishEviction(entry)
    this.#unlink(entry)
    entry.value = undefined
    this.#evicted.add(entry)
    // Half as many as entries: with more, too many entries count as read.
    const oldest = this.#evicted.oldest
    if (oldest === undefined || this.#evicted.length <= this.#list.length / 2) return
    this.#evicted.remove(oldest)
    this.#drop(oldest)
  }

  #publishEviction({ key, expiresAt }: MapEntry<V>): void {
    if (this.#store === undefined || this.#expiry.isPast(expiresAt)) return
    channels.eviction.publish({ store: this.#store, key } satisfies EvictionEvent)
  }

  #remove(entry: MapEntry<V>): undefined {
    this.#unlink(entry)
    this.#drop(entry)
  }

  #drop(entry: MapEntry<V>): void {
    this.#entries.delete(entry.key)
    entry.value = undefined
    this.#spare = entry
  }

  #unlink(entry: MapEntry<V>): void {
    if (this.#hand === entry) this.#hand = entry.newer
    this.#list.remove(entry)
    this.#bytes -= entry.size
  }
}

function createEntry<V>(): MapEntry<V> {
  return {
    key: '',
    value: undefined,
    size: 0,
    expiresAt: 0.5, // Not an integer, so that V8 reserves a number that it can change in place.
    reads: 0,
    newer: undefined,
    older: undefined,
  }
}

function fill<V>(entry: MapEntry<V>, value: V, size: number, expiresAt: number): void {
  entry.value = value
  entry.size = size
  entry.expiresAt = expiresAt
}

/** An entry of a {@link BoundedMap}. */
interface MapEntry<V> {
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
class EntryList<V> {
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
