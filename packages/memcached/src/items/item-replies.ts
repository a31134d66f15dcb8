import type { Payload } from '@stowage/core'
import type { Reply } from '../protocol/protocol.ts'
import { isThere } from '../protocol/status-replies.ts'
import { type Found, foundIn, Manifest } from './chunks.ts'
import { payloadOf } from './value-format.ts'

/** An item, and what changes with it. */
export interface Seen {
  readonly found: Found
  readonly cas: bigint
}

export function readFound(reply: Reply): Found | undefined {
  return isThere(reply) ? foundIn(reply) : undefined
}

/** In a store that takes no payloads in parts, those of another one are foreign. */
export function readPayload(reply: Reply): Payload | undefined {
  const found = readFound(reply)
  return found instanceof Manifest ? undefined : found
}

export function readSeen(reply: Reply): Seen | undefined {
  return isThere(reply) ? { found: foundIn(reply), cas: reply.cas } : undefined
}

/** A part, or whatever else is one item. */
export function readPart(reply: Reply): Payload | undefined {
  return isThere(reply) ? payloadOf(reply) : undefined
}
