import type { InvalidationBus } from '../bus.ts'
import type { CacheStore } from '../store.ts'
import type { Env } from './env.ts'

/**
 * A named factory of stores, the default export of every driver package. Its members are declared as methods, whose
 * parameters TypeScript compares bivariantly: a driver with any type of options is assignable to `Driver`.
 *
 * @example
 * const driver: Driver<MemoryOptions> = {
 *   name: 'mystore',
 *   create: (options) => memory({ maxEntries: options.maxEntries }),
 *   fromEnv: (env) => ({ maxEntries: env.integer('MYSTORE_MAX_ENTRIES', 1) }),
 * }
 * await driver.create({ maxEntries: 100 }).ping()
 */
export interface Driver<Options = unknown> {
  /** The name in `CACHE_DRIVER`. */
  readonly name: string
  /** Whether its stores keep nothing, so that the session role must not use them. @default false */
  readonly discards?: boolean
  /** Creates a store. Does no I/O. @throws CacheError `ERR_CACHE_CONFIG` for invalid options */
  create(options: Options): CacheStore
  /** Reads the options from the environment. Adds each problem to `env` and continues, so that all are reported. */
  fromEnv(env: Env): Options
  /**
   * Creates an invalidation bus on the backend that the environment selects, for `CACHE_BUS`. `kind` is what follows the
   * name of the driver, as in `redis-tracking`, or `''`. Returns `undefined` for an unknown kind. Does no I/O.
   */
  busFromEnv?(env: Env, kind: string): InvalidationBus | undefined
  /**
   * Returns a string that is equal for options that select the same keys, to detect roles that share a backend.
   * @default all options as JSON
   */
  backendId?(options: Options): string
  /**
   * Variables of other frameworks that are not read, and the variable that replaces each. If one is set without its
   * replacement, a warning names both.
   * @default none
   */
  readonly foreignVariables?: Readonly<Record<string, string>>
}
