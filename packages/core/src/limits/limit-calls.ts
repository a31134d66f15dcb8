import { escapeColons, reservedName } from '../keys.ts'
import type { LockContext } from '../locks/lock-context.ts'
import {
  checkChoice,
  checkInteger,
  checkOptionNames,
  checkTimeout,
  configError,
  warnOfShortTtl,
} from '../options/check-options.ts'
import type { CacheRoot } from '../scope/cache-root.ts'
import type { Clock } from '../time/clock.ts'
import { milliseconds } from '../time/duration.ts'
import { BucketLimit } from './bucket-limit.ts'
import {
  type ConcurrencyLimit,
  type ConcurrencyOptions,
  type LimitPolicy,
  type LimitStore,
  maxInFlightMs,
  type RateLimiter,
  type RateLimitOptions,
} from './limit.ts'
import { NamedRateLimiter } from './named-rate-limiter.ts'
import { SlotLimit } from './slot-limit.ts'
import { WindowLimit } from './window-limit.ts'

const policies = ['fixed', 'sliding', 'bucket'] as const
const errorChoices = ['throw', 'allow', 'deny'] as const
const maxSlots = 1_000
const defaultTtl = '30s'
const rateOptionNames = {
  limit: true,
  window: true,
  policy: true,
  burst: true,
  onError: true,
} as const
const rateExample = "rateLimit(name, { limit: 5, window: '1m' })"
const concurrencyOptionNames = { limit: true, ttl: true } as const
const concurrencyExample = 'concurrency(name, { limit: 2 })'

export interface LimitCallsOptions {
  readonly root: CacheRoot
  readonly clock: Clock
  /** The prefix of the namespace within the root cache. */
  readonly path: string
  /** Name of the cache, for events. */
  readonly cache: string
  /** Where slots are taken. */
  readonly locks: LockContext
}

/** Creates the limits of a cache. */
export class LimitCalls {
  readonly #options: LimitCallsOptions
  readonly #limitStore: LimitStore

  constructor(options: LimitCallsOptions) {
    const { root, clock } = options
    this.#options = options
    this.#limitStore = {
      store: root.directStore,
      keys: root.reservedKeys('limit'),
      time: root.time,
      clock,
      slackMs: root.clockUncertainty + maxInFlightMs,
    }
  }

  rateLimit(name: string, options: RateLimitOptions): RateLimiter {
    checkOptionNames('rateLimit', options, rateOptionNames, rateExample)
    const { onError = 'throw' } = options
    const { clock, cache } = this.#options
    return new NamedRateLimiter({
      policy: this.#policy(name, options),
      onError: checkChoice('rateLimit: onError', onError, errorChoices),
      clock,
      cache,
      store: this.#limitStore.store.name,
      name,
    })
  }

  concurrency(name: string, options: ConcurrencyOptions): ConcurrencyLimit {
    checkOptionNames('concurrency', options, concurrencyOptionNames, concurrencyExample)
    const { ttl = defaultTtl } = options
    warnOfShortTtl('concurrency: ttl', ttl)
    const limit = checkInteger('concurrency: limit', options.limit, 1, maxSlots)
    const { keys } = this.#limitStore
    const prefix = `${this.#id(name)}:c:`
    return new SlotLimit(this.#options.locks, {
      name,
      queueKey: keys.toStorageKey(prefix),
      slotKeys: Array.from({ length: limit }, (_, slot) => keys.toStorageKey(prefix + slot)),
      ttl: checkTimeout('concurrency: ttl', ttl),
    })
  }

  #policy(name: string, { limit, window, policy = 'fixed', burst }: RateLimitOptions): LimitPolicy {
    checkInteger('rateLimit: limit', limit, 1)
    checkChoice('rateLimit: policy', policy, policies)
    warnOfShortTtl('rateLimit: window', window)
    const windowMs = checkWindow(milliseconds(window, 'rateLimit: window'))
    // Counters of another policy or window have other names, so counting starts at zero after a change of the configuration.
    const prefix = `${this.#id(name)}:${policy[0]}${windowMs.toString(36)}:`
    if (policy === 'bucket') {
      const capacity = burst === undefined ? limit : checkInteger('rateLimit: burst', burst, 1)
      return new BucketLimit(this.#limitStore, prefix, capacity, windowMs / limit)
    }
    if (burst !== undefined) throw configError("rateLimit: burst needs the policy 'bucket'.")
    return new WindowLimit(this.#limitStore, prefix, limit, windowMs, policy === 'sliding')
  }

  /** Without colons: behind it follow keys that a visitor may have chosen. */
  #id(name: string): string {
    return escapeColons(reservedName(this.#options.path, name))
  }
}

function checkWindow(ms: number): number {
  if (ms >= 1 && Number.isSafeInteger(Math.ceil(ms))) return Math.ceil(ms)
  throw configError(`rateLimit: window must be at least 1 ms, not ${ms}.`)
}
