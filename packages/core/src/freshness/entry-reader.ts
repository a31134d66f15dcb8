import type { Awaitable, ReadOptions } from '../store.ts'
import type { TagVersions, Versions } from '../tags/tag-versions.ts'
import type { BackendTime } from '../time/backend-time.ts'
import type { Entry } from '../values/entry.ts'
import type { EntryCodec } from '../values/entry-codec.ts'
import { type Mark, parseMark } from '../values/mark.ts'
import { getOutcomes } from '../wrappers/get-outcomes.ts'
import { freshnessOf, staleMsOf, tagsOf } from './freshness.ts'
import type { KnownTags } from './known-tags.ts'

const noVersions: Versions = new Map()

/** What a read found. */
export interface Found {
  /** The item in the store, for a compare-and-set; `undefined` if there is none. */
  readonly item: unknown
  /** The entry, unless it is corrupt or has been invalidated. */
  readonly entry: Entry | undefined
  /** Whether the item is an entry, also if that has been invalidated. */
  readonly isEntry: boolean
  /** For how long the entry has been stale, in milliseconds. Negative if it is fresh. */
  readonly staleMs: number
  /** The mark that the item is, if it is one. */
  readonly mark: Mark | undefined
  /** The versions of the tags that were read with the item. */
  readonly versions: Versions
}

/** Reads entries and determines whether they are fresh. */
export class EntryReader {
  readonly #entries: EntryCodec
  readonly #tags: TagVersions
  readonly #time: BackendTime
  readonly #knownTags: KnownTags

  constructor(
    entries: EntryCodec,
    { tags, time }: { readonly tags: TagVersions; readonly time: BackendTime },
    knownTags: KnownTags,
  ) {
    this.#entries = entries
    this.#tags = tags
    this.#time = time
    this.#knownTags = knownTags
  }

  /** Whether the entry under this key had tags when it was read last. Then use {@link read}. */
  hasKnownTags(key: string): boolean {
    return this.#knownTags.of(key) !== undefined
  }

  /** Reads an item, together with the versions of these tags and of those that its entry is known to have. */
  async read(key: string, tags: readonly string[], options?: ReadOptions): Promise<Found> {
    const names = unionOf(tags, this.#knownTags.of(key))
    const reading = this.#entries.store.get(key, options)
    if (names.length === 0) return this.examine(key, await reading, noVersions, options)
    const [item, versions] = await Promise.all([reading, this.#tags.read(names, options)])
    return this.examine(key, item, versions, options)
  }

  /** Whether an entry is known to be fresh without another read. */
  isFreshNow({ facts }: Entry): boolean {
    if (facts === undefined) return true
    if (facts.tags !== undefined) return false
    const now = facts.freshUntil === undefined ? 0 : this.#time.current()
    return now !== undefined && now < (facts.freshUntil ?? Infinity)
  }

  /** Does `read` for each key with one `getMany`, and returns the outcome of each. */
  async readMany(
    keys: readonly string[],
    tags: readonly string[],
    options?: ReadOptions,
  ): Promise<PromiseSettledResult<Found>[]> {
    const names = new Set([...tags, ...keys.flatMap((key) => this.#knownTags.of(key) ?? [])])
    const [outcomes, versions] = await Promise.all([
      getOutcomes(this.#entries.store, keys, options),
      names.size === 0 ? noVersions : this.#tags.read([...names], options),
    ])
    const entries = outcomes.map((outcome, index) =>
      outcome.status === 'fulfilled'
        ? this.#entries.decode(keys[index] as string, outcome.value)
        : undefined,
    )
    const all = await this.#versionsOfMany(keys, entries, versions, options)
    const now = this.#time.current() ?? (await this.#time.now())
    return outcomes.map((outcome, index) =>
      outcome.status === 'fulfilled'
        ? { status: 'fulfilled', value: found(outcome.value, entries[index], all, now) }
        : outcome,
    )
  }

  /** Returns the entry of an item that was read if it is fresh. */
  freshEntry(key: string, item: unknown, options?: ReadOptions): Awaitable<Entry | undefined> {
    const entry = this.#entries.decode(key, item)
    if (entry === undefined || entry.facts === undefined) return entry
    return this.#ifFresh(key, entry, options)
  }

  /** Returns the entries of items that were read, with `undefined` for those that are not fresh. */
  async freshEntries(
    keys: readonly string[],
    items: readonly unknown[],
    options?: ReadOptions,
  ): Promise<(Entry | undefined)[]> {
    const entries = keys.map((key, index) => this.#entries.decode(key, items[index]))
    if (entries.every((entry) => entry?.facts === undefined)) return entries
    const names = new Set(entries.flatMap((entry) => tagsOf(entry?.facts)))
    const versions = await this.#tags.read([...names], options)
    const now = await this.#time.now()
    return entries.map((entry) => {
      const freshness = freshnessOf(entry?.facts, versions)
      return freshness !== undefined && staleMsOf(freshness, now) < 0 ? entry : undefined
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
    if (entry === undefined) return found(item, entry, versions, 0)
    const all = await this.#versionsOf(key, entry, versions, options)
    return found(item, entry, all, this.#time.current() ?? (await this.#time.now()))
  }

  async #ifFresh(key: string, entry: Entry, options?: ReadOptions): Promise<Entry | undefined> {
    const versions = await this.#versionsOf(key, entry, noVersions, options)
    const freshness = freshnessOf(entry.facts, versions)
    if (freshness === undefined) return undefined
    const now = this.#time.current() ?? (await this.#time.now())
    return staleMsOf(freshness, now) < 0 ? entry : undefined
  }

  async #versionsOf(
    key: string,
    entry: Entry,
    known: Versions,
    options?: ReadOptions,
  ): Promise<Versions> {
    const tags = tagsOf(entry.facts)
    if (tags.length === 0) return known
    this.#knownTags.set(key, tags)
    const unknown = tags.filter((tag) => !known.has(tag))
    if (unknown.length === 0) return known
    return new Map([...known, ...(await this.#tags.read(unknown, options))])
  }

  async #versionsOfMany(
    keys: readonly string[],
    entries: readonly (Entry | undefined)[],
    known: Versions,
    options?: ReadOptions,
  ): Promise<Versions> {
    const unknown = new Set<string>()
    for (const [index, entry] of entries.entries()) {
      const tags = tagsOf(entry?.facts)
      if (tags.length > 0) this.#knownTags.set(keys[index] as string, tags)
      for (const tag of tags) if (!known.has(tag)) unknown.add(tag)
    }
    if (unknown.size === 0) return known
    return new Map([...known, ...(await this.#tags.read([...unknown], options))])
  }
}

/** What an item means at the time `now`. `versions` contains those of its tags. */
function found(item: unknown, entry: Entry | undefined, versions: Versions, now: number): Found {
  if (entry === undefined) {
    const mark = parseMark(item)
    return { item, entry, isEntry: false, staleMs: Infinity, mark, versions }
  }
  const freshness = freshnessOf(entry.facts, versions)
  return {
    item,
    entry: freshness === undefined ? undefined : entry,
    isEntry: true,
    staleMs: freshness === undefined ? Infinity : staleMsOf(freshness, now),
    mark: undefined,
    versions,
  }
}

/** The tags of both lists, which usually are the same. */
function unionOf(tags: readonly string[], known: readonly string[] | undefined): readonly string[] {
  if (known === undefined || known.every((tag) => tags.includes(tag))) return tags
  return [...new Set([...tags, ...known])]
}
