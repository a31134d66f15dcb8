// The steps that the loads of a call of `rememberMany` take together: reads, waits for leases, and the call of the loader.
import { fulfilled, TickBatch } from '../calls/tick-batch.ts'
import type { EntryReader, Found } from '../freshness/entry-reader.ts'
import type { LeasePolls } from '../leases/lease-wait.ts'
import { type AnyStore, type ReadOptions, strongRead } from '../store.ts'
import type { TagVersion } from '../tags/tag-version.ts'
import type { TagVersions, Versions } from '../tags/tag-versions.ts'
import { wait } from '../time/wait.ts'
import { getOutcomes } from '../wrappers/batch-error.ts'
import type { RememberCache, RememberingCache } from './load-job.ts'

/** Reads what the jobs need in one turn together. Later reads are strong, as in `remember`. */
export function mergeReads(cache: RememberingCache, tags: readonly string[]): RememberCache {
  const { root, reader } = cache
  return {
    ...cache,
    reader: new MergedReader(reader, tags, strongRead),
    root: {
      store: root.store,
      time: root.time,
      clockUncertainty: root.clockUncertainty,
      tags: new MergedTagVersions(root.tags, strongRead),
    },
  }
}

/** Reads the keys that are requested in one turn by one `getMany`, all with the same tags and options. */
export class MergedReader implements Pick<EntryReader, 'read'> {
  readonly #reads: TickBatch<Found>

  constructor(reader: EntryReader, tags: readonly string[], options?: ReadOptions) {
    this.#reads = new TickBatch((keys) => reader.readMany(keys, tags, options))
  }

  read(key: string): Promise<Found> {
    return this.#reads.get(key)
  }
}

/** The versions of tags for the loads of many keys: what they need in one turn is read and created once per tag. */
class MergedTagVersions implements Pick<TagVersions, 'read' | 'create'> {
  readonly #reads: TickBatch<TagVersion | undefined>
  readonly #creations: TickBatch<TagVersion | undefined>

  /** @param options those of every read */
  constructor(tags: Pick<TagVersions, 'read' | 'create'>, options: ReadOptions) {
    this.#reads = new TickBatch(async (names) => {
      const versions = await tags.read(names, options)
      return names.map((name) => fulfilled(versions.get(name)))
    })
    this.#creations = new TickBatch(async (names) => {
      const versions = await tags.create(new Map(names.map((name) => [name, undefined])))
      return names.map((name) => fulfilled(versions.get(name)))
    })
  }

  async read(tags: readonly string[]): Promise<Versions> {
    return new Map(
      await Promise.all(tags.map(async (tag) => [tag, await this.#reads.get(tag)] as const)),
    )
  }

  async create(versions: Versions): Promise<Versions> {
    const complete = Array.from(
      versions,
      async ([tag, version]) => [tag, version ?? (await this.#creations.get(tag))] as const,
    )
    return new Map(await Promise.all(complete))
  }
}

/** Waits for the leases of many keys with one timer, and reads them with one `getMany`. */
export class SharedPolls implements LeasePolls {
  readonly #reads = new Map<AnyStore, TickBatch<unknown>>()
  #timer: Promise<void> | undefined
  #lastReadAt = 0

  /** A wait that begins while another is in progress ends with that one. */
  wait(ms: number): Promise<void> {
    this.#timer ??= wait(ms).then(() => {
      this.#timer = undefined
    })
    return this.#timer
  }

  read(store: AnyStore, key: string): Promise<unknown> {
    let reads = this.#reads.get(store)
    if (reads === undefined) {
      reads = this.#readsOf(store)
      this.#reads.set(store, reads)
    }
    return reads.get(key)
  }

  lastReadAt(): number {
    return this.#lastReadAt
  }

  #readsOf(store: AnyStore): TickBatch<unknown> {
    return new TickBatch(async (keys) => {
      const outcomes = await getOutcomes(store, keys, strongRead)
      this.#lastReadAt = performance.now()
      return outcomes
    })
  }
}

/**
 * Collects the loads of several keys, so that one call of the loader executes them. The call is made when it is known of
 * every key whether it is loaded: those that hold the batch are still being read or leased.
 */
export class LoadBatch<Member> {
  readonly #run: (members: readonly Member[]) => void
  readonly #holders = new Set<string>()
  #members: Member[] = []
  #isScheduled = false

  constructor(run: (members: readonly Member[]) => void) {
    this.#run = run
  }

  /** Delays the call until the key is released or added. */
  hold(key: string): void {
    this.#holders.add(key)
  }

  release(key: string): void {
    if (this.#holders.delete(key)) this.#schedule()
  }

  add(key: string, member: Member): void {
    this.#members.push(member)
    this.#holders.delete(key)
    this.#schedule()
  }

  /** Waits for the end of the turn, because loads that become possible later often do so together. */
  #schedule(): void {
    if (this.#isScheduled || this.#holders.size > 0 || this.#members.length === 0) return
    this.#isScheduled = true
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    this.#isScheduled = false
    if (this.#holders.size > 0) return
    const members = this.#members
    this.#members = []
    this.#run(members)
  }
}
