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
  /** Creates a store. Does no I/O. @throws CacheError `ERR_CACHE_CONFIG` for invalid options */
  create(options: Options): CacheStore
  /** Reads the options from the environment. Adds each problem to `env` and continues, so that all are reported. */
  fromEnv(env: Env): Options
  /**
   * Returns a string that is equal for options that select the same keys, to detect roles that share a backend.
   * @default all options as JSON
   */
  backendId?(options: Options): string
}
