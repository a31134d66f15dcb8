/**
 * Codes are stable, messages may change. A programming error (a key that is not a string, a ttl of `NaN`) is a
 * `TypeError` without a code.
 */
export type CacheErrorCode =
  /** An invalid option or environment variable, an unknown driver, or a package that is not installed. */
  | 'ERR_CACHE_CONFIG'
  /** The backend is unreachable, or the connection was lost before the reply. */
  | 'ERR_CACHE_UNAVAILABLE'
  /** No reply before the deadline. The command may or may not have been executed. */
  | 'ERR_CACHE_TIMEOUT'
  /** The backend rejected the command: credentials, throttling, read-only, out of memory, not a counter. */
  | 'ERR_CACHE_REJECTED'
  /** The value is larger than the backend, or an option, allows. */
  | 'ERR_CACHE_LIMIT'
  /** The codec cannot represent the value: a function, a cycle, or a BigInt in JSON. */
  | 'ERR_CACHE_CODEC'
  /** The backend or the codec does not support the operation: memcached cannot list its keys. */
  | 'ERR_CACHE_UNSUPPORTED'
  /** A loader failed recently, and its `backoff` has not ended. */
  | 'ERR_CACHE_LOAD'
  /** A lock, or every slot of a concurrency limit, is held by others; or a lock that was held is lost. */
  | 'ERR_CACHE_LOCKED'
  /** The cache or store was used after `close()`. */
  | 'ERR_CACHE_CLOSED'

export interface CacheErrorOptions {
  /** Name of the driver. */
  readonly store?: string | undefined
  /** Method of the store contract. */
  readonly operation?: string | undefined
  /** The storage key. */
  readonly key?: string | undefined
  /** Whether the same call may succeed later. @default true for `ERR_CACHE_UNAVAILABLE` and `ERR_CACHE_TIMEOUT` */
  readonly retryable?: boolean | undefined
  readonly cause?: unknown
}

// A registered symbol, so that errors of another copy of this package are recognised.
const brand = Symbol.for('stowage.CacheError')
const retryableCodes: ReadonlySet<CacheErrorCode> = new Set([
  'ERR_CACHE_UNAVAILABLE',
  'ERR_CACHE_TIMEOUT',
])

/**
 * The error of every failed cache operation.
 *
 * @example
 * try {
 *   await cache.set('user:1', { name: 'Ada' })
 * } catch (error) {
 *   if (!CacheError.is(error)) throw error
 *   console.error(error.code, error.store, error.operation, error.retryable)
 * }
 */
export class CacheError extends Error {
  override readonly name: string = 'CacheError'
  readonly code: CacheErrorCode
  /** Name of the driver. */
  readonly store: string | undefined
  /** Method of the store contract that failed. */
  readonly operation: string | undefined
  /** The storage key. Not enumerable and never part of the message, because it may be a session id. */
  declare readonly key: string | undefined
  /** Whether the same call may succeed later. */
  readonly retryable: boolean

  constructor(code: CacheErrorCode, message: string, options: CacheErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.store = options.store
    this.operation = options.operation
    this.retryable = options.retryable ?? retryableCodes.has(code)
    Object.defineProperty(this, 'key', { value: options.key, enumerable: false })
    Object.defineProperty(this, brand, { value: true, enumerable: false })
  }

  /** Like `instanceof`, but also recognises errors of another installed copy of this package. */
  static is(error: unknown): error is CacheError {
    return typeof error === 'object' && error !== null && brand in error
  }

  /**
   * Returns the error of another call that has failed for the same reason: a copy, whose stack begins here.
   *
   * @example
   * const failed = new CacheError('ERR_CACHE_UNAVAILABLE', 'mystore getMany failed', { key: 'a' })
   * console.log(CacheError.forCall(failed, { operation: 'get', key: 'b' }).key) // b
   */
  static forCall(
    error: CacheError,
    call: Pick<CacheErrorOptions, 'store' | 'operation' | 'key' | 'cause'>,
  ): CacheError {
    const { code, message, store, operation, key, retryable, cause } = error
    const options = { store, operation, key, retryable, cause, ...call }
    return new CacheError(code, message, options)
  }

  /** What `JSON.stringify` writes: neither the key nor the stack nor the cause. */
  toJSON(): object {
    const { name, code, message, store, operation, retryable } = this
    return { name, code, message, store, operation, retryable }
  }
}

/** A problem with an environment variable. */
export interface ConfigProblem {
  readonly variable: string
  /** The value, with secrets masked; `undefined` if the variable is not set. */
  readonly value: string | undefined
  /** The problem and its remedy, as the continuation of `VARIABLE=value: `. */
  readonly remedy: string
  /** The kind of problem, where tools distinguish it. */
  readonly code?: ConfigProblemCode | undefined
}

/**
 * `misspelt`: the variable is not read, and the default driver would be used. `prefix-overlap`: cache and sessions share a
 * backend, and clearing one would delete entries of the other. `package-missing`: a driver's package is not installed.
 */
export type ConfigProblemCode = 'misspelt' | 'prefix-overlap' | 'package-missing'

/**
 * Reports all problems with the configuration together.
 *
 * @example
 * const registry = new DriverRegistry({ memory: () => import('@stowage/memory') })
 * await cachesFromEnv(process.env, registry).catch((error: unknown) => {
 *   if (!(error instanceof ConfigError)) throw error
 *   for (const { variable, remedy } of error.problems) console.error(variable, remedy)
 *   process.exit(1)
 * })
 */
export class ConfigError extends CacheError {
  override readonly name: string = 'ConfigError'
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[]) {
    super('ERR_CACHE_CONFIG', `Invalid configuration:\n${problems.map(toLine).join('\n')}`)
    this.problems = problems
  }

  override toJSON(): object {
    return { ...super.toJSON(), problems: this.problems }
  }
}

function toLine({ variable, value, remedy }: ConfigProblem): string {
  return value === undefined ? `  ${variable}: ${remedy}` : `  ${variable}=${value}: ${remedy}`
}
