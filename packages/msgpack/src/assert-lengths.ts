import { maxDepth } from './assert-representable.ts'

/**
 * Checks the lengths that a payload claims, before memory is reserved for them: every value takes one byte at least, so that
 * the values which arrays and maps still need can never be more than the bytes that follow. Without this, each of many nested
 * arrays could claim as many elements as the payload has bytes, and a few kilobytes would reserve gigabytes.
 *
 * Checks the number of levels as well: functions of the application that call themselves for each level, such as
 * `JSON.stringify`, would exceed the stack with a value that `msgpack()` cannot have stored.
 *
 * @throws RangeError if a length is too large, or there are too many levels
 * @see https://github.com/msgpack/msgpack/blob/master/spec.md
 */
export function assertLengths(body: Buffer): void {
  const { length } = body
  let at = 0
  /** Values that are still to come. */
  let missing = 1
  /** For each container that is not complete: how many values are still to come when it is. */
  const open: number[] = []
  while (missing > 0) {
    while (missing === open.at(-1)) open.pop()
    if (open.length > maxDepth)
      throw new RangeError(`The payload has more than ${maxDepth} levels.`)
    if (missing > length - at) throw new RangeError('A length is larger than the payload.')
    const head = body[at++] as number
    missing--
    const rest = missing
    if (head < 0x80 || head >= 0xe0) continue // fixint
    if (head >= 0xa0 && head < 0xc0)
      at += head - 0xa0 // fixstr
    else if (head < 0x90)
      missing += 2 * (head - 0x80) // fixmap
    else if (head < 0xa0)
      missing += head - 0x90 // fixarray
    else {
      const form = forms[head - 0xc0] as Form
      const claimed = form.lengthBytes === 0 ? 0 : body.readUIntBE(at, form.lengthBytes)
      at += form.lengthBytes + form.bytes + (form.isContainer ? 0 : claimed)
      if (form.isContainer) missing += claimed * form.valuesPerElement
    }
    if (missing > rest) open.push(rest)
  }
  if (at > length) throw new RangeError('A length is larger than the payload.')
}

interface Form {
  /** Size of its length, in bytes. */
  readonly lengthBytes: number
  /** Number of bytes after the length, besides those that it counts. */
  readonly bytes: number
  readonly isContainer: boolean
  readonly valuesPerElement: number
}

const fixed = (bytes: number) => ({
  lengthBytes: 0,
  bytes,
  isContainer: false,
  valuesPerElement: 0,
})
const counted = (lengthBytes: number, bytes = 0) => ({ ...fixed(bytes), lengthBytes })
const container = (lengthBytes: number, valuesPerElement: number) => ({
  lengthBytes,
  bytes: 0,
  isContainer: true,
  valuesPerElement,
})

/** The forms of the heads 0xc0 to 0xdf. */
const forms: readonly Form[] = [
  ...[fixed(0), fixed(0), fixed(0), fixed(0)], // nil, never used, false, true
  ...[counted(1), counted(2), counted(4)], // bin
  ...[counted(1, 1), counted(2, 1), counted(4, 1)], // ext, with its type
  ...[fixed(4), fixed(8)], // float
  ...[fixed(1), fixed(2), fixed(4), fixed(8)], // uint
  ...[fixed(1), fixed(2), fixed(4), fixed(8)], // int
  ...[fixed(2), fixed(3), fixed(5), fixed(9), fixed(17)], // fixext, with its type
  ...[counted(1), counted(2), counted(4)], // str
  ...[container(2, 1), container(4, 1)], // array
  ...[container(2, 2), container(4, 2)], // map
]
