import { types } from 'node:util'
import { namespacePrefix } from '../keys.ts'
import type { RememberOptions } from '../loading/remember-options.ts'
import type { LoadMany } from '../remember/remember-many.ts'
import { type CollectionDefinition, checkDefinition } from './collection-definition.ts'
import type { ExactWrites } from './exact-writes.ts'
import { ValueCheck } from './value-check.ts'
import type { WriteThrough } from './write-through.ts'

/** The methods of a cache that a collection uses. */
export interface CollectionTarget {
  remember<T>(
    key: string,
    options: RememberOptions<T>,
    // biome-ignore lint/suspicious/noExplicitAny: as in Cache
    load: (context: any) => T | Promise<T>,
  ): Promise<T>
  rememberMany<T>(
    keys: readonly string[],
    options: RememberOptions<T>,
    load: LoadMany<T>,
  ): Promise<(T | undefined)[]>
  delete(key: string): Promise<boolean>
  expire(key: string): Promise<boolean>
}

/** How a collection writes values to their source and to the cache. */
export interface CollectionWrites {
  readonly writes: WriteThrough
  readonly exact: ExactWrites
}

/**
 * Values of one kind, which are loaded when they are missing (lazy loading) and stored in the source and in the cache
 * together (write-through). Created by `cache.collection`.
 */
export class Collection<Id, Stored, Value> {
  /** The first part of the keys. */
  readonly name: string
  readonly #cache: CollectionTarget
  readonly #writes: WriteThrough
  readonly #exact: ExactWrites
  readonly #definition: CollectionDefinition<Id, Stored, Value>
  readonly #check: ValueCheck<Stored, Value>
  readonly #prefix: string
  readonly #options: RememberOptions<Stored>

  /** @internal */
  constructor(
    name: string,
    definition: CollectionDefinition<Id, Stored, Value>,
    cache: CollectionTarget,
    { writes, exact }: CollectionWrites,
  ) {
    this.name = name
    this.#definition = checkDefinition(name, definition)
    const { version, ttl, staleWhileRevalidate, staleIfError, tags, audit } = definition
    this.#cache = cache
    this.#writes = writes
    this.#exact = exact
    this.#check = new ValueCheck(name, definition, (key) => writes.publishCorrupt(key))
    this.#prefix = namespacePrefix(name) + (version === undefined ? '' : `v${version}:`)
    this.#options = { ttl, staleWhileRevalidate, staleIfError, tags, audit }
  }

  /** The key of a value, for the methods of the cache. */
  keyOf(id: Id): string {
    const { key } = this.#definition
    return this.#prefix + (key === undefined ? idText(this.name, id) : keyText(this.name, key(id)))
  }

