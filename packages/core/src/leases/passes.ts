const maxKeys = 10_000

/**
 * The keys whose values could not be kept lately. They are loaded without a lease for a while: waiting for the load of
 * another process would not help.
 */
export class Passes {
  /** Until when, by key, in the time of `performance.now()`. */
  readonly #until = new Map<string, number>()

  has(key: string): boolean {
    const until = this.#until.get(key)
    if (until === undefined) return false
    if (performance.now() < until) return true
    this.#until.delete(key)
    return false
  }

  add(key: string, ms: number): void {
    if (this.#until.size >= maxKeys) this.#until.clear()
    this.#until.set(key, performance.now() + ms)
  }
}
