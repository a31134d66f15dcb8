import { parseSafeInteger } from '@stowage/core/driver'
import type { Reply } from '../protocol/protocol.ts'
import { readExists } from '../protocol/status-replies.ts'
import { flags } from '../values/value-format.ts'

/** The server increments no longer text, `INCR_MAX_STORAGE_LEN` in memcached.h. */
const maxTextBytes = 24

/** An item that is incremented. */
export interface Counter {
  /** `undefined` if the item does not contain a safe integer. */
  readonly value: number | undefined
  /** The size of the stored value. */
  readonly bytes: number
  readonly flags: number
  readonly cas: bigint
  /** The seconds until it expires, −1 for never; `undefined` if they were not requested. */
  readonly ttl: number | undefined
}

export function readCounter(reply: Reply): Counter | undefined {
  if (!readExists(reply)) return undefined
  const { flags: itemFlags, cas, ttl, value } = reply
  return { value: integerOf(value, itemFlags), bytes: value.length, flags: itemFlags, cas, ttl }
}

function integerOf(value: Buffer, itemFlags: number): number | undefined {
  if (itemFlags === flags.chunkList || value.length > maxTextBytes) return undefined
  const text = value.toString('latin1')
  if (itemFlags === flags.escaped) return parseSafeInteger(text.slice(1))
  // The server pads a number that becomes shorter, when another client decrements it.
  return parseSafeInteger(text.trimEnd())
}
