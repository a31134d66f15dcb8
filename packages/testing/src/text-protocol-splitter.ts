/** Position of the data length in the command lines that a data block follows. */
const lengthPositions: Readonly<Record<string, number>> = {
  set: 4,
  add: 4,
  replace: 4,
  append: 4,
  prepend: 4,
  cas: 4,
  ms: 2,
}
const lineFeed = 0x0a
/** Many times the longest request of a client: a `get` of a few hundred keys. Without a limit, one line could fill the memory. */
const maxLineBytes = 65_536
/** First byte of a request in the binary protocol, which has no lines. */
const binaryRequest = 0x80

/**
 * Splits the bytes that a memcached client sends into command lines and data, so that a line inside a value is not
 * mistaken for a command. https://github.com/memcached/memcached/blob/master/doc/protocol.txt
 */
export class TextProtocolSplitter {
  readonly #onPiece: (piece: Buffer, commandLine: string | undefined) => void
  /** Bytes that the current data block still lacks. */
  #dataLeft = 0
  /** The beginning of a line whose end has not arrived. */
  #incompleteLine: Buffer = Buffer.alloc(0)

  /** @param onPiece receives all bytes in order, with `commandLine` (without its line end) for a command line */
  constructor(onPiece: (piece: Buffer, commandLine: string | undefined) => void) {
    this.#onPiece = onPiece
  }

  /** Returns false if a line is too long, after which nothing can be split. */
  write(chunk: Buffer): boolean {
    let rest =
      this.#incompleteLine.length > 0 ? Buffer.concat([this.#incompleteLine, chunk]) : chunk
    while (rest.length > 0) {
      const size = this.#nextPieceSize(rest)
      if (size === 0) break
      this.#emit(rest.subarray(0, size))
      rest = rest.subarray(size)
    }
    this.#incompleteLine = rest
    return rest.length <= maxLineBytes
  }

  /** Zero for an incomplete line. */
  #nextPieceSize(bytes: Buffer): number {
    if (this.#dataLeft === 0 && bytes[0] === binaryRequest) this.#dataLeft = Infinity
    return this.#dataLeft > 0 ? Math.min(this.#dataLeft, bytes.length) : bytes.indexOf(lineFeed) + 1
  }

  #emit(piece: Buffer): void {
    if (this.#dataLeft > 0) {
      this.#dataLeft -= piece.length
      this.#onPiece(piece, undefined)
      return
    }
    const line = piece.toString('latin1').trimEnd()
    const words = line.split(' ')
    const length = Number(words[lengthPositions[words[0] as string] ?? -1])
    if (length >= 0) this.#dataLeft = length + '\r\n'.length
    this.#onPiece(piece, line)
  }
}
