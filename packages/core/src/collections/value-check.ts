import { CacheError } from '../errors.ts'
import type { Awaitable } from '../store.ts'
import { freezeDeeply, isFrozenDeeply } from '../values/freeze-deeply.ts'
import type { CollectionDefinition } from './collection-definition.ts'
import { describeIssues, type SchemaResult } from './standard-schema.ts'

/** Validates loaded and stored values of a collection. */
export class ValueCheck<Stored, Value> {
  readonly #name: string
  readonly #definition: Pick<CollectionDefinition<never, Stored, Value>, 'schema' | 'migrate'>
  readonly #onCorrupt: (key: string) => void
  /** The results for values that a near cache returns repeatedly, so that each is validated once. */
  readonly #known = new WeakMap<object, Value>()

  /** @param onCorrupt called with the key of a stored value that does not fit */
  constructor(
    name: string,
    definition: Pick<CollectionDefinition<never, Stored, Value>, 'schema' | 'migrate'>,
    onCorrupt: (key: string) => void,
  ) {
    this.#name = name
    this.#definition = definition
    this.#onCorrupt = onCorrupt
  }

  /** Whether values may differ from what is stored. */
  get isNeeded(): boolean {
    return this.#definition.schema !== undefined
  }

  /** Returns the value of what was loaded. @throws CacheError `ERR_CACHE_CODEC` if it does not fit the schema */
  async loaded(loaded: Stored | undefined): Promise<Value> {
    const { schema } = this.#definition
    if (schema === undefined || loaded === undefined) return loaded as unknown as Value
    const result = await schema['~standard'].validate(loaded)
    if (result.issues === undefined) return result.value
    const issues = describeIssues(result.issues)
    const message = `collection ${this.#name}: the value does not fit its schema: ${issues}`
    throw new CacheError('ERR_CACHE_CODEC', message)
  }

  async loadedMany(
    loaded: readonly (Stored | undefined)[],
  ): Promise<readonly (Stored | undefined)[]> {
    await Promise.all(loaded.map((each) => this.loaded(each)))
    return loaded
  }

  /** Returns the value of what was stored, migrated if necessary; `undefined` if it does not fit. */
  stored(key: string, stored: Stored): Awaitable<Value | undefined> {
    const { schema } = this.#definition
    if (schema === undefined) return stored as unknown as Value
    const known = this.#known.get(stored as object)
    if (known !== undefined) return known
    const result = schema['~standard'].validate(stored)
    return isThenable(result)
      ? Promise.resolve(result).then((done) => this.#accept(key, stored, done))
      : this.#accept(key, stored, result)
  }

  #accept(key: string, stored: Stored, result: SchemaResult<Value>): Awaitable<Value | undefined> {
    if (result.issues !== undefined) return this.#migrate(key, stored)
    if (isObject(stored) && canBeShared(stored, result.value)) this.#known.set(stored, result.value)
    return result.value
  }

  async #migrate(key: string, stored: Stored): Promise<Value | undefined> {
    const { schema, migrate } = this.#definition
    const migrated = await migrate?.(stored)
    const result =
      migrated === undefined ? undefined : await schema?.['~standard'].validate(migrated)
    if (result === undefined || result.issues !== undefined) {
      this.#onCorrupt(key)
      return undefined
    }
    return result.value
  }
}

/**
 * Whether all callers may receive what a schema has made of a value: that is the same the next time only if the value cannot
 * change any more, and no caller may change it for the others. What belongs to the application is not frozen.
 */
function canBeShared(stored: object, value: unknown): boolean {
  return Object.isFrozen(stored) && isFrozenDeeply(stored) && freezeDeeply(value)
}

/** Also a promise of another realm or of a library, which is not an instance of `Promise`. */
function isThenable<T extends object>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as Partial<Promise<T>>).then === 'function'
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
