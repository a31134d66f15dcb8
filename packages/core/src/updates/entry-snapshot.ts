import type { Awaitable } from '../store.ts'
import { JsonText } from '../values/codec.ts'
import type { WriteOptions } from './tagged-writes.ts'

/** A value together with the right to replace it, if nothing else does before. */
export interface Snapshot<T> {
  /** `undefined` for a miss. */
  readonly value: T | undefined
  /** The value as its JSON text, if it is stored as that; also `undefined` for a miss. */
  readonly jsonText: string | undefined
  /** Replaces the value unless it has changed since it was read. Returns whether it was unchanged. */
  replace(next: T, options?: WriteOptions): Promise<boolean>
  /**
   * Does `replace`, and returns a snapshot of the new value, which can be replaced again without another read. Returns
   * `undefined` if the value has changed.
   */
  swap(next: T, options?: WriteOptions): Promise<Snapshot<T> | undefined>
  /** Deletes the value unless it has changed since it was read. Returns whether it was unchanged. */
  delete(): Promise<boolean>
}

/** Writes keys. */
export interface SnapshotWriter {
  /** The JSON text of the value of an item, if it is stored as that. */
  jsonTextOf(item: unknown): string | undefined
  encode(key: string, value: unknown, options: WriteOptions | undefined): Awaitable<unknown>
  /** Replaces the item `seen`; deletes it if `next` is `undefined`. Returns whether it was unchanged. */
  replace(
    key: string,
    seen: unknown,
    next: unknown,
    options: WriteOptions | undefined,
  ): Promise<boolean>
}

/** A value, and the item that was read for it. Its functions need no `this`. They are created when they are used. */
export class EntrySnapshot<T> implements Snapshot<T> {
  #value: T | undefined
  readonly #key: string
  readonly #item: unknown
  readonly #writer: SnapshotWriter

  constructor(key: string, value: T | undefined, item: unknown, writer: SnapshotWriter) {
    this.#key = key
    this.#value = value
    this.#item = item
    this.#writer = writer
  }

  get value(): T | undefined {
    if (JsonText.is(this.#value)) this.#value = this.#value.parse() as T
    return this.#value
  }

  get jsonText(): string | undefined {
    return this.#value === undefined ? undefined : this.#writer.jsonTextOf(this.#item)
  }

  get replace(): Snapshot<T>['replace'] {
    return async (next, options) => (await this.#replace(next, options)) !== undefined
  }

  get swap(): Snapshot<T>['swap'] {
    return (next, options) => this.#replace(next, options)
  }

  get delete(): Snapshot<T>['delete'] {
    return () => this.#writer.replace(this.#key, this.#item, undefined, undefined)
  }

  async #replace(
    next: T,
    options: WriteOptions | undefined,
  ): Promise<EntrySnapshot<T> | undefined> {
    const item = await this.#writer.encode(this.#key, next, options)
    const isReplaced = await this.#writer.replace(this.#key, this.#item, item, options)
    return isReplaced ? new EntrySnapshot(this.#key, next, item, this.#writer) : undefined
  }
}
