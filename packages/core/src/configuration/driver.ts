import type { CacheStore } from '../store.ts'
import type { Env } from './env.ts'

/**
 * A named way to make stores; the default export of every driver package. Declared with methods, so that a
 * driver of any options fits where options are not known.
 */
export interface Driver<Options = unknown> {
  /** As written in `CACHE_DRIVER`. */
  readonly name: string
  /** Makes a store. Does no I/O. @throws CacheError `ERR_CACHE_CONFIG` for options that cannot work */
  create(options: Options): CacheStore
  /** Reads the options from the environment. Reports what is wrong to `env` and goes on, so that all problems are known at once. */
  fromEnv(env: Env): Options
  /** The same text for options that lead to the same keys, so that two roles are known to share them. @default all options */
  backendId?(options: Options): string
}
