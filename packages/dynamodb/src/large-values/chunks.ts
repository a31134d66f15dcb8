import { randomBytes } from 'node:crypto'
import type { Payload, ReadOptions } from '@stowage/core'
import { toBytes } from '@stowage/core/driver'
import type { DynamoDBStore } from '../dynamodb-store.ts'
import { type Manifest, manifestOf, toManifest } from './packing.ts'

/** By how much chunks outlive what names them: they are written before it. */
const slackMs = 60_000
const chunkKey = /\0chunk:[\w-]{16}:\d+$/

/** Whether the key is that of a chunk. */
export function isChunkKey(key: string): boolean {
  return chunkKey.test(key)
}

/** The keys of the chunks a value is kept in; none for one that is kept whole. */
export function chunkKeys(key: string, packed: Payload | undefined): string[] {
  const manifest = manifestOf(packed)
  return manifest === undefined ? [] : keysOf(key, manifest)
}

/** For what must not be decided by an answer that lags behind. */
export const strong: ReadOptions = { consistency: 'strong' }

/** Values cut into chunks, each an item of a store under a key of its own. */
export class Chunks {
  readonly #store: DynamoDBStore

  constructor(store: DynamoDBStore) {
    this.#store = store
  }

  /** Writes the chunks, and returns what names them. */
  async write(key: string, packed: Payload, ttl: number | undefined): Promise<Payload> {
    const bytes = toBytes(packed)
    const { valueBytes: size } = this.#store.limits
    const id = randomBytes(12).toString('base64url')
    const manifest = { id, chunks: Math.ceil(bytes.length / size) }
    const entries = keysOf(key, manifest).map(
      (each, at) => [each, bytes.subarray(at * size, (at + 1) * size)] as const,
    )
    await this.#store.setMany(entries, outliving(ttl))
    return toManifest(manifest)
  }

  /** What the chunks make up; nothing where one is missing. */
  async read(keys: readonly string[], options?: ReadOptions): Promise<Payload | undefined> {
    const found = await this.#store.getMany(keys, options)
    const there = found.filter((chunk) => chunk !== undefined)
    return there.length === keys.length ? Buffer.concat(there.map(toBytes)) : undefined
  }

  /** The keys of the chunks that the values under these keys have now. */
  async at(keys: readonly string[]): Promise<string[]> {
    const unique = [...new Set(keys)]
    // An outdated answer would leave the chunks of a later value behind.
    const found = await this.#store.getMany(unique, strong)
    return unique.flatMap((key, at) => chunkKeys(key, found[at]))
  }

  /** Moves the expiry of the chunks. Says whether all of them are there. */
  async touch(keys: readonly string[], ttl: number | undefined): Promise<boolean> {
    const touched = await Promise.all(keys.map((key) => this.#store.touch(key, outliving(ttl))))
    return !touched.includes(false)
  }

  /** Deletes chunks that nothing names any more. Where that fails, what made them superfluous has succeeded all the same. */
  async drop(keys: readonly string[]): Promise<void> {
    if (keys.length > 0) await this.#store.discard(keys).catch(() => {})
  }
}

function keysOf(key: string, { id, chunks }: Manifest): string[] {
  return Array.from({ length: chunks }, (_, at) => `${key}\0chunk:${id}:${at}`)
}

function outliving(ttl: number | undefined): number | undefined {
  return ttl === undefined ? undefined : ttl + slackMs
}
