import { isAscii } from 'node:buffer'
import type { BulkString } from './command-client.ts'

/** https://redis.io/docs/latest/develop/reference/protocol-spec/#resp-protocol-description */
const types = { bulkString: 36, array: 42, null: 95, simpleString: 43, integer: 58 } as const
const carriageReturn = 13
const minus = 45
const zero = 48
const empty: Buffer = Buffer.alloc(0)
const okLine = Buffer.from('+OK\r\n')
const ok = Buffer.from('OK')
/** A longer chunk contains a long value: the values before it do not justify to copy it. */
const maxTextLength = 256 * 1024
/** Many times the longest line of a server: a number, or a status. Lines of requests have the same limit in Redis. */
const maxLineLength = 64 * 1024

/** The reply is not complete yet. */
export const incomplete: unique symbol = Symbol('incomplete')
/** The reply is an error, or of a type that is not parsed here. */
export const unsupported: unique symbol = Symbol('unsupported')

type Element = BulkString | null

/**
 * Parses replies that are bulk strings, arrays of bulk strings, null, OK or integers. A bulk string is returned as text
 * if the chunk that contains it is ASCII, and as bytes otherwise, which are not copied. A reply may be split at any
 * byte; the rest of it is then passed with the next call.
 */
export class ReplyParser {
  #chunk: Buffer = empty
  /** The chunk as text; `''` if it is not ASCII, and `undefined` while no bulk string has been read. */
  #text: string | undefined = undefined
  #position = 0
  /** What follows the chunk, which is then one element. */
  #nextChunk: Buffer | undefined = undefined
  /** Parts of an element that is not complete, and the length of the element: 0 if that is not known yet. */
  #parts: Buffer[] = []
  #partsLength = 0
  #elementLength = 0
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
    if (this.#parts.length === 0) {
      this.#start(chunk)
      return
    }
    const missing = this.#elementLength - this.#partsLength
    // What follows the element is not copied.
    const part = missing > 0 && missing < chunk.length ? chunk.subarray(0, missing) : chunk
    this.#parts.push(part)
    this.#partsLength += part.length
    // A long value arrives in many chunks, which are joined only once.
    if (part.length < missing) return
    this.#start(Buffer.concat(this.#parts, this.#partsLength))
    this.#parts = []
    if (part !== chunk) this.#nextChunk = chunk.subarray(missing)
  }

  #start(chunk: Buffer): void {
    this.#chunk = chunk
    this.#nextChunk = undefined
    this.#text = undefined
    this.#position = 0
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
    const value = this.#slice(from, from + length)
    if (this.#nextChunk === undefined) this.#position = end
    else this.#start(this.#nextChunk)
    return value
  }

  #slice(from: number, end: number): BulkString {
    this.#text ??= textOf(this.#chunk)
    return this.#text === '' ? this.#chunk.subarray(from, end) : this.#text.slice(from, end)
  }

  #parseSimple(start: number, type: number): unknown {
    if (this.#isOk(start)) {
      this.#position = start + okLine.length
      return ok
    }
    const end = this.#chunk.indexOf(carriageReturn, start)
    if (end < 0 || end + 2 > this.#chunk.length) return this.#keep(start, 0)
    this.#position = end + 2
    return type === types.null ? null : this.#chunk.subarray(start + 1, end)
  }

  /** The reply to most writes, which is neither searched nor sliced. */
  #isOk(start: number): boolean {
    const chunk = this.#chunk
    for (let i = 0; i < okLine.length; i++) if (chunk[start + i] !== okLine[i]) return false
    return true
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

  /** Keeps the bytes from `start` on until the rest arrives. A line without an end is not a reply. */
  #keep(start: number, elementLength: number): typeof incomplete | typeof unsupported {
    this.#parts = [this.#chunk.subarray(start)]
    this.#partsLength = this.#chunk.length - start
    this.#elementLength = elementLength
    this.#start(empty)
    return elementLength === 0 && this.#partsLength > maxLineLength ? unsupported : incomplete
  }
}

/**
 * Slices of one text take less time than a Buffer for each value, which is decoded later. Only the bytes of ASCII have
 * the positions of the characters.
 */
function textOf(chunk: Buffer): string {
  return chunk.length <= maxTextLength && isAscii(chunk) ? chunk.toString('latin1') : ''
}
