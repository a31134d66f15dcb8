import type { Entry, EntryFacts } from '../entry.ts'
import { type Awaitable, type ReadOptions, strongRead } from '../store.ts'
import type { TagVersions, Versions } from '../tags/tag-versions.ts'
import type { BackendTime } from '../time/backend-time.ts'
import { type Mark, parseMark } from '../values/mark.ts'
import { type StoredEntries, storedItem } from '../values/stored-entries.ts'
import { getOutcomes } from '../wrappers/batch-error.ts'
import { staleMsOf, tagsOf } from './freshness.ts'
import type { TagHints } from './tag-hints.ts'

const noVersions: Versions = new Map()

type EntryTags = NonNullable<EntryFacts['tags']>

/** The tags of an entry, or a function of its value, which is not known before it is read. */
type Tags = readonly string[] | ((...args: never) => unknown)

/** What a read found. */
export interface Found {
  /** The item in the store, for a compare-and-set; `undefined` if there is none. */
  readonly item: unknown
  /** The entry, unless it is corrupt or has been invalidated. */
  readonly entry: Entry | undefined
  /** Whether the item is an entry, even if that has been invalidated. */
  readonly isEntry: boolean
  /** For how long the entry has been stale, in milliseconds. Negative if it is fresh. */
  readonly staleMs: number
  /** The mark that the item is, if it is one. */
  readonly mark: Mark | undefined
  /** The versions of the tags that were read with the item. */
  readonly versions: Versions
}

/** A call that counts its hits and misses. */
interface ObservedRead {
  /** @param item that of a fresh entry, `undefined` for a miss */
  noteRead(item: unknown): void
}

/** What the reader needs of what a cache shares with its namespaces. */
export interface EntryReaderRoot {
  readonly tags: TagVersions
  readonly time: BackendTime
  /** The near cache that reads are served from, if there is one. */
  readonly near: object | undefined
}

/** Reads entries and determines whether they are fresh. */
export class EntryReader {
  readonly #entries: StoredEntries
  readonly #tags: TagVersions
  readonly #time: BackendTime
  readonly #tagHints: TagHints
  readonly #root: EntryReaderRoot

  constructor(entries: StoredEntries, root: EntryReaderRoot, tagHints: TagHints) {
    this.#entries = entries
    this.#tags = root.tags
    this.#time = root.time
    this.#root = root
    this.#tagHints = tagHints
  }

  /** A reader of the same keys in another store, or with another codec. */
  over(entries: StoredEntries): EntryReader {
    return new EntryReader(entries, this.#root, this.#tagHints)
  }

  /**
   * Reads an item, together with the versions of these tags and of those that its entry is known to have: the store merges
   * reads of one turn. Synchronous if the store is, because a promise would double the cost of a hit in memory.
   */
  read(key: string, tags?: Tags, options?: ReadOptions): Awaitable<Found> {
    try {
      const versions =
        tags === undefined && this.#tagHints.isEmpty
          ? noVersions
          : this.#readVersions(key, tags, options)
      const item = this.#entries.store.get(key, options)
      return versions === noVersions && isPlainEntry(item)
        ? fresh(item)
        : this.#examineRead(key, tags, item, versions, options)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #examineRead(
    key: string,
    tags: Tags | undefined,
    item: Awaitable<unknown>,
    versions: Awaitable<Versions>,
    options: ReadOptions | undefined,
  ): Awaitable<Found> {
    if (!(item instanceof Promise || versions instanceof Promise)) {
      const found = this.#examineNow(key, item, versions)
      if (found !== undefined && !mayBeOutdated(found)) return found
    }
    return this.#examineLater(key, tags, item, versions, options)
  }

  /** Returns the value of a fresh entry, after a hit or a miss has been published, and noted for the call if that is observed. */
  serveFresh<T>(key: string, found: Found, call: ObservedRead | undefined): T | undefined {
    const { item, entry, staleMs } = found
    if (call !== undefined) call.noteRead(staleMs < 0 ? item : undefined)
    return this.#entries.serve<T>(key, staleMs < 0 ? entry : undefined)
  }

  #readVersions(key: string, tags: Tags | undefined, options?: ReadOptions): Awaitable<Versions> {
    const known = this.#tagHints.of(key)
    const names = Array.isArray(tags) ? unionOf(tags, known) : known
    return names === undefined || names.length === 0 ? noVersions : this.#tags.read(names, options)
  }

  async #examineLater(
    key: string,
    tags: Tags | undefined,
    itemReading: Awaitable<unknown>,
    versionsReading: Awaitable<Versions>,
    options: ReadOptions | undefined,
  ): Promise<Found> {
    const item = await itemReading
    const versions = versionsReading instanceof Promise ? await versionsReading : versionsReading
    const examined =
      this.#examineNow(key, item, versions) ?? (await this.examine(key, item, versions, options))
    if (!mayBeOutdated(examined)) return examined
    const found = await this.#confirm(key, examined)
    // An entry of a near cache may have been replaced, and a load must not record an outdated version.
    const isOutdated = mayBeOutdated(found) && this.#usesNear(options)
    return isOutdated ? this.read(key, tags, strongRead) : found
  }

