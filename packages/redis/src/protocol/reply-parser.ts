/** https://redis.io/docs/latest/develop/reference/protocol-spec/#resp-protocol-description */
const types = { bulkString: 36, array: 42, null: 95, simpleString: 43, integer: 58 } as const
const carriageReturn = 13
const minus = 45
const zero = 48
const empty: Buffer = Buffer.alloc(0)

/** The reply is not complete yet. */
export const incomplete: unique symbol = Symbol('incomplete')
/** The reply is an error, or of a type that is not parsed here. */
export const unsupported: unique symbol = Symbol('unsupported')

type Element = Buffer | null

/**
 * Parses replies that are bulk strings, arrays of bulk strings, null, OK or integers. Bytes are not copied. A reply may
 * be split at any byte; the rest of it is then passed with the next call.
 */
export class ReplyParser {
  #chunk: Buffer = empty
  #position = 0
  /** Parts of an element that is not complete, and how many bytes it needs at least. */
  #parts: Buffer[] = []
  #partsLength = 0
  #neededLength = 0
  /** The elements of an array that is not complete. */
  #array: Element[] | undefined
  #elementCount = 0

  /** Whether everything has been parsed. */
  get isAtEnd(): boolean {
    return this.#position === this.#chunk.length
  }

  /** Returns the bytes that have not been parsed, and discards them. */
  takeRest(): Buffer {
    const rest = this.#chunk.subarray(this.#position)
    this.#position = this.#chunk.length
    return rest
  }

  /** Whether it has parsed the beginning of a reply. */
  get isInReply(): boolean {
    return this.#parts.length > 0 || this.#array !== undefined
  }

  /** Must be called when everything has been parsed. */
  add(chunk: Buffer): void {
    this.#position = 0
    if (this.#parts.length === 0) {
      this.#chunk = chunk
      return
    }
    this.#parts.push(chunk)
    this.#partsLength += chunk.length
    if (this.#partsLength < this.#neededLength) {
      // A long value arrives in many chunks, which are joined only once.
      this.#chunk = empty
      return
    }
    this.#chunk = Buffer.concat(this.#parts, this.#partsLength)
    this.#parts = []
  }

  /** Parses the next reply. */
  next(): unknown {
    if (this.isAtEnd) return incomplete
    if (this.#array === undefined) {
      const type = this.#chunk[this.#position]
      if (type !== types.array) return this.#parseElement(type as number)
      const start = this.#position
      const count = this.#parseLine()
      if (count === undefined) return this.#keep(start, 0)
      if (count < 0) return null
      this.#array = []
      this.#elementCount = count
    }
    return this.#parseArray(this.#array)
  }

  #parseArray(array: Element[]): unknown {
    while (array.length < this.#elementCount) {
      if (this.isAtEnd) return incomplete
      const element = this.#parseElement(this.#chunk[this.#position] as number)
      if (element === incomplete || element === unsupported) return element
      array.push(element as Element)
    }
    this.#array = undefined
    return array
  }

  #parseElement(type: number): unknown {
    const start = this.#position
    switch (type) {
      case types.bulkString:
        return this.#parseBulkString(start)
      case types.integer:
        return this.#parseLine() ?? this.#keep(start, 0)
      case types.null:
      case types.simpleString:
        return this.#parseSimple(start, type)
      default:
        return unsupported
    }
  }

  #parseBulkString(start: number): unknown {
    const length = this.#parseLine()
    if (length === undefined) return this.#keep(start, 0)
    if (length < 0) return null
    const from = this.#position
    const end = from + length + 2
    if (end > this.#chunk.length) return this.#keep(start, end - start)
    this.#position = end
    return this.#chunk.subarray(from, from + length)
  }

  #parseSimple(start: number, type: number): unknown {
    const end = this.#chunk.indexOf(carriageReturn, start)
    if (end < 0 || end + 2 > this.#chunk.length) return this.#keep(start, 0)
    this.#position = end + 2
    return type === types.null ? null : this.#chunk.subarray(start + 1, end)
  }

  /** Parses the integer of a line; `undefined` if the line is not complete. */
  #parseLine(): number | undefined {
    const chunk = this.#chunk
    let position = this.#position + 1
    const isNegative = chunk[position] === minus
    if (isNegative) position++
    let value = 0
    while (position < chunk.length && chunk[position] !== carriageReturn) {
      value = value * 10 + (chunk[position++] as number) - zero
    }
    if (position + 2 > chunk.length) return undefined
    this.#position = position + 2
    return isNegative ? -value : value
  }

  /** Keeps the bytes from `start` on until the rest arrives. */
  #keep(start: number, neededLength: number): typeof incomplete {
    this.#parts = [this.#chunk.subarray(start)]
    this.#partsLength = this.#chunk.length - start
    this.#neededLength = neededLength
    this.#position = this.#chunk.length
    return incomplete
  }
}
