import type { Clock, Payload } from '@stowage/core'
import { toBytes } from '@stowage/core/driver'
import type { Environment } from '../file/environment.ts'
import type { FastBuffer } from '../file/library.ts'
import { type DueKey, ExpiryIndex } from './expiry-index.ts'
import { type ChunkList, chunkBytes, type OutputBuffer, RecordFormat } from './record.ts'

/** The key of a chunk: 8 bytes for the id of the payload, and 4 for the index. */
const chunkKey = Buffer.allocUnsafeSlow(12)
const chunksPerTransaction = 2 ** 16

/** A page of a scan. */
export interface ScanPage {
  readonly keys: string[]
  /** Where the next page begins; `undefined` after the last. */
  readonly next: string | undefined
}

/** The items in an open file. All methods except `read` and `scan` must be called in a write transaction. */
export class ItemTable {
  readonly index: ExpiryIndex
  /** Bytes written since the last call of `takeWrittenBytes`. */
  #writtenBytes = 0
  readonly #environment: Environment
  readonly #items: Environment['items']
  readonly #record = new RecordFormat()
  #chunkLists = 0

  constructor(environment: Environment) {
    this.#environment = environment
    this.#items = environment.items
    this.index = new ExpiryIndex(environment)
  }

  /** The time at which the item that was found last expires. */
  get expiresAt(): number {
    return this.#record.expiresAt
  }

  /** Whether the item that was found last was read since the last pass of the eviction. */
  get isUsed(): boolean {
    return this.#record.isUsed
  }

