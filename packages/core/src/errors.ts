/**
 * Codes are stable, messages are free to improve. A mistake of the programmer (a key that is not a
 * string, a ttl of `NaN`) is a `TypeError` without a code.
 */
export type CacheErrorCode =
  /** A bad option or environment variable, an unknown driver, a package that is not installed. */
  | 'ERR_CACHE_CONFIG'
  /** The backend cannot be reached, or the connection was lost before it answered. */
  | 'ERR_CACHE_UNAVAILABLE'
  /** The deadline passed without an answer. The command may or may not have been carried out. */
  | 'ERR_CACHE_TIMEOUT'
  /** The backend answered no: credentials, throttling, read-only, out of memory, not a counter. */
  | 'ERR_CACHE_REJECTED'
  /** The value is larger than the backend (or an option) allows. */
  | 'ERR_CACHE_LIMIT'
  /** The value has no representation in the codec: a function, a cycle, a BigInt in JSON. */
  | 'ERR_CACHE_CODEC'
  /** The backend cannot do this at all, such as listing keys on memcached. */
  | 'ERR_CACHE_UNSUPPORTED'
  /** The lock is held by somebody else. */
  | 'ERR_CACHE_LOCKED'
  /** Used after `close()`. */
  | 'ERR_CACHE_CLOSED'

export interface CacheErrorOptions {
  readonly store?: string | undefined
  readonly operation?: string | undefined
  readonly key?: string | undefined
  /** Whether the same call may succeed later without a change. @default by code: unavailable, timeout and locked are */
  readonly retryable?: boolean | undefined
  readonly cause?: unknown
}

// A registered symbol, so that an error of another copy of this package is still recognised.
const brand = Symbol.for('stowage.CacheError')
const retryableCodes: ReadonlySet<CacheErrorCode> = new Set([
  'ERR_CACHE_UNAVAILABLE',
  'ERR_CACHE_TIMEOUT',
  'ERR_CACHE_LOCKED',
])

export class CacheError extends Error {
  override readonly name: string = 'CacheError'
  readonly code: CacheErrorCode
  /** Name of the driver that failed. */
  readonly store: string | undefined
  /** Method of the contract that failed. */
  readonly operation: string | undefined
  /** The storage key. Not enumerable, and never part of the message: it may be a session id. */
  declare readonly key: string | undefined
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

  /** `instanceof` that also holds across copies of this package. */
  static is(error: unknown): error is CacheError {
    return typeof error === 'object' && error !== null && brand in error
  }
}

/** Whether the backend did not answer, so that the call may succeed elsewhere or later. */
export function isUnreachable(error: unknown): error is CacheError {
  return (
    CacheError.is(error) &&
    (error.code === 'ERR_CACHE_UNAVAILABLE' || error.code === 'ERR_CACHE_TIMEOUT')
  )
}

/** The error of an `increment` that cannot be carried out: the stored value, or the sum, is not a safe integer. */
export function notACounter(
  store: string,
  key: string,
  reason: string,
  { retryable }: Pick<CacheErrorOptions, 'retryable'> = {},
): CacheError {
  return new CacheError('ERR_CACHE_REJECTED', `${store} increment failed: ${reason}.`, {
    store,
    operation: 'increment',
    key,
    retryable,
  })
}

/** The error of a payload that is larger than `limits.valueBytes`, with both sizes. */
export function valueTooLarge(
  store: string,
  operation: string,
  key: string,
  bytes: number,
  limit: number,
): CacheError {
  return new CacheError(
    'ERR_CACHE_LIMIT',
    `The value has ${bytes} bytes; the ${store} store takes at most ${limit}. Store less, or compress it.`,
    { store, operation, key },
  )
}

/** One thing that is wrong with the environment. */
export interface ConfigProblem {
  readonly variable: string
  /** As found, secrets masked; `undefined` when the variable is missing. */
  readonly value: string | undefined
  /** What is wrong and what to write instead. */
  readonly remedy: string
}

/** Everything that is wrong with the configuration, at once. */
export class ConfigError extends CacheError {
  override readonly name: string = 'ConfigError'
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[]) {
    super('ERR_CACHE_CONFIG', `The configuration is wrong:\n${problems.map(line).join('\n')}`)
    this.problems = problems
  }
}

function line({ variable, value, remedy }: ConfigProblem): string {
  return value === undefined ? `  ${variable}: ${remedy}` : `  ${variable}=${value}: ${remedy}`
}
