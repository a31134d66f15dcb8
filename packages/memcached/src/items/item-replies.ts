import type { Payload } from '@stowage/core'
import { Refusal } from '../memcached-errors.ts'
import { type Reply, status } from '../protocol/protocol.ts'
import { type Found, foundIn, Manifest } from './chunks.ts'
import { payloadOf } from './value-format.ts'

/** An item, and what changes with it. */
export interface Seen {
  readonly found: Found
  readonly cas: bigint
}

export function readAnything(reply: Reply): void {
  if (reply.status !== status.ok) throw new Refusal(reply)
}

export function readVersion(reply: Reply): string {
  readAnything(reply)
  return reply.value.toString('latin1')
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

/** Whether there was something to do it to. */
export function isThere(reply: Reply): boolean {
  if (reply.status === status.ok) return true
  if (reply.status === status.missing) return false
  throw new Refusal(reply)
}

/** Whether it was added; otherwise something lives under the key. */
export function readAdded(reply: Reply): boolean {
  if (reply.status === status.ok) return true
  if (reply.status === status.exists || reply.status === status.notStored) return false
  throw new Refusal(reply)
}

/** What became of a request for an item of one state. */
export type Outcome = 'done' | 'missing' | 'changed'

export function readOutcome(reply: Reply): Outcome {
  if (reply.status === status.ok) return 'done'
  if (reply.status === status.exists) return 'changed'
  if (reply.status === status.missing || reply.status === status.notStored) return 'missing'
  throw new Refusal(reply)
}

/** The sum; `'missing'` without a counter, `'refused'` for what the server cannot count with. */
export function readSum(reply: Reply): bigint | 'missing' | 'refused' {
  if (reply.status === status.ok) return reply.sum
  if (reply.status === status.missing) return 'missing'
  if (reply.status === status.notNumeric) return 'refused'
  throw new Refusal(reply)
}
