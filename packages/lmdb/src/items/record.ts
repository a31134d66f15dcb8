import type { Payload } from '@stowage/core'
import { payloadBytes } from '@stowage/core/driver'
import type { FastBuffer } from '../file/library.ts'

/** Written as text, to be returned as text. */
const isText = 1
/** Text of ASCII characters only, which is decoded faster. */
const isAscii = 2
/** The record has the id of chunks instead of the payload. */
const isChunked = 4
/** The item was read since the last pass of the eviction. */
const isUsed = 8

const expiresAtOffset = 1
const indexedAtOffset = 9
const headerBytes = 17
/**
 * Larger records are stored as chunks. A record of up to this size takes at most one page of 4096 bytes, header of the
 * page included, so that freed pages always fit new records and the file is not fragmented.
 */
const maxRecordBytes = 4_000
export const chunkBytes: number = maxRecordBytes

/** Where the chunks of a large payload are, and its size. */
export interface ChunkList {
  readonly id: number
  readonly bytes: number
}

/**
 * Reads and writes records: a byte of flags, the expiry, the time under which the item is in the index of expiries, and
 * the payload. One instance is reused for all records, because that saves allocations; its members are those of the
 * record that was read last.
 */
export class RecordFormat {
  /** Epoch milliseconds; `Infinity` for an item that never expires. */
  expiresAt: number = Infinity
  /** At most `expiresAt`; `Infinity` for an item that is not in the index. */
  indexedAt: number = Infinity
  /** The chunks of the record; `undefined` if it contains the payload. */
  chunks: ChunkList | undefined
  #flags = 0
  #bytes = Buffer.alloc(0) as FastBuffer
  #size = 0
  #view: DataView<ArrayBufferLike> = new DataView(new ArrayBuffer(headerBytes))
  readonly #output = createOutput()
  readonly #outputView = new DataView(this.#output.buffer)

  /** Reads the header of a record. `bytes` may be reused after the payload has been decoded. */
  read(bytes: FastBuffer, size: number): void {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset)
    }
    this.#size = size
    this.#flags = bytes[0] as number
    this.expiresAt = this.#view.getFloat64(expiresAtOffset)
    this.indexedAt = this.#view.getFloat64(indexedAtOffset)
    this.chunks = (this.#flags & isChunked) === 0 ? undefined : this.#readChunkList()
  }

  get isUsed(): boolean {
    return (this.#flags & isUsed) !== 0
  }

  /** The payload of the record. */
  payload(): Payload {
    return this.decode(this.#bytes, headerBytes, this.#size)
  }

  /** Decodes bytes as the payload of the record. */
  decode(bytes: FastBuffer, start: number, end: number): Payload {
    if (this.#flags & isAscii) return bytes.latin1Slice(start, end)
    if (this.#flags & isText) return bytes.utf8Slice(start, end)
    return Buffer.from(Uint8Array.prototype.slice.call(bytes, start, end).buffer)
  }

  /** Encodes a record with the payload. Returns `undefined` if it needs chunks. */
  encode(payload: Payload, expiresAt: number, indexedAt: number): OutputBuffer | undefined {
    const bytes = payloadBytes(payload)
    const size = headerBytes + bytes
    if (size > maxRecordBytes) return undefined
    if (typeof payload === 'string') {
      if (bytes === payload.length) this.#output.latin1Write(payload, headerBytes)
      else this.#output.utf8Write(payload, headerBytes)
    } else this.#output.set(payload, headerBytes)
    return this.#finish(flagsOf(payload, bytes), expiresAt, indexedAt, size)
  }

  /** Encodes a record whose payload is in chunks. */
  encodeChunked(
    payload: Payload,
    chunks: ChunkList,
    expiresAt: number,
    indexedAt: number,
  ): OutputBuffer {
    this.#outputView.setFloat64(headerBytes, chunks.id)
    this.#outputView.setFloat64(headerBytes + 8, chunks.bytes)
    const flags = flagsOf(payload, chunks.bytes) | isChunked
    return this.#finish(flags, expiresAt, indexedAt, headerBytes + 16)
  }

  /** Encodes the record that was read last, with other times or another mark of use. */
  encodeAgain(changes: {
    readonly expiresAt?: number
    readonly indexedAt?: number
    readonly isUsed?: boolean
  }): OutputBuffer {
    const { expiresAt = this.expiresAt, indexedAt = this.indexedAt, isUsed: used = false } = changes
    const flags = used ? this.#flags | isUsed : this.#flags & ~isUsed
    this.#output.set(this.#bytes.subarray(0, this.#size))
    return this.#finish(flags, expiresAt, indexedAt, this.#size)
  }

  /** Copies a piece of a large payload, in the form that the library writes without another copy. */
  encodeChunk(bytes: Uint8Array, start: number): OutputBuffer {
    const end = Math.min(start + chunkBytes, bytes.length)
    this.#output.set(bytes.subarray(start, end))
    this.#output.end = end - start
    return this.#output
  }

  #readChunkList(): ChunkList {
    return {
      id: this.#view.getFloat64(headerBytes),
      bytes: this.#view.getFloat64(headerBytes + 8),
    }
  }

  #finish(flags: number, expiresAt: number, indexedAt: number, size: number): OutputBuffer {
    this.#output[0] = flags
    this.#outputView.setFloat64(expiresAtOffset, expiresAt)
    this.#outputView.setFloat64(indexedAtOffset, indexedAt)
    this.#output.end = size
    return this.#output
  }
}

/** A buffer of which the library writes the bytes from `start` to `end`: it has no other way to write a part. */
export interface OutputBuffer extends FastBuffer {
  start: number
  end: number
}

function createOutput(): OutputBuffer {
  return Object.assign(Buffer.allocUnsafeSlow(maxRecordBytes) as FastBuffer, { start: 0, end: 0 })
}

function flagsOf(payload: Payload, bytes: number): number {
  if (typeof payload !== 'string') return 0
  return bytes === payload.length ? isText | isAscii : isText
}