  /**
   * Reads the versions of an entry again that was found to be invalid: those that were read together with it may be older
   * than the entry, which a load would then replace.
   */
  #confirm(key: string, found: Found): Awaitable<Found> {
    const isInvalid = found.isEntry && found.entry === undefined
    return isInvalid ? this.examine(key, found.item, noVersions, strongRead) : found
  }

  /** Does `read` for each key with one `getMany`, and returns the outcome of each. */
  async readMany(
    keys: readonly string[],
    tags: readonly string[],
    options?: ReadOptions,
  ): Promise<PromiseSettledResult<Found>[]> {
    const names = new Set([...tags, ...keys.flatMap((key) => this.#tagHints.of(key) ?? [])])
    const [outcomes, versions] = await Promise.all([
      getOutcomes(this.#entries.store, keys, options),
      names.size === 0 ? noVersions : this.#tags.read([...names], options),
    ])
    const entries = outcomes.map((outcome, index) =>
      outcome.status === 'fulfilled'
        ? this.#entries.decode(keys[index] as string, outcome.value)
        : undefined,
    )
    const all = await this.#versionsOf(keys, entries, versions, options)
    const now = this.#time.peek() ?? (await this.#time.estimate())
    const results = await Promise.all(
      outcomes.map(async (outcome, index): Promise<PromiseSettledResult<Found>> => {
        if (outcome.status === 'rejected') return outcome
        const value = interpret(outcome.value, entries[index], all, now)
        return { status: 'fulfilled', value: await this.#confirm(keys[index] as string, value) }
      }),
    )
    return this.#usesNear(options) && all.size > 0
      ? this.#readInvalidAgain(keys, tags, results)
      : results
  }

  /** Returns the entries of items that were read, with `undefined` for those that are not fresh. */
  freshEntries(
    keys: readonly string[],
    items: readonly unknown[],
    options?: ReadOptions,
  ): Awaitable<readonly (Entry | undefined)[]> {
    if (items.every(isPlainEntry)) return items
    const entries = keys.map((key, index) => this.#entries.decode(key, items[index]))
    const areSimple = entries.every((entry) => entry?.facts === undefined)
    return areSimple ? entries : this.#freshOnes(entries, options)
  }

  async #freshOnes(
    entries: readonly (Entry | undefined)[],
    options: ReadOptions | undefined,
  ): Promise<(Entry | undefined)[]> {
    const names = new Set(entries.flatMap((entry) => tagsOf(entry?.facts)))
    const versions = await this.#tags.read([...names], options)
    const now = await this.#time.estimate()
    return entries.map((entry) => {
      const staleMs = staleMsOf(entry?.facts, versions, now)
      return staleMs !== undefined && staleMs < 0 ? entry : undefined
    })
  }

  /** Determines what an item means. Reads the versions of those of its tags that are not among `versions`. */
  async examine(
    key: string,
    item: unknown,
    versions: Versions = noVersions,
    options?: ReadOptions,
  ): Promise<Found> {
    const entry = this.#entries.decode(key, item)
    // Without facts it is fresh at any time.
    if (entry?.facts === undefined) return interpret(item, entry, versions, 0)
    const all = await this.#versionsOf([key], [entry], versions, options)
    return interpret(item, entry, all, this.#time.peek() ?? (await this.#time.estimate()))
  }

  /** The same, or `undefined` if the versions of other tags or the clock of the backend have to be read first. */
  #examineNow(key: string, item: unknown, versions: Versions): Found | undefined {
    const entry = this.#entries.decode(key, item)
    const facts = entry?.facts
    if (facts === undefined) return interpret(item, entry, versions, 0)
    if (facts.tags !== undefined && !this.#areKnown(key, facts.tags, versions)) return undefined
    const now = this.#time.peek()
    return now === undefined ? undefined : interpret(item, entry, versions, now)
  }

  /** Whether the versions of all tags of an entry have been read. */
  #areKnown(key: string, tags: EntryTags, versions: Versions): boolean {
    let count = 0
    for (const tag in tags) {
      if (!versions.has(tag)) return false
      count++
    }
    // An entry that has lost tags: their versions need not be read any more.
    if (count < versions.size) this.#tagHints.set(key, Object.keys(tags))
    return true
  }

  /** Whether entries and versions may be those of a near cache. */
  #usesNear(options: ReadOptions | undefined): boolean {
    return this.#root.near !== undefined && options?.consistency === undefined
  }

  async #readInvalidAgain(
    keys: readonly string[],
    tags: readonly string[],
    results: readonly PromiseSettledResult<Found>[],
  ): Promise<PromiseSettledResult<Found>[]> {
    const isInvalid = (result: PromiseSettledResult<Found> | undefined) =>
      result?.status === 'fulfilled' && result.value.staleMs >= 0
    const invalid = keys.filter((_, index) => isInvalid(results[index]))
    if (invalid.length === 0) return [...results]
    const again = await this.readMany(invalid, tags, strongRead)
    let next = 0
    return results.map((result) =>
      isInvalid(result) ? (again[next++] as PromiseSettledResult<Found>) : result,
    )
  }

  /** The versions of the tags of entries: those that are known, and the others, which are read. */
  async #versionsOf(
    keys: readonly string[],
    entries: readonly (Entry | undefined)[],
    known: Versions,
    options?: ReadOptions,
  ): Promise<Versions> {
    const unknown = new Set<string>()
    for (const [index, entry] of entries.entries()) {
      const tags = tagsOf(entry?.facts)
      if (tags.length > 0) this.#tagHints.set(keys[index] as string, tags)
      for (const tag of tags) if (!known.has(tag)) unknown.add(tag)
    }
    if (unknown.size === 0) return known
    return new Map([...known, ...(await this.#tags.read([...unknown], options))])
  }
}

/** Whether a store of references, or a near cache, has returned an entry that is fresh at any time. No other item has a value. */
function isPlainEntry(item: unknown): item is Entry {
  const entry = item as Partial<Entry> | undefined
  return entry?.value !== undefined && entry.facts === undefined
}

function fresh(entry: Entry): Found {
  return {
    item: entry,
    entry,
    isEntry: true,
    staleMs: -Infinity,
    mark: undefined,
    versions: noVersions,
  }
}

/** What an item means at the time `now`. `versions` contains those of its tags. */
function interpret(
  read: unknown,
  entry: Entry | undefined,
  versions: Versions,
  now: number,
): Found {
  const item = storedItem(read)
  if (entry === undefined) {
    const mark = parseMark(item)
    return { item, entry, isEntry: false, staleMs: Infinity, mark, versions }
  }
  const staleMs = staleMsOf(entry.facts, versions, now)
  const mark = undefined
  return staleMs === undefined
    ? { item, entry: undefined, isEntry: true, staleMs: Infinity, mark, versions }
    : { item, entry, isEntry: true, staleMs, mark, versions }
}

/** Whether an entry is not fresh, and versions that were read with it may be older than it. */
function mayBeOutdated({ staleMs, versions }: Found): boolean {
  return staleMs >= 0 && versions.size > 0
}

/** The tags of both lists, which usually are the same. Then returns the known ones, which many entries share. */
function unionOf(tags: readonly string[], known: readonly string[] | undefined): readonly string[] {
  if (known === undefined) return tags
  if (tags.every((tag) => known.includes(tag))) return known
  return known.every((tag) => tags.includes(tag)) ? tags : [...new Set([...tags, ...known])]
}
