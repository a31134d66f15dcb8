import type { Awaitable, KeyPlacement, ReadOptions } from '../store.ts'
import type { AnyStore } from '../values/entry-codec.ts'

/** The calls with which ids are read and stored. */
export type IdStore = Pick<
  AnyStore,
  'payload' | 'durable' | 'placement' | 'get' | 'add' | 'compareAndSet' | 'set'
> & {
  /** What the generations around the store add to its keys. @default '' */
  readonly fullKeyPrefix?: string | undefined
}

/**
 * A store within one generation. Other than those of a `GenerationStore`, its calls are not repeated if that generation
 * ends meanwhile: an id that was found in it must not be stored in the next one, where it could replace the id of another
 * process. The caller finds out by comparing `fullKeyPrefix`, because every call confirms the generation.
 */
export class PinnedStore implements IdStore {
  readonly payload: 'bytes' | 'entry'
  readonly durable: boolean
  readonly fullKeyPrefix: string
  readonly #store: IdStore
  readonly #keyPrefix: string
  readonly #confirm: () => Promise<void>

  constructor(store: IdStore, keyPrefix: string, confirm: () => Promise<void>) {
    this.payload = store.payload
    this.durable = store.durable === true
    this.fullKeyPrefix = (store.fullKeyPrefix ?? '') + keyPrefix
    this.#store = store
    this.#keyPrefix = keyPrefix
    this.#confirm = confirm
  }

  get placement(): KeyPlacement | undefined {
    const { placement } = this.#store
    if (placement === undefined) return undefined
    const nodeOf = (key: string) => placement.nodeOf(this.#keyPrefix + key)
    return { nodeCount: placement.nodeCount, nodeOf }
  }

  get(key: string, options?: ReadOptions): Promise<unknown> {
    return this.#call(() => this.#store.get(this.#keyPrefix + key, options))
  }

  set(key: string, item: unknown): Promise<void> {
    return this.#call(() => this.#store.set(this.#keyPrefix + key, item))
  }

  /** Rejects if the generation cannot be confirmed, as every `add` does. */
  async add(key: string, item: unknown): Promise<boolean> {
    const confirming = this.#confirm()
    const isAdded = await this.#call(() => this.#store.add(this.#keyPrefix + key, item))
    await confirming
    return isAdded
  }

  compareAndSet(key: string, expected: unknown, next: unknown): Promise<boolean> {
    return this.#call(() => this.#store.compareAndSet(this.#keyPrefix + key, expected, next))
  }

  /** Makes a call and confirms the generation in the same round trip, if that is reachable. */
  async #call<T>(call: () => Awaitable<T>): Promise<T> {
    const confirming = this.#confirm().catch(ignore)
    const result = await call()
    await confirming
    return result
  }
}

function ignore(): void {}