  /**
   * Returns the payload, or `undefined` if the item is missing or has expired. Belongs to the current snapshot, which
   * `endRead` of the environment ends.
   */
  read(key: string, clock: Clock): Payload | undefined {
    const { readAt } = this.#environment
    const bytes = this.#items.getBinaryFast(key, readAt)
    if (bytes === undefined) return undefined
    const record = this.#record
    record.read(bytes, this.#items.lastSize)
    if (record.expiresAt !== Infinity && record.expiresAt <= clock.now()) return undefined
    return this.#payload(readAt)
  }

  /** Finds an item, also one that has expired. Returns whether it exists. */
  find(key: string): boolean {
    const bytes = this.#items.getBinaryFast(key)
    if (bytes === undefined) return false
    this.#record.read(bytes, this.#items.lastSize)
    return true
  }

  /** The payload of the item that was found last. */
  payload(): Payload {
    return this.#payload()
  }

  /** Stores an item, replacing an existing one. */
  put(key: string, payload: Payload, expiresAt: number): void {
    const exists = this.find(key)
    if (exists) this.#removeChunks(this.#record.chunks)
    const indexedAt = this.#reindex(key, exists ? this.#record.indexedAt : Infinity, expiresAt)
    const record = this.#record.encode(payload, expiresAt, indexedAt)
    this.#write(key, record ?? this.#encodeChunked(payload, expiresAt, indexedAt))
  }

  /** Sets the expiry of the item that was found last, under `key`. */
  touch(key: string, expiresAt: number): void {
    const indexedAt = this.#reindex(key, this.#record.indexedAt, expiresAt)
    const { isUsed } = this.#record
    this.#write(key, this.#record.encodeAgain({ expiresAt, indexedAt, isUsed }))
  }

  /** Sets whether the item that was found last counts as used. */
  markUsed(key: string, isUsed: boolean): void {
    this.#write(key, this.#record.encodeAgain({ isUsed }))
  }

  /** Deletes the item that was found last, under `key`. */
  remove(key: string): void {
    const { chunks, indexedAt } = this.#record
    this.#removeChunks(chunks)
    if (indexedAt !== Infinity) this.index.remove(key, indexedAt)
    this.#items.remove(key)
    this.#writtenBytes += chunkBytes
  }

  /** Deletes the item of a key from the index, or moves the key to its later expiry. */
  removeDue({ key, indexedAt }: DueKey, now: number): void {
    const isCurrent = this.find(key) && this.#record.indexedAt === indexedAt
    if (isCurrent && this.#record.expiresAt <= now) this.remove(key)
    else this.index.remove(key, indexedAt)
    if (isCurrent && this.#record.expiresAt > now) this.#moveInIndex(key)
  }

  /** Deletes everything. */
  clear(): void {
    const { items, chunks, expiry } = this.#environment
    for (const table of [items, chunks, expiry]) table.clearSync()
  }

  /** Returns up to `count` keys from `start`. */
  keysFrom(start: string, count: number): string[] {
    return this.#items.getKeys({ start, limit: count }).asArray
  }

  /** Returns the keys of a page of a scan, whose items have not expired, and where the next page begins. */
  scan(prefix: string, start: string, count: number, now: number): ScanPage {
    const { readAt } = this.#environment
    try {
      const keys = this.#items.getKeys({ start, limit: count, ...readAt }).asArray
      const matching = keys.filter((key) => key.startsWith(prefix))
      const next = matching.length < count ? undefined : `${matching.at(-1)}\0`
      return { keys: matching.filter((key) => this.#isAlive(key, now)), next }
    } finally {
      this.#environment.endRead()
    }
  }

  /** Returns how many bytes were written since the last call. */
  takeWrittenBytes(): number {
    const bytes = this.#writtenBytes
    this.#writtenBytes = 0
    return bytes
  }

  #isAlive(key: string, now: number): boolean {
    const bytes = this.#items.getBinaryFast(key, this.#environment.readAt)
    if (bytes === undefined) return false
    this.#record.read(bytes, this.#items.lastSize)
    return this.#record.expiresAt > now
  }

  #write(key: string, record: OutputBuffer): void {
    this.#items.put(key, record)
    this.#writtenBytes += record.end + key.length
  }

  /** Adds the item that was found last to the index again, at its expiry. */
  #moveInIndex(key: string): void {
    const { expiresAt, isUsed } = this.#record
    if (expiresAt !== Infinity) this.index.add(key, expiresAt)
    this.#write(key, this.#record.encodeAgain({ indexedAt: expiresAt, isUsed }))
  }

  /** Updates the index for a new expiry. Returns the time under which the key is in the index then. */
  #reindex(key: string, indexedAt: number, expiresAt: number): number {
    if (indexedAt !== Infinity) {
      if (expiresAt !== Infinity && indexedAt <= expiresAt) return indexedAt
      this.index.remove(key, indexedAt)
    }
    if (expiresAt !== Infinity) this.index.add(key, expiresAt)
    return expiresAt
  }

  #payload(readAt?: Environment['readAt']): Payload {
    const record = this.#record
    const { chunks } = record
    if (chunks === undefined) return record.payload()
    const bytes = Buffer.allocUnsafeSlow(chunks.bytes) as FastBuffer
    const table = this.#environment.chunks
    for (let start = 0, index = 0; start < chunks.bytes; start += chunkBytes, index++) {
      const chunk = table.getBinaryFast(keyOfChunk(chunks.id, index), readAt)
      if (chunk === undefined) throw new Error('A chunk of a value is missing')
      bytes.set(chunk.subarray(0, table.lastSize), start)
    }
    return record.decode(bytes, 0, chunks.bytes)
  }

  #encodeChunked(payload: Payload, expiresAt: number, indexedAt: number): OutputBuffer {
    const chunks = this.#writeChunks(toBytes(payload))
    return this.#record.encodeChunked(payload, chunks, expiresAt, indexedAt)
  }

  #writeChunks(bytes: Buffer): ChunkList {
    // The id of an aborted transaction is used again, but its chunks were never written.
    const number = this.#chunkLists++ % chunksPerTransaction
    const id = this.#environment.transactionId() * chunksPerTransaction + number
    for (let start = 0, index = 0; start < bytes.length; start += chunkBytes, index++) {
      this.#environment.chunks.put(keyOfChunk(id, index), this.#record.encodeChunk(bytes, start))
    }
    this.#writtenBytes += bytes.length
    return { id, bytes: bytes.length }
  }

  #removeChunks(chunks: ChunkList | undefined): void {
    if (chunks === undefined) return
    const count = Math.ceil(chunks.bytes / chunkBytes)
    for (let index = 0; index < count; index++) {
      this.#environment.chunks.remove(keyOfChunk(chunks.id, index))
    }
  }
}

function keyOfChunk(id: number, index: number): Buffer {
  chunkKey.writeBigUInt64BE(BigInt(id))
  chunkKey.writeUInt32BE(index, 8)
  return chunkKey
}
