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
