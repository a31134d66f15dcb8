import type { Payload } from '@stowage/core'
import type { Reply } from '../protocol/protocol.ts'
import { readExists } from '../protocol/status-replies.ts'
import { ChunkList, type ItemValue, itemValueOf } from './chunks.ts'
import { payloadOf } from './value-format.ts'

/** The value of an item with its id for compare-and-set. */
export interface ValueWithCas {
  readonly value: ItemValue
  readonly cas: bigint
}

/** The value of an item with its remaining ttl in milliseconds; `Infinity` if it never expires. */
export interface ValueWithTtl {
  readonly value: ItemValue
  readonly ttl: number
}

export function readWithTtl(reply: Reply): ValueWithTtl | undefined {
  const value = readValue(reply)
  if (value === undefined) return undefined
  const { ttl: seconds = -1 } = reply
  // An item that exists may expire within the current second.
  return { value, ttl: seconds < 0 ? Infinity : Math.max(1, seconds * 1_000) }
}

export function readValue(reply: Reply): ItemValue | undefined {
  return readExists(reply) ? itemValueOf(reply) : undefined
}

/** Reads a list of chunks as a miss: a store without chunks does not read the values of one with chunks. */
export function readPayload(reply: Reply): Payload | undefined {
  const value = readValue(reply)
  return value instanceof ChunkList ? undefined : value
}

export function readWithCas(reply: Reply): ValueWithCas | undefined {
  return readExists(reply) ? { value: itemValueOf(reply), cas: reply.cas } : undefined
}

export function readChunk(reply: Reply): Payload | undefined {
  return readExists(reply) ? payloadOf(reply) : undefined
}
