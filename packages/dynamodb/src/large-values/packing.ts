import { kMaxLength } from 'node:buffer'
import { deflateSync, inflateSync } from 'node:zlib'
import type { Payload } from '@stowage/core'
import { payloadBytes, toBytes } from '@stowage/core/driver'

/**
 * First byte of a packed payload. Neither JSON text nor a frame of the codec begins with it. The second byte is one of
 * `kinds`.
 */
const marker = 0x02
const kinds = { verbatim: 0x00, deflated: 0x01, manifest: 0x02 } as const
// The fastest level: compression only has to save kilobytes of traffic and capacity units.
const deflateOptions = { level: 1 }
/** Several gigabytes, more than a Buffer can hold. */
const maxChunks = 10_000

/** References the chunks of a value. */
export interface Manifest {
  /** Random, so that chunks of different values are never mixed. */
  readonly id: string
  readonly chunks: number
}

/** Encodes a payload for storage: compressed from `compressionThreshold` bytes on, if that makes it smaller. */
export function pack(payload: Payload, compressionThreshold: number): Payload {
  const size = payloadBytes(payload)
  if (size >= compressionThreshold) {
    const deflated = deflateSync(toBytes(payload), deflateOptions)
    if (deflated.length + 2 < size) return withMarker(kinds.deflated, deflated)
  }
  return hasMarker(payload) ? withMarker(kinds.verbatim, toBytes(payload)) : payload
}

/** Decodes a packed payload. Returns a corrupt one unchanged: no codec accepts it as a value. */
export function unpack(packed: Payload, maxBytes: number): Payload {
  if (!hasMarker(packed)) return packed
  const bytes = toBytes(packed)
  if (bytes[1] === kinds.verbatim) return bytes.subarray(2)
  if (bytes[1] !== kinds.deflated) return packed
  try {
    // A larger number is an error of its own, also for a small value.
    return inflateSync(bytes.subarray(2), { maxOutputLength: Math.min(maxBytes, kMaxLength) })
  } catch {
    return packed
  }
}

export function encodeManifest(manifest: Manifest): Payload {
  return withMarker(kinds.manifest, Buffer.from(JSON.stringify(manifest)))
}

export function decodeManifest(packed: Payload | undefined): Manifest | undefined {
  if (packed === undefined || !hasMarker(packed)) return undefined
  const bytes = toBytes(packed)
  if (bytes[1] !== kinds.manifest) return undefined
  try {
    const manifest: unknown = JSON.parse(bytes.toString('utf8', 2))
    // Throws for `null`, which has no properties.
    return isManifest(manifest) ? manifest : undefined
  } catch {
    return undefined
  }
}

/** A corrupt manifest must not cause an unbounded number of reads. */
function isManifest(value: unknown): value is Manifest {
  const { id, chunks } = value as Partial<Manifest>
  return typeof id === 'string' && Number.isInteger(chunks) && Number(chunks) <= maxChunks
}

export function hasMarker(payload: Payload): boolean {
  return (typeof payload === 'string' ? payload.charCodeAt(0) : payload[0]) === marker
}

function withMarker(kind: number, body: Buffer): Buffer {
  return Buffer.concat([Uint8Array.of(marker, kind), body])
}
