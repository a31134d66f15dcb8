import { randomBytes } from 'node:crypto'
import type { Payload, ReadOptions } from '@stowage/core'
import { toBytes } from '@stowage/core/driver'
import { strongRead } from '@stowage/core/internal'
import type { DynamoDBStore } from '../dynamodb-store.ts'
import { decodeManifest, encodeManifest, type Manifest } from './packing.ts'

/** How much longer chunks exist than their manifest, which is written after them. */
const extraTtlMs = 60_000
const chunkKeyPattern = /\0chunk:[\w-]{16}:\d+$/

/** Whether the key is that of a chunk. */
export function isChunkKey(key: string): boolean {
  return chunkKeyPattern.test(key)
}

/** The keys of the chunks that a stored payload references; none if it is not a manifest. */
export function chunkKeys(key: string, stored: Payload | undefined): string[] {
  const manifest = decodeManifest(stored)
  return manifest === undefined ? [] : keysOf(key, manifest)
}

/** Values split into chunks, each an item with its own key. */
export class Chunks {
  readonly #store: DynamoDBStore

  constructor(store: DynamoDBStore) {
    this.#store = store
  }

  /** Writes the chunks of a payload. Returns the manifest that references them. */
  async write(key: string, packed: Payload, ttl: number | undefined): Promise<Payload> {
    const bytes = toBytes(packed)
    const { valueBytes: size } = this.#store.limits
    const id = randomBytes(12).toString('base64url')
    const manifest = { id, chunks: Math.ceil(bytes.length / size) }
    const entries = keysOf(key, manifest).map(
      (chunkKey, index) => [chunkKey, bytes.subarray(index * size, (index + 1) * size)] as const,
    )
    await this.#store.setMany(entries, chunkTtl(ttl))
    return encodeManifest(manifest)
  }

  /** Reads and joins chunks. `undefined` if one is missing. */
  async read(keys: readonly string[], options?: ReadOptions): Promise<Payload | undefined> {
    const found = await this.#store.getMany(keys, options)
    const chunks = found.filter((chunk) => chunk !== undefined)
    return chunks.length === keys.length ? Buffer.concat(chunks.map(toBytes)) : undefined
  }

  /** By key, the keys of the chunks that its value consists of now. */
  async keysByKey(keys: readonly string[]): Promise<Map<string, string[]>> {
    const unique = [...new Set(keys)]
    // An outdated manifest would leave the chunks of a newer value in the table.
    const stored = await this.#store.getMany(unique, strongRead)
    return new Map(unique.map((key, index) => [key, chunkKeys(key, stored[index])]))
  }

  /** Sets the expiry of chunks. Returns whether all of them exist. */
  async touch(keys: readonly string[], ttl: number | undefined): Promise<boolean> {
    const touched = await Promise.all(keys.map((key) => this.#store.touch(key, chunkTtl(ttl))))
    return !touched.includes(false)
  }

  /** Deletes chunks that no manifest references any more. Ignores failures: the call that replaced them has succeeded. */
  async deleteUnreferenced(keys: readonly string[]): Promise<void> {
    if (keys.length > 0) await this.#store.deleteUncounted(keys).catch(() => {})
  }
}

function keysOf(key: string, { id, chunks }: Manifest): string[] {
  return Array.from({ length: chunks }, (_, index) => `${key}\0chunk:${id}:${index}`)
}

function chunkTtl(ttl: number | undefined): number | undefined {
  return ttl === undefined ? undefined : ttl + extraTtlMs
}
