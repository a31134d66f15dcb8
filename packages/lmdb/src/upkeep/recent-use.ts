/** A burst of reads is recorded with one transaction. */
const delayMs = 100
const maxKeys = 1_000

/** Collects the keys of items that were read, to mark them as used. */
export class RecentUse {
  readonly #record: (keys: readonly string[]) => void
  #keys = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  /** @param record marks the items of the keys */
  constructor(record: (keys: readonly string[]) => void) {
    this.#record = record
  }

  add(key: string): void {
    if (this.#keys.size >= maxKeys) return
    this.#keys.add(key)
    this.#timer ??= setTimeout(() => this.#flush(), delayMs).unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#keys.clear()
  }

  #flush(): void {
    const keys = [...this.#keys]
    this.#keys = new Set()
    this.#timer = undefined
    this.#record(keys)
  }
}