  /** Returns the value, and loads it if it is missing. `undefined` if the source has none. */
  get(id: Id): Promise<Value | undefined> {
    // Not an async function: its state would be most of what a hit in memory allocates.
    try {
      const key = this.keyOf(id)
      const stored = this.#cache.remember(key, this.#options, this.#loader(id))
      return this.#check.isNeeded
        ? stored.then((each) => this.#valueOf(id, key, each))
        : (stored as unknown as Promise<Value | undefined>)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Returns the values in the order of the ids: one read, and one load of those that are missing. */
  async getMany(ids: readonly Id[]): Promise<(Value | undefined)[]> {
    if (!Array.isArray(ids)) {
      throw new TypeError(
        `collection ${this.name}: getMany needs an array of ids, such as [id1, id2].`,
      )
    }
    const byKey = new Map(ids.map((id) => [this.keyOf(id), id]))
    const keys = ids.map((id) => this.keyOf(id))
    const load: LoadMany<Stored> = async (missing, context) => {
      const missingIds = missing.map((key) => byKey.get(key) as Id)
      return this.#check.loadedMany(await this.#loadMany(missingIds, context))
    }
    const stored = await this.#cache.rememberMany(keys, this.#options, load)
    return Promise.all(
      stored.map((each, index) => this.#valueOf(ids[index] as Id, keys[index] as string, each)),
    )
  }

  /**
   * Saves the value in the source and stores it in the cache: three round trips. Loads and other writes of the value that
   * are in progress are not stored. Of two concurrent writers, the cache never keeps the value that was saved first; at
   * the end of both it contains the last one or none. A process that is killed between its save and the end may leave an
   * older value until the ttl ends, unless the collection is `exact`.
   *
   * @returns the value as it was saved
   * @throws the error of `save`. The value is then deleted from the cache, because it may have been saved
   */
  async set(id: Id, value: Stored): Promise<Value> {
    const { save } = this.#definition
    await this.#check.loaded(value)
    const saving = async () => {
      const result = await save?.(id, value)
      return (result === undefined ? value : result) as Stored
    }
    const saved = this.#definition.exact
      ? await this.#exact.save(this.keyOf(id), this.#options, saving)
      : await this.#writes.run(this.keyOf(id), this.#options, saving)
    return this.#check.loaded(saved)
  }

  /** Deletes the value in the source and in the cache. Returns whether the cache contained it. */
  async delete(id: Id): Promise<boolean> {
    const key = this.keyOf(id)
    const { remove, exact } = this.#definition
    if (exact) return this.#exact.remove(key, async () => remove?.(id))
    const deleteKey = () => this.#cache.delete(key)
    return remove === undefined
      ? deleteKey()
      : this.#writes.remove(key, deleteKey, async () => remove(id))
  }

  /** Makes the value stale, or deletes it from the cache if it has no stale window. */
  async expire(id: Id): Promise<boolean> {
    return this.#cache.expire(this.keyOf(id))
  }

  /** Loads the value even if a fresh one exists. */
  async refresh(id: Id): Promise<Value | undefined> {
    const key = this.keyOf(id)
    const options = { ...this.#options, refresh: true }
    const stored = await this.#cache.remember(key, options, this.#loader(id))
    return this.#check.loaded(stored)
  }

  /** The value of what the cache has returned. Loads it again if it fits the schema neither as it is nor migrated. */
  async #valueOf(id: Id, key: string, stored: Stored | undefined): Promise<Value | undefined> {
    if (stored === undefined) return undefined
    const checked = this.#check.stored(key, stored)
    const value = checked instanceof Promise ? await checked : checked
    return value === undefined ? this.refresh(id) : value
  }

  #loader(id: Id) {
    return async (context: Parameters<CollectionDefinition<Id, Stored, Value>['load']>[1]) => {
      const loaded = await this.#definition.load(id, context)
      await this.#check.loaded(loaded)
      return loaded as Stored
    }
  }

  async #loadMany(
    ids: readonly Id[],
    context: Parameters<LoadMany<Stored>>[1],
  ): Promise<(Stored | undefined)[]> {
    const { load, loadMany } = this.#definition
    if (loadMany === undefined) {
      return Promise.all(ids.map(async (id) => load(id, context.of(this.keyOf(id)))))
    }
    const loaded = await loadMany(ids, context)
    if (types.isMap(loaded)) return ids.map((id) => loaded.get(id))
    if (Array.isArray(loaded)) return [...loaded]
    throw new TypeError(
      `collection ${this.name}: loadMany must return a Map, or an array with a value for each of the ${ids.length} ids.`,
    )
  }
}

function keyText(collection: string, text: unknown): string {
  // Different ids would otherwise share the key "undefined".
  if (typeof text === 'string') return text
  throw new TypeError(
    `collection ${collection}: the option key must return a string, not ${typeof text}.`,
  )
}

/** @throws TypeError for an id whose text may be that of another id, such as `[object Object]` */
function idText(collection: string, id: unknown): string {
  switch (typeof id) {
    case 'string':
      return id
    case 'boolean':
    case 'bigint':
      return String(id)
    case 'number':
      if (Number.isFinite(id)) return String(id)
  }
  throw new TypeError(
    `collection ${collection}: only strings, finite numbers, booleans and bigints identify a value. ` +
      'Define the option key, a function that returns a string for an id.',
  )
}
