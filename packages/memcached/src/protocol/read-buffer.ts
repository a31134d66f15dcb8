/**
 * Joins received data until there is enough of it for the next reply. A large reply is joined once, not again with every
 * read.
 */
export class ReadBuffer {
  #pieces: Buffer[] = []
  #bytes = 0
  #neededBytes = 1

  /** Adds received data. Returns all data as soon as it has as many bytes as needed. */
  append(data: Buffer): Buffer | undefined {
    if (this.#bytes === 0 && data.length >= this.#neededBytes) return data
    this.#pieces.push(data)
    this.#bytes += data.length
    if (this.#bytes < this.#neededBytes) return undefined
    const all = Buffer.concat(this.#pieces)
    this.#clear()
    return all
  }

  /** Keeps the beginning of an incomplete reply until there are `neededBytes` of it. */
  retain(rest: Buffer, neededBytes: number): void {
    this.#neededBytes = neededBytes
    if (rest.length > 0) this.#pieces = [rest]
    this.#bytes = rest.length
  }

  #clear(): void {
    this.#pieces = []
    this.#bytes = 0
    this.#neededBytes = 1
  }
}
