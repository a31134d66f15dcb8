/**
 * A map of what is worth remembering, with a maximum number of entries: it forgets those that were not used for longest. When
 * half of them are new, the other half is forgotten, except for what was read meanwhile. So a read costs one look-up more
 * than in a `Map`, and entries have no order. Use {@link BoundedMap} where bytes, expiry or the ratio of hits matter.
 *
 * @example
 * const sizes = new RecentMap<number>(1_000)
 * sizes.set('logo', 42)
 * console.log(sizes.get('logo')) // 42
 */
export class RecentMap<V extends {}> {
  readonly #half: number
  #newer = new Map<string, V>()
  #older = new Map<string, V>()

  /** @param maxEntries at least 2 */
  constructor(maxEntries: number) {
    this.#half = Math.ceil(maxEntries / 2)
  }

  get(key: string): V | undefined {
    const value = this.#newer.get(key)
    if (value !== undefined || this.#older.size === 0) return value
    const old = this.#older.get(key)
    if (old !== undefined) this.set(key, old)
    return old
  }

  set(key: string, value: V): void {
    if (this.#newer.size >= this.#half && !this.#newer.has(key)) {
      this.#older = this.#newer
      this.#newer = new Map()
    }
    this.#newer.set(key, value)
  }

  delete(key: string): void {
    // Mostly empty, and each write of a cache looks here.
    if (this.#newer.size > 0) this.#newer.delete(key)
    if (this.#older.size > 0) this.#older.delete(key)
  }

  clear(): void {
    this.#newer.clear()
    this.#older.clear()
  }
}

/**
 * Remembers the results of a function for its last arguments, for a function that costs more than to remember them. A result of
 * `undefined` is not remembered.
 *
 * @example
 * const parse = remembering((text) => new URL(text), 1_000)
 * console.log(parse('https://shop.example/') === parse('https://shop.example/')) // true
 */
export function remembering<R>(
  compute: (argument: string) => R,
  maxEntries: number,
): (argument: string) => R {
  const results = new RecentMap<NonNullable<R>>(maxEntries)
  return (argument) => {
    const known = results.get(argument)
    if (known !== undefined) return known
    const result = compute(argument)
    if (result !== undefined && result !== null) results.set(argument, result)
    return result
  }
}
