import { RecentMap } from '../eviction/recent-map.ts'

const maxKeys = 20_000

/**
 * The tags that entries had when they were read last, so that their versions can be read together with the entry. Only an
 * optimisation: a wrong or missing record costs a second read.
 */
export class TagHints {
  readonly #tags = new RecentMap<readonly string[]>(maxKeys)
  /** Whether no entry with tags was read yet. */
  isEmpty = true
  /** One array for all entries with the same tags, so that these are recognised as the same. */
  readonly #lists = new RecentMap<readonly string[]>(maxKeys)

  of(key: string): readonly string[] | undefined {
    return this.#tags.get(key)
  }

  set(key: string, tags: readonly string[]): void {
    this.isEmpty = false
    this.#tags.set(key, this.#listOf(tags))
  }

  #listOf(tags: readonly string[]): readonly string[] {
    const id = JSON.stringify(tags)
    const existing = this.#lists.get(id)
    if (existing !== undefined) return existing
    this.#lists.set(id, tags)
    return tags
  }
}
