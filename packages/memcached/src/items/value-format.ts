import type { Payload } from '@stowage/core'
import { longestIntegerText, parseSafeInteger, toBytes, toText } from '@stowage/core/driver'
import type { Reply } from '../protocol/protocol.ts'

/**
 * How payloads are stored: as they are, so that other clients of the same cache can read them, and so that the server
 * can count on them. What it would take for a number without it being one of ours is told from it by a byte in front.
 *
 * The flags of an item are the client's; PHP and Python keep types in the lower half and leave the upper one to
 * applications.
 */
export const flags = {
  plain: 0,
  /** A byte in front keeps the server from counting with it. */
  guarded: 0x5701_0000,
  /** The list of the parts of a payload that is too large for one item. */
  manifest: 0x5702_0000,
  /** One of the parts. */
  part: 0x5703_0000,
} as const

const guard = Buffer.of(0x02)

/**
 * The server counts modulo 2^64, so it adds negative numbers as well, keeps the expiry of what it counts, and a sum
 * below zero is its complement. A negative number that was set becomes a counter by having `offset` added, as the
 * server refuses a minus sign.
 */
const modulus = 1n << 64n
const offset = 1n << 62n
const counterText = /^(\d{1,20})(?: +| -\d+)?$/
const negative = /^-[1-9]\d{0,15}$/
/** What strtoull() of C takes for a number, or the server for an empty one: white space, a sign, digits, an end. */
const numeric = /^(?:[\t-\r ]|[+-]?\d+(?:[\0\t-\r ]|$))/

/** Whether the server would count with the payload though it is no safe integer. */
export function needsGuard(item: Payload): boolean {
  if (!beginsLikeNumber(typeof item === 'string' ? item.charCodeAt(0) : item[0])) return false
  const text = typeof item === 'string' ? item : toBytes(item).toString('latin1')
  return numeric.test(text) && !isSafeInteger(text)
}

export function guarded(item: Payload): Buffer {
  return Buffer.concat([guard, toBytes(item)])
}

/** The payload an item of these flags holds. */
export function payloadOf({ flags: given, value }: Reply): Payload {
  if (given === flags.plain) return mayBeCounter(value) ? readCounter(value) : value
  return given === flags.guarded ? value.subarray(1) : value
}

/** The sum a counter has, which is unsigned to the server. */
export function signed(sum: bigint): bigint {
  if (sum >= modulus / 2n) return sum - modulus
  return sum >= offset / 2n ? sum - offset : sum
}

/** The number to have added for `by`. */
export function unsigned(by: number): bigint {
  return BigInt.asUintN(64, BigInt(by))
}

/** What to put in front of a negative number so that the server counts on, if it is one. */
export function counterPrefix(item: Payload): string | undefined {
  const text = item.length > longestIntegerText ? '' : toText(item)
  return negative.test(text) && isSafeInteger(text) ? `${offset + BigInt(text)} ` : undefined
}

function isSafeInteger(text: string): boolean {
  return parseSafeInteger(text) !== undefined
}

function beginsLikeNumber(code: number | undefined): boolean {
  if (code === undefined || code > 57) return false
  return code >= 48 || code === 32 || code === 43 || code === 45 || (code >= 9 && code <= 13)
}

/** A number that became shorter ends in spaces; one below zero has 20 digits; `offset` has 19, and so has what it is put in front of. */
function mayBeCounter(value: Buffer): boolean {
  const [first = 0] = value
  if (first < 48 || first > 57) return false
  const { length } = value
  return value[length - 1] === 32 || length === 19 || length === 20 || value[19] === 32
}

function readCounter(value: Buffer): Payload {
  const digits = counterText.exec(value.toString('latin1'))?.[1]
  return digits === undefined ? value : String(signed(BigInt(digits)))
}
