import { fulfilled, TickBatch } from '../calls/tick-batch.ts'
import type { ReadOptions } from '../store.ts'
import type { TagVersion } from './tag-version.ts'
import type { TagVersions, Versions } from './tag-versions.ts'

/** The versions of tags for the loads of many keys: what they need in one turn is read and created once per tag. */
export class MergedTagVersions implements Pick<TagVersions, 'read' | 'create'> {
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
