import { CacheError, type Payload, type ReadOptions } from '@stowage/core'
import { exceeds, payloadBytes, samePayload, valueTooLarge } from '@stowage/core/driver'
import { strongRead } from '@stowage/core/internal'
import type { LargeValueOptions } from '../dynamodb-options.ts'
import type { DynamoDBStore } from '../dynamodb-store.ts'
import { type Chunks, chunkKeys } from './chunks.ts'
import { hasMarker, pack, unpack } from './packing.ts'

/** Attempts to read a value that is replaced each time while its chunks are read. */
const maxReads = 3

/** Converts payloads to their stored form and back: unchanged, compressed or in chunks. */
export class StoredValues {
  readonly #store: DynamoDBStore
  readonly #chunks: Chunks
  readonly #options: LargeValueOptions

  constructor(store: DynamoDBStore, chunks: Chunks, options: LargeValueOptions) {
    this.#store = store
    this.#chunks = chunks
    this.#options = options
  }

  /** Returns what to store under the key. If that is a manifest, its chunks have been written. */
  async encode(
    operation: string,
    key: string,
    payload: Payload,
    ttl: number | undefined,
  ): Promise<Payload> {
    this.assertFits(operation, key, payload)
    const packed = pack(payload, this.#options.compressionThreshold)
    const { valueBytes } = this.#store.limits
    if (!exceeds(packed, valueBytes)) return packed
    if (!this.#options.chunks) throw compressedTooLarge(operation, key, payload, packed, valueBytes)
    return this.#chunks.write(key, packed, ttl)
  }

  /** Returns the payload. If a chunk is missing, the manifest may be outdated: both are read again. */
  async decode(
    key: string,
    stored: Payload | undefined,
    options?: ReadOptions,
  ): Promise<Payload | undefined> {
    let current = stored
    for (let reads = 1; reads <= maxReads; reads++) {
      const chunks = chunkKeys(key, current)
      if (chunks.length === 0) return this.#unpack(current)
      const joined = await this.#chunks.read(chunks, reads === 1 ? options : strongRead)
      if (joined !== undefined) return this.#unpack(joined)
      current = await this.#store.get(key, strongRead)
    }
    return undefined
  }

  /** Returns what is stored under the key if it decodes to `payload`, otherwise `undefined`. */
  async storedFormOf(key: string, payload: Payload): Promise<Payload | undefined> {
    if (this.#isStoredUnchanged(payload)) return payload
    const stored = await this.#store.get(key, strongRead)
    const chunks = chunkKeys(key, stored)
    const joined = chunks.length === 0 ? stored : await this.#chunks.read(chunks, strongRead)
    const decoded = this.#unpack(joined)
    return decoded !== undefined && samePayload(decoded, payload) ? stored : undefined
  }

  /** @throws CacheError `ERR_CACHE_LIMIT` */
  assertFits(operation: string, key: string, payload: Payload): void {
    const { maxValueBytes } = this.#options
    if (!exceeds(payload, maxValueBytes)) return
    throw valueTooLarge(this.#store.name, operation, key, payloadBytes(payload), maxValueBytes)
  }

  #unpack(packed: Payload | undefined): Payload | undefined {
    return packed && unpack(packed, this.#options.maxValueBytes)
  }

  #isStoredUnchanged(payload: Payload): boolean {
    const { compressionThreshold } = this.#options
    const minChanged = Math.min(compressionThreshold, this.#store.limits.valueBytes + 1)
    return !hasMarker(payload) && payloadBytes(payload) < minChanged
  }
}

function compressedTooLarge(
  operation: string,
  key: string,
  payload: Payload,
  packed: Payload,
  limit: number,
): CacheError {
  return new CacheError(
    'ERR_CACHE_LIMIT',
    `The value has ${payloadBytes(payload)} bytes, ${payloadBytes(packed)} compressed; an item takes at most ${limit}. ` +
      'Store less, or set chunks: true.',
    { store: 'dynamodb', operation, key },
  )
}
