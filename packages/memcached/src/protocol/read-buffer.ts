/**
 * Puts the pieces a socket delivers together, as far as somebody needs them together. A large reply is joined once and
 * not with every piece of it.
 */
export class Inbox {
  #pieces: Buffer[] = []
  #bytes = 0
  #needed = 1

  /** Takes a piece; returns all that is here as soon as it is enough. */
  take(piece: Buffer): Buffer | undefined {
    if (this.#bytes === 0 && piece.length >= this.#needed) return piece
    this.#pieces.push(piece)
    this.#bytes += piece.length
    if (this.#bytes < this.#needed) return undefined
    const all = Buffer.concat(this.#pieces)
    this.#clear()
    return all
  }

  /** Gives back what could not be used yet, and how many bytes it takes to go on. */
  keep(rest: Buffer, needed: number): void {
    this.#needed = needed
    if (rest.length > 0) this.#pieces = [rest]
    this.#bytes = rest.length
  }

  #clear(): void {
    this.#pieces = []
    this.#bytes = 0
    this.#needed = 1
  }
}
