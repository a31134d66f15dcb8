import type { Clock } from '@stowage/core'

/** How long a key counts as just written, at least; up to twice as long. A copy is usually up to date within a second. */
const spanMs = 2_000

/** The keys written in the last seconds, kept in two sets of which the older is dropped as a whole. */
export class RecentWrites {
  readonly #clock: Pick<Clock, 'now'>
  #recent = new Set<string>()
  #older = new Set<string>()
  #since = 0

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  add(key: string): void {
    this.#turn()
    this.#recent.add(key)
  }

  has(key: string): boolean {
    this.#turn()
    return this.#recent.has(key) || this.#older.has(key)
  }

  #turn(): void {
    const now = this.#clock.now()
    const age = now - this.#since
    if (age >= 0 && age < spanMs) return
    this.#older = age < 2 * spanMs ? this.#recent : new Set()
    this.#recent = new Set()
    this.#since = now
  }
}
