import type { Clock } from '@stowage/core'

/** How long a key counts as just written, at least; up to twice as long. A copy is usually up to date within a second. */
const spanMs = 2_000
const token = /^[0-9a-z]{1,10}$/

/**
 * The keys written in the last seconds, kept in two sets of which the older is dropped as a whole. A token is the moment
 * of the last write, by the clock of who wrote; who observes it takes every key as just written, for the rest of its span.
 */
export class RecentWrites {
  readonly #clock: Pick<Clock, 'now'>
  #recent = new Set<string>()
  #older = new Set<string>()
  #since = 0
  #last = 0
  #allUntil = 0

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /** Stands for everything written so far; empty when nothing was. */
  get token(): string {
    return this.#last === 0 ? '' : this.#last.toString(36)
  }

  observe(text: string): void {
    if (!token.test(text)) return
    // The clock of another machine may be ahead of ours; that it is behind, the doubled span allows for.
    const writtenAt = Math.min(Number.parseInt(text, 36), this.#clock.now())
    this.#allUntil = Math.max(this.#allUntil, writtenAt + 2 * spanMs)
  }

  add(keys: readonly string[]): void {
    this.#last = this.#turn()
    for (const key of keys) this.#recent.add(key)
  }

  hasAny(keys: readonly string[]): boolean {
    if (this.#turn() < this.#allUntil) return true
    return keys.some((key) => this.#recent.has(key) || this.#older.has(key))
  }

  #turn(): number {
    const now = this.#clock.now()
    const age = now - this.#since
    if (age >= 0 && age < spanMs) return now
    this.#older = age < 2 * spanMs ? this.#recent : new Set()
    this.#recent = new Set()
    this.#since = now
    return now
  }
}
