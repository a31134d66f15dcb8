import type { Payload } from '@stowage/core'
import { longestIntegerText, parseSafeInteger, toBytes, toText } from '@stowage/core/driver'
import type { Reply } from '../protocol/protocol.ts'

/**
 * The flags of an item, which identify the format of its value. Payloads are stored unchanged, so that other clients can
 * read them and the server can increment them. A payload that the server would increment although it is not a counter is
 * escaped with a leading byte.
 *
 * memcached leaves the meaning of flags to clients. PHP and Python keep types in the lower 16 bits and leave the upper
 * 16 bits to applications.
 */
export const flags = {
  plain: 0,
  /** Escaped, so that the server does not increment it. */
  escaped: 0x5701_0000,
  /** The list of the chunks of a payload that is too large for one item. */
  chunkList: 0x5702_0000,
  /** A chunk of such a payload. */
  chunk: 0x5703_0000,
} as const

const escapeByte = Buffer.of(0x02)

/**
 * The server adds modulo 2^64, so negative deltas work, and a negative counter is stored as its two's complement. The
 * server does not parse a minus sign: a negative number that was stored as text becomes a counter by adding
 * `negativeOffset` to it.
 */
const modulus = 1n << 64n
const negativeOffset = 1n << 62n
const counterText = /^(\d{1,20})(?: +| -\d+)?$/
const negativeText = /^-[1-9]\d{0,15}$/
/** Text that strtoull() of C parses as a number, or whose number is empty for the server: white space, a sign, digits, an end. */
const numericText = /^(?:[\t-\r ]|[+-]?\d+(?:[\0\t-\r ]|$))/

/** Whether the server would increment the payload although it is not a safe integer. */
export function needsEscape(payload: Payload): boolean {
  const first = typeof payload === 'string' ? payload.charCodeAt(0) : payload[0]
  if (!startsLikeNumber(first)) return false
  const text = typeof payload === 'string' ? payload : toBytes(payload).toString('latin1')
  return numericText.test(text) && !isSafeInteger(text)
}

export function escaped(payload: Payload): Buffer {
  return Buffer.concat([escapeByte, toBytes(payload)])
}

/** The payload of an item that is not a list of chunks. */
export function payloadOf({ flags: itemFlags, value }: Reply): Payload {
  if (itemFlags === flags.plain) return mayBeCounter(value) ? readCounter(value) : value
  return itemFlags === flags.escaped ? value.subarray(1) : value
}

/** The signed value of a counter, which the server stores unsigned. */
export function toSigned(counter: bigint): bigint {
  if (counter >= modulus / 2n) return counter - modulus
  return counter >= negativeOffset / 2n ? counter - negativeOffset : counter
}

/** The unsigned delta that adds `by` modulo 2^64. */
export function toUnsigned(by: number): bigint {
  return BigInt.asUintN(64, BigInt(by))
}

/** The text that turns a negative number into a counter when it is prepended; `undefined` for any other payload. */
export function counterPrefix(payload: Payload): string | undefined {
  const text = payload.length > longestIntegerText ? '' : toText(payload)
  return negativeText.test(text) && isSafeInteger(text)
    ? `${negativeOffset + BigInt(text)} `
    : undefined
}

function isSafeInteger(text: string): boolean {
  return parseSafeInteger(text) !== undefined
}

function startsLikeNumber(code: number | undefined): boolean {
  if (code === undefined || code > 57) return false
  return code >= 48 || code === 32 || code === 43 || code === 45 || (code >= 9 && code <= 13)
}

/**
 * Whether a value differs from the text of its counter: the server pads a number that became shorter with spaces, a
 * negative counter has 20 digits, and one with `negativeOffset` has 19, followed by a space and the original number.
 */
function mayBeCounter(value: Buffer): boolean {
  const [first = 0] = value
  if (first < 48 || first > 57) return false
  const { length } = value
  return value[length - 1] === 32 || length === 19 || length === 20 || value[19] === 32
}

function readCounter(value: Buffer): Payload {
  const digits = counterText.exec(value.toString('latin1'))?.[1]
  return digits === undefined ? value : String(toSigned(BigInt(digits)))
}
