/** How wrong the clock of this machine may be before signatures use the clock of the server, as in the SDK. */
const maxSkewMs = 300_000

/**
 * The clock of the server, from the `Date` header of its replies. The header has whole seconds, so a single reply gives
 * the time to within a second, and several narrow it down. In between `performance.now()` continues it, which does not
 * change when the clock of this machine is set.
 */
export class ServerClock {
  /** The server's time minus `performance.now()` lies between these. */
  #minOffset = Number.NEGATIVE_INFINITY
  #maxOffset = Number.POSITIVE_INFINITY
  /** The last header and its time: most replies of one second have the same. */
  #header = ''
  #headerMs = Number.NaN

  /** Takes the `Date` header of a reply. Times are those of `performance.now()`. */
  observe(header: unknown, sentAt: number, receivedAt: number): void {
    if (typeof header !== 'string') return
    if (header !== this.#header) {
      this.#header = header
      this.#headerMs = Date.parse(header)
    }
    if (Number.isNaN(this.#headerMs)) return
    const min = this.#headerMs - receivedAt
    const max = this.#headerMs + 1_000 - sentAt
    const isConsistent = min <= this.#maxOffset && max >= this.#minOffset
    this.#minOffset = isConsistent ? Math.max(this.#minOffset, min) : min
    this.#maxOffset = isConsistent ? Math.min(this.#maxOffset, max) : max
  }

  /** Epoch milliseconds, or `undefined` before the first reply. */
  now(): number | undefined {
    if (this.#minOffset === Number.NEGATIVE_INFINITY) return undefined
    return Math.floor(performance.now() + (this.#minOffset + this.#maxOffset) / 2)
  }

  /**
   * The time by which items expire, in epoch milliseconds: that of this machine, unless the replies have shown that it is
   * wrong. The header alone is less exact.
   */
  itemTime(): number {
    const local = Date.now()
    const offset = local - performance.now()
    const isRight = this.#minOffset <= offset && offset <= this.#maxOffset
    return isRight ? local : (this.now() ?? local)
  }

  /** The time to sign a request with: that of this machine, unless the server would reject it. */
  signingTime(): number {
    const local = Date.now()
    const server = this.now()
    return server !== undefined && Math.abs(server - local) >= maxSkewMs ? server : local
  }
}
