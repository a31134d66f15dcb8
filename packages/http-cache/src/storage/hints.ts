/** What this process remembers of a key, in order to ask for all parts of a response in one turn. */
export interface Hint {
  /** The record of `Vary` that was read last. */
  readonly vary?: { readonly fill: string; readonly names: readonly string[] }
  /** The fill that was read last, whose encoded bodies may be asked for. */
  readonly fill?: string
  readonly bodyKey?: string | undefined
}

/** A map that forgets the oldest entries. */
export class RecentMap<V> {
  readonly #max: number
  #entries = new Map<string, V>()
  #older = new Map<string, V>()

  constructor(max: number) {
    this.#max = Math.ceil(max / 2)
  }

  get(key: string): V | undefined {
    const value = this.#entries.get(key)
    if (value !== undefined) return value
    if (this.#older.size === 0) return undefined
    const old = this.#older.get(key)
    if (old !== undefined) this.set(key, old)
    return old
  }

  set(key: string, value: V): void {
    if (this.#entries.size >= this.#max) {
      this.#older = this.#entries
      this.#entries = new Map()
    }
    this.#entries.set(key, value)
  }

  delete(key: string): void {
    this.#entries.delete(key)
    this.#older.delete(key)
  }
}
