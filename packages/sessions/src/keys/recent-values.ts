/**
 * The values of a function for the arguments of the last calls, for a function that costs more than to remember them. Bounded
 * by two generations: when one is full, those that were not used since the one before are dropped.
 */
export class RecentValues<V> {
  readonly #compute: (argument: string) => V | undefined
  readonly #size: number
  #current = new Map<string, V>()
  #previous = new Map<string, V>()

  /** @param size of a generation. A value of `undefined` is not remembered */
  constructor(compute: (argument: string) => V | undefined, size: number) {
    this.#compute = compute
    this.#size = size
  }

  get(argument: string): V | undefined {
    const known = this.#current.get(argument)
    if (known !== undefined) return known
    const value = this.#previous.get(argument) ?? this.#compute(argument)
    if (value === undefined) return undefined
    if (this.#current.size >= this.#size) {
      this.#previous = this.#current
      this.#current = new Map()
    }
    this.#current.set(argument, value)
    return value
  }
}
