import { RecentMap } from '../eviction/recent-map.ts'
import type { Keyspace } from '../keys.ts'
import { checkTags } from '../options/check-arguments.ts'
import { type AnyStore, type Awaitable, type ReadOptions, strongRead } from '../store.ts'
import type { BackendTime } from '../time/backend-time.ts'
import { type Mark, parseMark } from '../values/mark.ts'
import { textOf, toTextItem } from '../values/plain-items.ts'
import {
  changingVersion,
  createStaleVersion,
  createVersion,
  invalidatedAt,
  isVersion,
  type TagVersion,
} from './tag-version.ts'

/** The versions of tags by name. A tag without a version makes the entries that have it misses. */
export type Versions = ReadonlyMap<string, TagVersion | undefined>

const dayMs = 86_400_000
/**
 * For how much longer than a change the mark of a tag is stored. It shows to a load that began before the end of a change
 * whose process has died, and that learns of the tag later, that the tag has been changed. No load takes that long.
 */
const markRestMs = dayMs
/** How long a version is stored after its last use. After that, entries with this tag are misses. */
const versionTtl = 30 * dayMs
/** How often a process extends the ttl of a version that it uses. */
const touchMs = dayMs
const maxTouched = 20_000
const maxAttempts = 10

/** A call of `read` in flight. */
interface VersionsRead {
  readonly tags: readonly string[]
  /** The results of the store, one per tag: the same promise where the store has merged reads. */
  readonly readings: readonly unknown[]
  readonly versions: Promise<Versions>
}

/**
 * The versions of tags in the backend. An entry contains the versions that were read before its value was loaded, and is
 * valid as long as they are the current ones. `invalidate` replaces a version: the loss of one can only cause misses.
 */
export class TagVersions {
  readonly #store: AnyStore
  readonly #keys: Keyspace
  readonly #time: BackendTime
  /** When this process last extended the ttl of a version, by tag. */
  readonly #touchedAt = new RecentMap<number>(maxTouched)
  /** The last call of `read`, while it is in flight. */
  #lastRead: VersionsRead | undefined

  /** @param keys the storage keys of the versions */
  constructor(store: AnyStore, keys: Keyspace, time: BackendTime) {
    this.#store = store
    this.#keys = keys
    this.#time = time
  }

