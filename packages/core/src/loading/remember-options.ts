import { checkOptionNames, warnOfShortTtl } from '../options/check-options.ts'
import type { Clock } from '../time/clock.ts'
import {
  type Duration,
  milliseconds,
  resolveTtl,
  type Ttl,
  wholeMilliseconds,
} from '../time/duration.ts'
import { maxTimerMs } from '../time/wait.ts'

/** Options of `remember`. Their defaults can be set for a cache: `new Cache(store, { remember: { lease: false } })`. */
export interface RememberOptions<T = unknown> {
  /** Time for which the value is fresh, also as a function of the loaded value. @default the cache's ttl */
  readonly ttl?: Ttl | ((value: T) => Ttl) | undefined
  /**
   * How long after the ttl a call returns the stale value at once and refreshes it in the background (RFC 5861).
   * @default 0
   */
  readonly staleWhileRevalidate?: Duration | undefined
  /** How long after the ttl a call returns the stale value if the load fails (RFC 5861). @default 0 */
  readonly staleIfError?: Duration | undefined
  /** Tags of the value, also as a function of the loaded value. See `invalidateTags`. @default none */
  readonly tags?: readonly string[] | ((value: T) => readonly string[]) | undefined
  /**
   * How long this call waits for a load. Then it returns the stale value if there is one, or else rejects with
   * `ERR_CACHE_TIMEOUT`. The load continues. @default no limit
   */
  readonly timeout?: Duration | undefined
  /** Rejects this call with the reason of the signal. Other calls that wait for the same load are not affected. */
  readonly signal?: AbortSignal | undefined
  /** How long a load may take. Then its signal aborts and its callers receive `ERR_CACHE_TIMEOUT`. @default '30s' */
  readonly loadTimeout?: Duration | undefined
  /**
   * Pause after a failed load, in all processes. Meanwhile calls return the stale value, or else reject with
   * `ERR_CACHE_LOAD`. @default '1s' if a stale value is returned, otherwise 0
   */
  readonly backoff?: Duration | undefined
  /** Share of the ttl that is subtracted at random, from 0 to 1, so that values do not expire together. @default 0 */
  readonly jitter?: number | undefined
  /**
   * How long other processes wait for a load of a process that has crashed. `false` loads and refreshes in each process
   * separately, and saves one or two round trips of each. @default '5s'
   */
  readonly lease?: Duration | false | undefined
  /** Loads the value even if a fresh one exists. @default false */
  readonly refresh?: boolean | undefined
  /**
   * `false` if the loader must not be called for an audit of the cache: because it has side effects, or each call returns
   * another value. @default true
   */
  readonly audit?: boolean | undefined
}

/** Options of `remember` that can have defaults for a cache. */
export type RememberDefaults = Omit<RememberOptions<never>, 'ttl' | 'tags' | 'signal' | 'refresh'>

const optionNames: Readonly<Record<keyof RememberOptions, true>> = {
  ttl: true,
  staleWhileRevalidate: true,
  staleIfError: true,
  tags: true,
  timeout: true,
  signal: true,
  loadTimeout: true,
  backoff: true,
  jitter: true,
  lease: true,
  refresh: true,
  audit: true,
}
const defaultLoadTimeout = 30_000
/** Milliseconds. */
export const defaultLease = 5_000
const defaultStaleBackoff = 1_000

/** The options of a load, with durations in milliseconds. */
export class LoadOptions<T> {
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  /** How long an item exists after the value has become stale. */
  readonly staleWindow: number
  /** The tags that are known before the load. */
  readonly tags: readonly string[]
  readonly loadTimeout: number
  /** `undefined` for none. */
  readonly lease: number | undefined
  readonly refresh: boolean
  readonly audit: boolean
  readonly #options: RememberOptions<T>
  readonly #defaultTtl: number | undefined
  readonly #clock: Clock

  /**
   * @param defaultTtl of the cache
   * @throws TypeError for an invalid or unknown option
   */
  constructor(options: RememberOptions<T>, defaultTtl: number | undefined, clock: Clock) {
    checkOptionNames('remember', options, optionNames, "remember(key, { ttl: '5m' }, load)")
    if (typeof options.tags === 'string') {
      throw new TypeError("remember: the tags must be an array, such as ['products'].")
    }
    const { staleWhileRevalidate = 0, staleIfError = 0, lease = defaultLease, tags } = options
    this.staleWhileRevalidate = wholeMilliseconds(staleWhileRevalidate)
    this.staleIfError = wholeMilliseconds(staleIfError)
    this.staleWindow = Math.max(this.staleWhileRevalidate, this.staleIfError)
    this.tags = tags === undefined || typeof tags === 'function' ? [] : tags
    this.loadTimeout = milliseconds(
      options.loadTimeout ?? defaultLoadTimeout,
      'remember: loadTimeout',
    )
    this.lease = lease === false ? undefined : checkLease(milliseconds(lease, 'remember: lease'))
    this.refresh = options.refresh === true
    this.audit = options.audit !== false
    this.#options = options
    this.#defaultTtl = defaultTtl
    this.#clock = clock
    checkJitter(options.jitter)
    warnOfShortTtl('ttl', options.ttl)
    if (typeof options.ttl !== 'function') this.#resolve(options.ttl)
  }

  /** The tags that depend on the value. */
  tagsOf(value: T): readonly string[] {
    const { tags } = this.#options
    return typeof tags === 'function' ? tags(value) : []
  }

  /** The ttl of a loaded value with jitter, in milliseconds; 0 if it is not stored, `undefined` if it never expires. */
  ttlOf(value: T, override?: Ttl): number | undefined {
    const { ttl, jitter = 0 } = this.#options
    const ms = this.#resolve(
      override !== undefined ? override : typeof ttl === 'function' ? ttl(value) : ttl,
    )
    return ms === undefined || jitter === 0 ? ms : Math.ceil(ms * (1 - jitter * Math.random()))
  }

  /** The pause after a failed load, in milliseconds. */
  backoff(hasStaleValue: boolean): number {
    const { backoff } = this.#options
    if (backoff !== undefined) return wholeMilliseconds(backoff)
    return hasStaleValue ? defaultStaleBackoff : 0
  }

  #resolve(ttl: Ttl | undefined): number | undefined {
    return ttl === undefined ? this.#defaultTtl : resolveTtl(ttl, this.#clock)
  }
}

function checkLease(ms: number): number {
  if (ms >= 1 && ms <= maxTimerMs) return Math.ceil(ms)
  throw new TypeError('remember: lease must be from 1 ms to 24 days, or false.')
}

function checkJitter(jitter = 0): void {
  if (jitter >= 0 && jitter <= 1) return
  throw new TypeError(`remember: jitter must be a number from 0 to 1, not ${String(jitter)}.`)
}
