import { type CacheEvent, channels } from '../channels.ts'
import type { CacheStore, StoreContract } from '../store.ts'
import type { Codec } from './codec.ts'
import type { Entry } from './entry.ts'

/** A store whose items are opaque: bytes or entries, only the codec beside it knows. */
export type AnyStore = StoreContract<'bytes' | 'entry', unknown>

interface ItemCodec {
  encode(entry: Entry): unknown
  decode(item: unknown): Entry | undefined
}

/** EntryCodec kept by reference need no representation. */
const byReference: ItemCodec = {
  encode: (entry) => entry,
  decode: (item) => item as Entry,
}

/** One store and the codec that fits it: turns values into items and items into values, and says so. */
export class EntryCodec {
  readonly store: AnyStore
  readonly #codec: ItemCodec
  readonly #cache: string

  constructor(store: CacheStore, codec: Codec, cache: string) {
    // The pair is formed here, so the item type is forgotten here and nowhere else.
    this.store = store as unknown as AnyStore
    this.#codec = store.payload === 'entry' ? byReference : (codec as ItemCodec)
    this.#cache = cache
  }

  /** The item for a value. @throws TypeError for `undefined`, which means a miss */
  encode(value: unknown): unknown {
    if (value === undefined) {
      throw new TypeError('undefined cannot be cached, it means a miss. Store null instead.')
    }
    return this.#codec.encode({ value })
  }

  /** The value of an item that was looked up, or `undefined` for a miss; publishes which it was. */
  decode<T>(key: string, item: unknown): T | undefined {
    const value = item === undefined ? undefined : this.#decodeItem<T>(key, item)
    const outcome = value === undefined ? channels.miss : channels.hit
    if (outcome.hasSubscribers) outcome.publish(this.event(key))
    return value
  }

  /** Publishes that a caller waits for somebody else's load. */
  share(key: string): void {
    if (channels.shared.hasSubscribers) channels.shared.publish(this.event(key))
  }

  event(key: string): CacheEvent {
    return { cache: this.#cache, store: this.store.name, key }
  }

  #decodeItem<T>(key: string, item: unknown): T | undefined {
    const entry = this.#codec.decode(item)
    if (entry === undefined && channels.corrupt.hasSubscribers) {
      channels.corrupt.publish(this.event(key))
    }
    return entry?.value as T | undefined
  }
}
