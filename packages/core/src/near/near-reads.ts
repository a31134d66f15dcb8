import { TickBatch } from '../calls/tick-batch.ts'
import type { AnyStore, Awaitable, Payload, ReadOptions } from '../store.ts'
import type { Codec } from '../values/codec.ts'
import { isMark } from '../values/mark.ts'
import { payloadBytes } from '../values/payload.ts'
import { DecodedItem } from '../values/stored-entries.ts'
import { outcomeOf } from '../wrappers/batch-error.ts'
import type { NearCache, ReadInFlight } from './near-cache.ts'

/** What a store returned for a key, and the remaining ttl of the item if that is known. */
interface ReadItem {
  readonly item: unknown
  readonly ttl: number | undefined
}

type Outcome<T> = PromiseSettledResult<T>

/** A replica could return the value before the change that was announced last. */
const primaryRead: ReadOptions = { consistency: 'strong', confirmGeneration: false }

/** Reads from the store what the near cache does not contain, and keeps it there. */
export class NearReads {
  readonly #store: AnyStore
  readonly #near: NearCache
  readonly #storePrefix: string
  readonly #codec: Codec | undefined
  readonly #batch: TickBatch<unknown>

  /** @param codec that of the items; `undefined` if they are not decoded */
  constructor(store: AnyStore, near: NearCache, storePrefix: string, codec: Codec | undefined) {
    this.#store = store
    this.#near = near
    this.#storePrefix = storePrefix
    this.#codec = codec
    this.#batch = new TickBatch((keys) => this.readMany(keys))
  }

  /** Without ttls, the store merges the reads of a turn itself if that is useful. */
  read(key: string): Awaitable<unknown> {
    const { getWithTtl } = this.#store
    return getWithTtl === undefined ? this.#readAlone(key) : this.#batch.get(key)
  }

  /** Returns the outcome of each key. Never rejects. */
  async readMany(keys: readonly string[]): Promise<Outcome<unknown>[]> {
    const reads = keys.map((key) => this.#near.beginRead(this.#storePrefix + key))
    const expiresAt = this.#near.endOfTtl()
    const outcomes = await this.#readOutcomes(keys, this.#optionsFor(reads[0]))
    return outcomes.map((outcome, index): Outcome<unknown> => {
      const { item = undefined, ttl = undefined } =
        outcome.status === 'fulfilled' ? outcome.value : {}
      const kept = this.#toKeep(item)
      const read = reads[index]
      if (read !== undefined) this.#near.endRead(read, kept, expiresAt, ttl)
      return outcome.status === 'fulfilled' ? { ...outcome, value: kept ?? item } : outcome
    })
  }

  #readAlone(key: string): Awaitable<unknown> {
    const read = this.#near.beginRead(this.#storePrefix + key)
    if (read === undefined) return this.#store.get(key)
    const options = this.#optionsFor(read)
    const expiresAt = this.#near.endOfTtl()
    const end = (item: unknown) => {
      const kept = this.#toKeep(item)
      this.#near.endRead(read, kept, expiresAt, undefined)
      return kept ?? item
    }
    const fail = (error: unknown) => {
      this.#near.endRead(read, undefined, expiresAt, undefined)
      throw error
    }
    try {
      const item = this.#store.get(key, options)
      return item instanceof Promise ? item.then(end, fail) : end(item)
    } catch (error) {
      return fail(error)
    }
  }

  /** What is kept until it is announced must be the current value. Other reads need not. */
  #optionsFor(read: ReadInFlight | undefined): ReadOptions | undefined {
    const hasLag = this.#store.consistencyToken !== undefined
    return read !== undefined && hasLag && this.#near.hasBus ? primaryRead : undefined
  }

  async #readOutcomes(
    keys: readonly string[],
    options: ReadOptions | undefined,
  ): Promise<Outcome<ReadItem>[]> {
    try {
      return (await this.#readItems(keys, options)).map((value) => ({ status: 'fulfilled', value }))
    } catch (error) {
      return keys.map((_, index) => {
        const outcome = outcomeOf(error, index)
        if (outcome.status === 'rejected') return outcome
        // Without its ttl, it must not be kept.
        return { status: 'fulfilled', value: { item: outcome.value, ttl: 0 } }
      })
    }
  }

  async #readItems(keys: readonly string[], options: ReadOptions | undefined): Promise<ReadItem[]> {
    if (this.#store.getWithTtl === undefined) {
      const items = await this.#store.getMany(keys, options)
      return items.map((item) => ({ item, ttl: undefined }))
    }
    const found = await this.#store.getWithTtl(keys, options)
    return found.map((each) => each ?? { item: undefined, ttl: undefined })
  }

  /** Marks are not kept: they read as a miss. */
  #toKeep(item: unknown): DecodedItem | undefined {
    if (item === undefined || isMark(item)) return undefined
    return new DecodedItem(item as Payload, payloadBytes(item as Payload), this.#codec)
  }
}