  /**
   * Reads the versions. One read per tag, so that the reads of a turn of the event loop are merged. Calls with the same
   * array whose reads have been merged share the result. Synchronous if the store is.
   */
  read(tags: readonly string[], options?: ReadOptions): Awaitable<Versions> {
    const last = this.#lastRead
    const readings = tags.map((tag) => this.#store.get(this.#keys.toStorageKey(tag), options))
    if (last?.tags === tags && areSame(last.readings, readings)) return last.versions
    if (!readings.some(isPromise)) return this.#versionsOf(tags, readings)
    const versions = Promise.all(readings).then((items) => this.#versionsOf(tags, items))
    const read = { tags, readings, versions }
    this.#lastRead = read
    // Its promise would keep the request in memory in whose context it was created.
    const forget = () => {
      if (this.#lastRead === read) this.#lastRead = undefined
    }
    // Also marks a rejection as handled: the caller may have failed before it waits for the versions.
    versions.then(forget, forget)
    return versions
  }

  /**
   * The current versions, for an entry that is about to be stored. Creates those that are missing.
   *
   * @throws TypeError for a tag that is not a non-empty string
   */
  async currentVersions(tags: readonly string[]): Promise<Record<string, string>> {
    return recordedVersions(await this.create(await this.read(checkTags(tags), strongRead)))
  }

  /** Creates the versions that are missing. */
  async create(versions: Versions): Promise<Versions> {
    const complete = Array.from(versions, async ([tag, version]) => {
      if (version === undefined) return [tag, await this.#createOne(tag)] as const
      this.#keepAlive(tag, version)
      return [tag, version] as const
    })
    return new Map(await Promise.all(complete))
  }

  /** The storage key of the version of a tag. */
  keyOf(tag: string): string {
    return this.#keys.toStorageKey(tag)
  }

  /** How long the mark of a change is stored for a tag. */
  markTtlOf({ ms }: Mark): number {
    return ms + markRestMs
  }

  /** The item of a version that no entry has, for a tag whose change ends. */
  async newVersion(): Promise<{ readonly item: unknown; readonly ttl: number }> {
    const version = createVersion(await this.#time.readUpperBound())
    return { item: this.#item(version), ttl: versionTtl }
  }

  /**
   * Replaces the versions, so that entries with one of the tags are invalid; or only stale.
   *
   * @throws CacheError if the clock of the backend has never been readable: loads compare the time of a version with theirs
   */
  async invalidate(tags: readonly string[], isStale: boolean): Promise<void> {
    await Promise.all(tags.map((tag) => (isStale ? this.#makeStale(tag) : this.#replace(tag))))
  }

  #versionsOf(tags: readonly string[], items: readonly unknown[]): Versions {
    return new Map(tags.map((tag, index) => [tag, this.#parse(items[index])]))
  }

  async #createOne(tag: string): Promise<TagVersion | undefined> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      // It has not been invalidated. A time of creation would prevent values from being stored for no reason.
      const created = await this.#add(tag, 0)
      if (created !== undefined) return created
      const key = this.#keys.toStorageKey(tag)
      const item = await this.#store.get(key, strongRead)
      const existing = this.#parse(item) ?? (await this.#endMark(key, item))
      if (existing !== undefined) return existing
    }
    return undefined // The key contains a foreign value. Entries with this tag are misses.
  }

  /** Replaces the mark of a change that has ended, because its process has died, by a version. Returns it. */
  async #endMark(key: string, item: unknown): Promise<TagVersion | undefined> {
    const mark = parseMark(item)
    if (mark?.end === undefined) return undefined
    const version = createVersion(mark.end)
    const isReplaced = await this.#store.compareAndSet(key, item, this.#item(version), versionTtl)
    return isReplaced ? version : undefined
  }

  /** Returns `undefined` if the tag has a version already. */
  async #add(tag: string, invalidatedAt: number): Promise<TagVersion | undefined> {
    const created = createVersion(invalidatedAt)
    const key = this.#keys.toStorageKey(tag)
    return (await this.#store.add(key, this.#item(created), versionTtl)) ? created : undefined
  }

  #replace(tag: string): Promise<void> {
    return this.#change(tag, (_, time) => createVersion(time))
  }

  #makeStale(tag: string): Promise<void> {
    // Without a version, entries with this tag are misses already. The new version tells loads that end with it so.
    return this.#change(tag, (current, time) =>
      current === undefined ? createVersion(time) : createStaleVersion(current, time),
    )
  }

  /** Replaces a version by compare-and-set: a late `set` could replace that of a later invalidation by an older one. */
  async #change(
    tag: string,
    next: (current: TagVersion | undefined, time: number) => TagVersion,
  ): Promise<void> {
    const key = this.#keys.toStorageKey(tag)
    const read = async () => this.#store.get(key, strongRead)
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const [seen, now] = await Promise.all([read(), this.#time.readUpperBound()])
      const current = this.#parse(seen)
      // Its entries are misses already, and the version that the end of the change creates is a new one.
      if (current === changingVersion) return
      const time = current === undefined ? now : Math.max(now, invalidatedAt(current))
      const item = this.#item(next(current, time))
      if (seen === undefined) {
        if (await this.#store.add(key, item, versionTtl)) return
      } else if (await this.#store.compareAndSet(key, seen, item, versionTtl)) return
    }
    // Others replace it all the time, or it is a foreign value that reads do not return.
    await this.#store.set(
      key,
      this.#item(createVersion(await this.#time.readUpperBound())),
      versionTtl,
    )
  }

  #parse(item: unknown): TagVersion | undefined {
    const mark = parseMark(item)
    if (mark?.kind === 'change') return this.#isOver(mark) ? undefined : changingVersion
    const text = textOf(this.#store, item)
    return text !== undefined && isVersion(text) ? text : undefined
  }

  /** Whether a change has ended whose mark still exists, because its process has died. */
  #isOver({ end = Infinity }: Mark): boolean {
    const now = this.#time.peek()
    // If it is not known, a later read knows it.
    void this.#time.estimate()
    return now !== undefined && now >= end
  }

  #item(version: TagVersion): unknown {
    return toTextItem(this.#store, version)
  }

  #keepAlive(tag: string, version: TagVersion): void {
    if (version === changingVersion) return
    const now = performance.now()
    if (now - (this.#touchedAt.get(tag) ?? -touchMs) < touchMs) return
    this.#touchedAt.set(tag, now)
    // A failure only means that the version may be lost earlier, which causes misses.
    void this.#touch(tag).catch(() => {})
  }

  async #touch(tag: string): Promise<void> {
    await this.#store.touch(this.#keys.toStorageKey(tag), versionTtl)
  }
}

/** The versions as entries record them. A tag without a version, or whose version is changing, makes the entry a miss. */
export function recordedVersions(versions: Versions): Record<string, TagVersion> {
  return Object.fromEntries(
    Array.from(versions, ([tag, version = '']) => [
      tag,
      version === changingVersion ? '' : version,
    ]),
  )
}

/** Whether the version of one of the tags is changing. */
export function isChanging(versions: Versions, tags: Iterable<string>): boolean {
  for (const tag of tags) if (versions.get(tag) === changingVersion) return true
  return false
}

function areSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.every((member, index) => member === b[index])
}

function isPromise(reading: unknown): boolean {
  return reading instanceof Promise
}
