import type { Payload } from '@stowage/core'
import { parseSafeInteger, toBytes } from '@stowage/core/driver'
import type { Reply } from '../protocol/protocol.ts'

/**
 * The flags of an item, which identify the format of its value. Payloads are stored unchanged, so that other clients can
 * read them and the server can increment them. A payload that the server would increment, although the sum might not be
 * a counter, is escaped with a leading byte.
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

/**
 * The largest counter that is stored as plain text. The distance to 2^53 leaves room for the increments of all processes
 * that add to a counter on the server before one of them sees that it has become larger.
 */
export const maxPlainCounter: number = 2 ** 52
const escapeByte = Buffer.of(0x02)
/** Text that strtoull() of C parses as a number, or whose number is empty for the server: white space, a sign, digits, an end. */
const numericText = /^(?:[\t-\r ]|[+-]?\d+(?:[\0\t-\r ]|$))/

/** Whether the server would increment the payload although it is not a counter, or one that is too large. */
export function needsEscape(payload: Payload): boolean {
  const first = typeof payload === 'string' ? payload.charCodeAt(0) : payload[0]
  if (!startsLikeNumber(first)) return false
  const text = typeof payload === 'string' ? payload : toBytes(payload).toString('latin1')
  return numericText.test(text) && !isPlainCounter(text)
}

export function escaped(payload: Payload): Buffer {
  return Buffer.concat([escapeByte, toBytes(payload)])
}

/** The payload of an item that is not a list of chunks. */
export function payloadOf({ flags: itemFlags, value }: Reply): Payload {
  return itemFlags === flags.escaped ? value.subarray(1) : value
}

function isPlainCounter(text: string): boolean {
  const number = parseSafeInteger(text)
  return number !== undefined && number <= maxPlainCounter
}

function startsLikeNumber(code: number | undefined): boolean {
  if (code === undefined || code > 57) return false
  return code >= 48 || code === 32 || code === 43 || code === 45 || (code >= 9 && code <= 13)
}
