import type { Mark } from '../values/items/mark.ts'

const maxKeys = 10_000

interface SeenMark {
  readonly token: string
  /** When it is over, in the time of a monotonic clock. */
  readonly until: number
}

/**
 * When this process has first seen the marks of keys. A `touch` by an application also moves the expiry of a mark, so that
 * the expiry alone does not end it.
 */
export class SeenMarks {
  readonly #marks = new Map<string, SeenMark>()

  /**
   * Whether this process has seen the mark for longer than it is valid. Never before it expires, unless it was touched.
   *
   * @param now the time of a monotonic clock, the same one for all calls
   */
  isOver(key: string, { token, ms }: Mark, now: number): boolean {
    const seen = this.#marks.get(key)
    if (seen?.token === token) return now >= seen.until
    if (this.#marks.size >= maxKeys) this.#marks.clear()
    this.#marks.set(key, { token, until: now + ms })
    return false
  }
}
