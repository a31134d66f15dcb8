import { randomBytes } from 'node:crypto'
import type { Payload } from '@stowage/core'
import { toBytes } from '@stowage/core/driver'
import type { Reply } from '../protocol/protocol.ts'
import { flags, payloadOf } from './value-format.ts'

/**
 * Stands for a payload that is too large for one item. The parts have names nobody else uses, and are there before the
 * list of them is: who reads the list reads the parts of one write, or misses one of them.
 */
export class Manifest {
  readonly id: string
  readonly parts: number
  readonly bytes: number

  constructor(id: string, parts: number, bytes: number) {
    this.id = id
    this.parts = parts
    this.bytes = bytes
  }

  get keys(): string[] {
    return Array.from({ length: this.parts }, (_, index) => `\0${this.id}:${index}`)
  }

  toString(): string {
    return `${this.id} ${this.parts} ${this.bytes}`
  }

  /** The payload, if no part is missing. */
  join(parts: readonly (Payload | undefined)[]): Buffer | undefined {
    const bytes = parts.filter((part) => part !== undefined).map(toBytes)
    const whole = Buffer.concat(bytes)
    return bytes.length === this.parts && whole.length === this.bytes ? whole : undefined
  }
}

const manifestText = /^([\w-]{24}) (\d{1,3}) (\d{1,11})$/

/** What an item holds. */
export type Found = Payload | Manifest

export function split(item: Payload, partBytes: number): { manifest: Manifest; parts: Buffer[] } {
  const bytes = toBytes(item)
  const parts: Buffer[] = []
  for (let start = 0; start < bytes.length; start += partBytes) {
    parts.push(bytes.subarray(start, start + partBytes))
  }
  const id = randomBytes(18).toString('base64url')
  return { manifest: new Manifest(id, parts.length, bytes.length), parts }
}

export function foundIn(reply: Reply): Found {
  if (reply.flags !== flags.manifest) return payloadOf(reply)
  const [, id = '', parts, bytes] = manifestText.exec(reply.value.toString('latin1')) ?? []
  // What is none has no parts, and no payload.
  return new Manifest(id, Number(parts ?? 0), Number(bytes ?? -1))
}
