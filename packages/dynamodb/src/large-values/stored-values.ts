import { CacheError, type Payload, type ReadOptions } from '@stowage/core'
import { exceeds, payloadBytes, samePayload, valueTooLarge } from '@stowage/core/driver'
import type { LargeValuesOptions } from '../dynamodb-options.ts'
import type { DynamoDBStore } from '../dynamodb-store.ts'
import { type Chunks, chunkKeys, strong } from './chunks.ts'
import { isMarked, pack, unpack } from './packing.ts'

/** How often a value is read anew that was replaced while its chunks were read. */
const readings = 3

/** Payloads in the form they are kept in, and back: as they are, compressed, or in chunks. */
export class KeptValues {
  readonly #store: DynamoDBStore
  readonly #chunks: Chunks
  readonly #options: LargeValuesOptions

  constructor(store: DynamoDBStore, chunks: Chunks, options: LargeValuesOptions) {
    this.#store = store
    this.#chunks = chunks
    this.#options = options
  }

  /** What to store under the key; of a value in chunks the chunks are stored already. */
  async keep(
    operation: string,
    key: string,
    payload: Payload,
    ttl: number | undefined,
  ): Promise<Payload> {
    this.assertFits(operation, key, payload)
    const packed = pack(payload, this.#options.compressFrom)
    const { valueBytes } = this.#store.limits
    if (!exceeds(packed, valueBytes)) return packed
    if (!this.#options.chunks) throw stillOversized(operation, key, payload, packed, valueBytes)
    return this.#chunks.write(key, packed, ttl)
  }

  /** The payload that was kept so. Where a chunk is missing, what names it may be outdated: both are read anew. */
  async payloadOf(
    key: string,
    kept: Payload | undefined,
    options?: ReadOptions,
  ): Promise<Payload | undefined> {
    let found = kept
    for (let reading = 1; reading <= readings; reading++) {
      const chunks = chunkKeys(key, found)
      if (chunks.length === 0) return this.#unpacked(found)
      const joined = await this.#chunks.read(chunks, reading === 1 ? options : strong)
      if (joined !== undefined) return this.#unpacked(joined)
      found = await this.#store.get(key, strong)
    }
    return undefined
  }

  /** What is stored, where it stands for `expected`. */
  async formOf(key: string, expected: Payload): Promise<Payload | undefined> {
    if (this.#isKeptAsItIs(expected)) return expected
    const kept = await this.#store.get(key, strong)
    const chunks = chunkKeys(key, kept)
    const joined = chunks.length === 0 ? kept : await this.#chunks.read(chunks, strong)
    const payload = this.#unpacked(joined)
    return payload !== undefined && samePayload(payload, expected) ? kept : undefined
  }

  /** @throws CacheError `ERR_CACHE_LIMIT` */
  assertFits(operation: string, key: string, payload: Payload): void {
    const { maxValueBytes } = this.#options
    if (!exceeds(payload, maxValueBytes)) return
    throw valueTooLarge(this.#store.name, operation, key, payloadBytes(payload), maxValueBytes)
  }

  #unpacked(packed: Payload | undefined): Payload | undefined {
    return packed && unpack(packed, this.#options.maxValueBytes)
  }

  #isKeptAsItIs(payload: Payload): boolean {
    const { compressFrom } = this.#options
    const least = Math.min(compressFrom, this.#store.limits.valueBytes + 1)
    return !isMarked(payload) && payloadBytes(payload) < least
  }
}

function stillOversized(
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
