/** Commands of the text protocol that a data block follows, and which of their words tells its length. */
const lengthWords: Readonly<Record<string, number>> = {
  set: 4,
  add: 4,
  replace: 4,
  append: 4,
  prepend: 4,
  cas: 4,
  ms: 2,
}
const lineFeed = 0x0a
/** First byte of a request of the binary protocol, in which there are no lines. */
const binaryRequest = 0x80

/**
 * Divides what a client of memcached sends into command lines and data, so that a line inside a value is not mistaken
 * for a command. https://github.com/memcached/memcached/blob/master/doc/protocol.txt
 */
export class TextCommands {
  readonly #each: (piece: Buffer, line: string | undefined) => void
  /** Bytes of a data block still to come. */
  #data = 0
  #held: Buffer = Buffer.alloc(0)

  /** @param each gets all bytes in order; with `line` where they are a command line, without its end */
  constructor(each: (piece: Buffer, line: string | undefined) => void) {
    this.#each = each
  }

  read(chunk: Buffer): void {
    let rest = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : chunk
    while (rest.length > 0) {
      const size = this.#sizeOfNext(rest)
      if (size === 0) break
      this.#pass(rest.subarray(0, size))
      rest = rest.subarray(size)
    }
    this.#held = rest
  }

  /** 0 for a line that is not complete. */
  #sizeOfNext(bytes: Buffer): number {
    if (this.#data === 0 && bytes[0] === binaryRequest) this.#data = Infinity
    return this.#data > 0 ? Math.min(this.#data, bytes.length) : bytes.indexOf(lineFeed) + 1
  }

  #pass(piece: Buffer): void {
    if (this.#data > 0) {
      this.#data -= piece.length
      this.#each(piece, undefined)
      return
    }
    const line = piece.toString('latin1').trimEnd()
    const words = line.split(' ')
    const length = Number(words[lengthWords[words[0] as string] ?? -1])
    if (length >= 0) this.#data = length + '\r\n'.length
    this.#each(piece, line)
  }
}
