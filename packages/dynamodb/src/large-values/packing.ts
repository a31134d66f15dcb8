import { deflateSync, inflateSync } from 'node:zlib'
import type { Payload } from '@stowage/core'
import { payloadBytes, toBytes } from '@stowage/core/driver'

/**
 * What begins with this byte is no payload as it was given. JSON text never begins with it, nor does a frame of the
 * codec. The byte after it says what follows:
 */
const marker = 0x02
const kinds = { asItIs: 0x00, deflated: 0x01, manifest: 0x02 } as const
// Fast: what is saved is bytes on the wire and units of capacity, by the kilobyte.
const deflateOptions = { level: 1 }
/** Some gigabytes, which is more than a Buffer holds. */
const mostChunks = 10_000

/** The chunks a value was cut into. */
export interface Manifest {
  /** Random, so that chunks of two values are never mixed. */
  readonly id: string
  readonly chunks: number
}

/** The payload in the form it is kept in: deflated where it has `compressFrom` bytes and gets smaller by it. */
export function pack(payload: Payload, compressFrom: number): Payload {
  const size = payloadBytes(payload)
  if (size >= compressFrom) {
    const deflated = deflateSync(toBytes(payload), deflateOptions)
    if (deflated.length + 2 < size) return marked(kinds.deflated, deflated)
  }
  return isMarked(payload) ? marked(kinds.asItIs, toBytes(payload)) : payload
}

/** The payload again. What is damaged is handed over as it is: no codec takes it for a value. */
export function unpack(packed: Payload, maxBytes: number): Payload {
  if (!isMarked(packed)) return packed
  const bytes = toBytes(packed)
  if (bytes[1] === kinds.asItIs) return bytes.subarray(2)
  if (bytes[1] !== kinds.deflated) return packed
  try {
    return inflateSync(bytes.subarray(2), { maxOutputLength: maxBytes })
  } catch {
    return packed
  }
}

export function toManifest(manifest: Manifest): Payload {
  return marked(kinds.manifest, Buffer.from(JSON.stringify(manifest)))
}

export function manifestOf(packed: Payload | undefined): Manifest | undefined {
  if (packed === undefined || !isMarked(packed)) return undefined
  const bytes = toBytes(packed)
  if (bytes[1] !== kinds.manifest) return undefined
  try {
    const manifest: unknown = JSON.parse(bytes.toString('utf8', 2))
    return isManifest(manifest) ? manifest : undefined
  } catch {
    return undefined
  }
}

/** What is damaged must not lead to chunks without number. */
function isManifest(value: unknown): value is Manifest {
  const { id, chunks } = (value ?? {}) as Partial<Manifest>
  return typeof id === 'string' && Number.isInteger(chunks) && Number(chunks) <= mostChunks
}

export function isMarked(payload: Payload): boolean {
  return (typeof payload === 'string' ? payload.charCodeAt(0) : payload[0]) === marker
}

function marked(kind: number, body: Buffer): Buffer {
  return Buffer.concat([Uint8Array.of(marker, kind), body])
}
