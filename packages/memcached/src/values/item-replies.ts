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

/** The remaining ttl of an item in milliseconds, with its id for compare-and-set. */
export interface TtlWithCas {
  readonly ttl: number
  readonly cas: bigint
}

export function readWithTtl(reply: Reply): { value: ItemValue; ttl: number } | undefined {
  const value = readValue(reply)
  return value === undefined ? undefined : { value, ttl: ttlOf(reply) }
}

export function readTtl(reply: Reply): TtlWithCas | undefined {
  return readExists(reply) ? { ttl: ttlOf(reply), cas: reply.cas } : undefined
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

/** `Infinity` for an item that never expires. */
function ttlOf({ ttl: seconds = -1 }: Reply): number {
  // An item that exists may expire within the current second.
  return seconds < 0 ? Infinity : Math.max(1, seconds * 1_000)
}
