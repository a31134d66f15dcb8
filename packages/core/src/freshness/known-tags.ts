const maxKeys = 10_000

/**
 * The tags that entries had when they were read last, so that their versions can be read together with the entry. Only an
 * optimisation: a wrong or missing record costs a second read.
 */
export class KnownTags {
  readonly #tags = new Map<string, readonly string[]>()
  /** One array for all entries with the same tags, so that these are recognised as the same. */
  readonly #lists = new Map<string, readonly string[]>()

  of(key: string): readonly string[] | undefined {
    return this.#tags.size === 0 ? undefined : this.#tags.get(key)
  }

  set(key: string, tags: readonly string[]): void {
    if (this.#tags.size >= maxKeys && !this.#tags.has(key)) {
      this.#tags.clear()
      this.#lists.clear()
    }
    this.#tags.set(key, this.#listOf(tags))
  }

  #listOf(tags: readonly string[]): readonly string[] {
    const id = JSON.stringify(tags)
    const existing = this.#lists.get(id)
    if (existing !== undefined) return existing
    if (this.#lists.size >= maxKeys) this.#lists.clear()
    this.#lists.set(id, tags)
    return tags
  }
}
