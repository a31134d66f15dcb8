import { randomBytes } from 'node:crypto'
import type { Payload } from '@stowage/core'
import { toBytes } from '@stowage/core/driver'
import type { Reply } from '../protocol/protocol.ts'
import { flags, payloadOf } from './value-format.ts'

/**
 * The value of an item whose payload is split into chunks. The keys of the chunks contain a random id and the chunks are
 * stored before the list, so a reader gets the chunks of one write, or finds that one is missing.
 */
export class ChunkList {
  readonly id: string
  readonly count: number
  /** Size of the payload. */
  readonly bytes: number

  constructor(id: string, count: number, bytes: number) {
    this.id = id
    this.count = count
    this.bytes = bytes
  }

  get keys(): string[] {
    return Array.from({ length: this.count }, (_, index) => `\0${this.id}:${index}`)
  }

  toString(): string {
    return `${this.id} ${this.count} ${this.bytes}`
  }

  /** Returns the payload; `undefined` if a chunk is missing. */
  join(chunks: readonly (Payload | undefined)[]): Buffer | undefined {
    const found = chunks.filter((chunk) => chunk !== undefined).map(toBytes)
    const payload = Buffer.concat(found)
    return found.length === this.count && payload.length === this.bytes ? payload : undefined
  }
}

const chunkListText = /^([\w-]{24}) (\d{1,3}) (\d{1,11})$/

/** The value of an item: the payload, or the list of its chunks. */
export type ItemValue = Payload | ChunkList

/** Splits a payload into chunks of at most `chunkBytes` bytes. */
export function split(
  payload: Payload,
  chunkBytes: number,
): { chunkList: ChunkList; chunks: Buffer[] } {
  const bytes = toBytes(payload)
  const chunks: Buffer[] = []
  for (let start = 0; start < bytes.length; start += chunkBytes) {
    chunks.push(bytes.subarray(start, start + chunkBytes))
  }
  const id = randomBytes(18).toString('base64url')
  return { chunkList: new ChunkList(id, chunks.length, bytes.length), chunks }
}

export function itemValueOf(reply: Reply): ItemValue {
  if (reply.flags !== flags.chunkList) return payloadOf(reply)
  const [, id = '', count, bytes] = chunkListText.exec(reply.value.toString('latin1')) ?? []
  // A malformed list has no chunks and a size that no payload has, so that `join` returns a miss.
  return new ChunkList(id, Number(count ?? 0), Number(bytes ?? -1))
}
