import { types } from 'node:util'
import { type CacheEvent, channels } from '../channels.ts'
import type { Entry, EntryFacts } from '../entry.ts'
import { CacheError } from '../errors.ts'
import type { AnyStore, CacheStore, Payload } from '../store.ts'
import { type Codec, JsonText } from './codec.ts'
import { isFrame } from './frame.ts'
import { isMark } from './mark.ts'
import { toText } from './payload.ts'

type Decode = (item: unknown, key: string) => Entry | undefined

interface ItemCodec {
  readonly counters?: boolean | undefined
  readonly plainJson?: boolean | undefined
  encode(entry: Entry, key: string): unknown
  readonly decode: Decode
  readonly decodeShared?: Decode | undefined
}

/**
 * An item of bytes, with what was decoded from it: reads of a near cache return it instead of the item. It is an entry itself
 * once its value is decoded and has no facts.
 */
export class DecodedItem implements Entry {
  /** The codec that decodes it. Another one must not use `entry`. */
  readonly codec: Codec | undefined
  /** The size of the payload in bytes. */
  readonly size: number
  /** `undefined` if it is not needed any more, because `entry` is returned instead. */
  payload: Payload | undefined
  entry: Entry | undefined
  /** That of `entry`, if it has no facts. */
  value: unknown
  readonly facts = undefined
  /** The entry with bytes that are part of the payload, for callers that do not modify them. */
  shared: Entry | undefined
  /** Until when the entry is fresh, in the time of the backend, once that is known. */
  freshUntil: number | undefined

  constructor(payload: Payload, size: number, codec: Codec | undefined) {
    // The bytes may be part of a large buffer, which they would keep in memory.
    this.payload = typeof payload === 'string' ? payload : Uint8Array.from(payload)
    this.size = size
    this.codec = codec
  }
}

/** Returns the item as the store returned it, where that is still known. */
export function storedItem(item: unknown): unknown {
  return item instanceof DecodedItem ? (item.payload ?? item) : item
}

/** Entries stored by reference are not encoded. */
const byReference: ItemCodec = {
  encode: (entry) => entry,
  decode: (item) => item as Entry,
}

/** Keeps what was decoded as long as the item exists, if it is bytes: these are part of the item, and need no memory. */
function decodingBytesOnce(decode: Decode): Decode {
  const decoded = new WeakMap<object, Entry>()
  return (item, key) => {
    if (!types.isUint8Array(item)) return decode(item, key)
    const known = decoded.get(item)
    if (known !== undefined) return known
    const entry = decode(item, key)
    if (types.isUint8Array(entry?.value)) decoded.set(item, entry)
    return entry
  }
}

/** The entries of a store. Converts values to items and back, and publishes the results of reads. */
export class StoredEntries {
  readonly store: AnyStore
  readonly #codec: ItemCodec
  readonly #cache: string
  readonly #storePrefix: string

  /**
   * @param storePrefix added to each storage key for the codec: the prefixes that the store adds itself, without the ids
   * of their generations
   */
  constructor(store: CacheStore | AnyStore, codec: Codec, cache: string, storePrefix: string) {
    // The codec matches the store from here on, so the item type need not be tracked any further.
    this.store = store as AnyStore
    this.#codec = store.payload === 'entry' ? byReference : (codec as ItemCodec)
    this.#cache = cache
    this.#storePrefix = storePrefix
  }

  /** The same for another store of the same items. */
  over(store: AnyStore): StoredEntries {
    return new StoredEntries(store, this.#codec as Codec, this.#cache, this.#storePrefix)
  }

  /** Decodes bytes without a copy. The caller does not modify them. */
  withoutCopies(): StoredEntries {
    const { decodeShared } = this.#codec
    if (decodeShared === undefined) return this
    // A memory returns the same item each time.
    const decode = this.store.processLocal === true ? decodingBytesOnce(decodeShared) : decodeShared
    const codec = { ...this.#codec, decode }
    return new StoredEntries(this.store, codec as Codec, this.#cache, this.#storePrefix)
  }

  /** @throws CacheError `ERR_CACHE_UNSUPPORTED` if the codec cannot decode counters */
  assertCounters(key: string): void {
    if (this.#codec.counters !== false) return
    const { name } = this.store
    throw new CacheError(
      'ERR_CACHE_UNSUPPORTED',
      `${name} increment failed: the codec of this cache does not support counters, which the backend stores as plain ` +
        'text. Use a cache with another codec for them.',
      { store: name, operation: 'increment', key },
    )
  }

  /**
   * Returns the item of a value. @throws TypeError for `undefined`, which means a miss
   * @throws CacheError `ERR_CACHE_CODEC` with store and key
   */
  encode(key: string, value: unknown, facts?: EntryFacts): unknown {
    if (value === undefined) {
      throw new TypeError('undefined cannot be cached because it means a miss. Store null instead.')
    }
    try {
      const isOtherCodec = JsonText.is(value) && this.#codec.plainJson !== true
      const encoded = isOtherCodec ? value.parse() : value
      const entry = facts === undefined ? { value: encoded } : { value: encoded, facts }
      return this.#codec.encode(entry, this.#storePrefix + key)
    } catch (error) {
      throw CacheError.is(error)
        ? CacheError.forCall(error, { store: this.store.name, key })
        : error
    }
  }

  /** Returns the value of an item that was not read from the store. Publishes nothing. */
  valueOf<T>(key: string, item: unknown): T {
    return this.#codec.decode(item, this.#storePrefix + key)?.value as T
  }

  /** Returns the entry of an item that was read. `undefined` for a miss, and for a corrupt item, which is published. */
  decode(key: string, item: unknown): Entry | undefined {
    if (item === undefined || isMark(item)) return undefined
    const entry = this.#codec.decode(item, this.#storePrefix + key)
    if (entry === undefined && channels.corrupt.hasSubscribers) {
      channels.corrupt.publish(this.event(key))
    }
    return entry
  }

  /** Returns the JSON text of the value of an item, if the codec has stored it as that. */
  jsonTextOf(item: unknown): string | undefined {
    if (this.#codec.plainJson !== true || item === undefined || isMark(item)) return undefined
    return isFrame(item as Payload) ? undefined : toText(item as Payload)
  }

  /** Returns the value of the entry that a caller receives, after a hit has been published; or a miss without an entry. */
  serve<T>(key: string, entry: Entry | undefined): T | undefined {
    const outcome = entry === undefined ? channels.miss : channels.hit
    if (outcome.hasSubscribers) outcome.publish(this.event(key))
    return entry?.value as T | undefined
  }

  /** The same for several keys. */
  serveMany<T>(
    keys: readonly string[],
    entries: readonly (Entry | undefined)[],
  ): (T | undefined)[] {
    return channels.hit.hasSubscribers || channels.miss.hasSubscribers
      ? entries.map((entry, index) => this.serve<T>(keys[index] as string, entry))
      : entries.map((entry) => entry?.value as T | undefined)
  }

  publishMiss(key: string): void {
    if (channels.miss.hasSubscribers) channels.miss.publish(this.event(key))
  }

  /** Publishes that a caller joined a load in flight. */
  publishShared(key: string): void {
    if (channels.shared.hasSubscribers) channels.shared.publish(this.event(key))
  }

  /** Publishes that a caller receives a stale value. */
  publishStale(key: string): void {
    if (channels.stale.hasSubscribers) channels.stale.publish(this.event(key))
  }

  event(key: string): CacheEvent {
    return { cache: this.#cache, store: this.store.name, key }
  }
}
