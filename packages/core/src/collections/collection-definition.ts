import type { LoadContext, LoadManyContext } from '../loading/load-context.ts'
import { checkOptionNames } from '../options/check-options.ts'
import type { Awaitable } from '../store.ts'
import type { Duration, Ttl } from '../time/duration.ts'
import type { StandardSchema } from './standard-schema.ts'

/**
 * How the values of a collection are loaded, stored and cached. `Id` identifies a value, `Stored` is what the source
 * returns and the cache stores, and `Value` what callers receive: the same without a schema.
 */
export interface CollectionDefinition<Id, Stored, Value> {
  /**
   * Returns the part of the key that identifies a value. Needed for ids that are not strings, finite numbers, booleans or
   * bigints. @default String
   */
  readonly key?: ((id: Id) => string) | undefined
  /** Time for which a value is fresh. @default the ttl of the cache */
  readonly ttl?: Ttl | undefined
  /** How long after the ttl the stale value is returned while it is refreshed in the background. @default 0 */
  readonly staleWhileRevalidate?: Duration | undefined
  /** How long after the ttl the stale value is returned if the load fails. @default 0 */
  readonly staleIfError?: Duration | undefined
  /** Tags of each value. See `invalidateTags`. @default none */
  readonly tags?: readonly string[] | undefined
  /** `false` if `load` must not be called for an audit of the cache, see `RememberOptions`. @default true */
  readonly audit?: boolean | undefined
  /**
   * Whether `set` and `delete` mark the key while `save` or `remove` runs, as `cache.changing` does: no read that begins after
   * the save returns an older value, even if this process ends before it has written the new one. Costs one more round trip
   * for each write, and nothing for reads. @default false
   */
  readonly exact?: boolean | undefined
  /** Part of the keys. Change it if older values must no longer be read. @default none */
  readonly version?: string | number | undefined
  /** Validates loaded and stored values. */
  readonly schema?: StandardSchema<Stored, Value> | undefined
  /** Converts a stored value that does not fit the schema. `undefined` makes it a miss. */
  readonly migrate?: ((stored: unknown) => Awaitable<NoInfer<Stored> | undefined>) | undefined
  /** Loads a value. `undefined` means that there is none, and is not stored; `null` is. */
  readonly load: (id: Id, context: LoadContext) => Awaitable<Stored | undefined>
  /** Loads several values with one request. Returns them by id, or in the order of the ids. @default `load` for each */
  readonly loadMany?:
    | ((
        ids: readonly NoInfer<Id>[],
        context: LoadManyContext,
      ) => Awaitable<
        ReadonlyMap<NoInfer<Id>, NoInfer<Stored>> | readonly (NoInfer<Stored> | undefined)[]
      >)
    | undefined
  /** Stores a value in the source. If it returns a value, the cache stores that instead. */
  readonly save?: // biome-ignore lint/suspicious/noConfusingVoidType: it may return a value or nothing
    | ((id: NoInfer<Id>, value: NoInfer<Stored>) => Awaitable<NoInfer<Stored> | undefined | void>)
    | undefined
  /** Deletes a value in the source. */
  readonly remove?: ((id: NoInfer<Id>) => unknown) | undefined
}

const names: Readonly<Record<keyof CollectionDefinition<unknown, unknown, unknown>, true>> = {
  key: true,
  ttl: true,
  staleWhileRevalidate: true,
  staleIfError: true,
  tags: true,
  audit: true,
  exact: true,
  version: true,
  schema: true,
  migrate: true,
  load: true,
  loadMany: true,
  save: true,
  remove: true,
}

const functionNames = ['key', 'loadMany', 'save', 'remove', 'migrate'] as const
const example = "collection('user', { load: findUser })"

/** @throws TypeError for an unknown or missing member, and for one that is not what it must be */
export function checkDefinition<Id, Stored, Value>(
  name: string,
  definition: CollectionDefinition<Id, Stored, Value>,
): CollectionDefinition<Id, Stored, Value> {
  checkOptionNames(`collection ${name}`, definition, names, example)
  const { load, schema } = definition
  if (typeof load !== 'function') {
    throw new TypeError(`collection ${name}: load must be a function.`)
  }
  for (const member of functionNames) {
    if (definition[member] === undefined || typeof definition[member] === 'function') continue
    throw new TypeError(`collection ${name}: ${member} must be a function.`)
  }
  if (schema === undefined || typeof schema?.['~standard']?.validate === 'function')
    return definition
  throw new TypeError(
    `collection ${name}: schema must be one of a library with Standard Schema, such as zod from 3.24 on, valibot and arktype.`,
  )
}
