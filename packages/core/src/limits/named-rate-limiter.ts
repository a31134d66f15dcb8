import { channels, type LimitEvent, publishError, reject } from '../channels.ts'
import { CacheError } from '../errors.ts'
import type { Clock } from '../time/clock.ts'
import type {
  LimitPolicy,
  RateLimiter,
  RateLimitOptions,
  RateLimitResult,
  Verdict,
} from './limit.ts'

/** After a failure of the store, a call may be repeated soon. */
const retryAfterFailureMs = 1_000

export interface RateLimiterContext {
  readonly policy: LimitPolicy
  readonly onError: NonNullable<RateLimitOptions['onError']>
  readonly clock: Clock
  /** Names of the cache, of its driver and of the limiter, for events. */
  readonly cache: string
  readonly store: string
  readonly name: string
}

/** A rate limiter with a policy, and a decision for failures of the store. */
export class NamedRateLimiter implements RateLimiter {
  readonly #context: RateLimiterContext

  constructor(context: RateLimiterContext) {
    this.#context = context
  }

  async consume(key: string, cost = 1): Promise<RateLimitResult> {
    checkCost(cost)
    checkKey(key)
    try {
      return this.#publish(key, await this.#context.policy.consume(key, cost))
    } catch (error) {
      return this.#publish(key, this.#decide(key, error, cost), error)
    }
  }

  async peek(key: string): Promise<RateLimitResult> {
    checkKey(key)
    try {
      return this.#result(await this.#context.policy.peek(key))
    } catch (error) {
      return this.#result(this.#decide(key, error, 0))
    }
  }

  async undo(key: string, cost = 1): Promise<void> {
    checkCost(cost)
    checkKey(key)
    await this.#publishFailure(key, this.#context.policy.undo(key, cost))
  }

  async reset(key: string): Promise<void> {
    checkKey(key)
    await this.#publishFailure(key, this.#context.policy.reset(key))
  }

  #result({ allowed, remaining, resetMs, retryMs }: Verdict): RateLimitResult {
    const { policy, clock } = this.#context
    const resetAt = clock.now() + resetMs
    return { allowed, limit: policy.capacity, remaining, resetAt, retryAfterMs: retryMs }
  }

  #publish(key: string, verdict: Verdict, error?: unknown): RateLimitResult {
    if (channels.limit.hasSubscribers) {
      const { allowed, remaining } = verdict
      const failure = error === undefined ? {} : { error }
      channels.limit.publish({
        ...this.#event(key),
        allowed,
        remaining,
        ...failure,
      } satisfies LimitEvent)
    }
    return this.#result(verdict)
  }

  /** Decides without the store, as the application has chosen. */
  #decide(key: string, error: unknown, cost: number): Verdict {
    const { policy, onError } = this.#context
    const isOutage = CacheError.is(error) && error.code !== 'ERR_CACHE_CLOSED'
    if (onError === 'throw' || !isOutage) return reject(this.#event(key), 'rateLimit', error)
    publishError(this.#event(key), error)
    const allowed = onError === 'allow'
    const retryMs = allowed ? 0 : retryAfterFailureMs
    const remaining = allowed ? Math.max(0, policy.capacity - cost) : 0
    return { allowed, remaining, resetMs: retryAfterFailureMs, retryMs }
  }

  #publishFailure<T>(key: string, result: Promise<T>): Promise<T> {
    return result.catch((error) => reject(this.#event(key), 'rateLimit', error))
  }

  #event(key: string): Pick<LimitEvent, 'cache' | 'store' | 'key'> {
    const { cache, store, name } = this.#context
    return { cache, store, key: `${name}:${key}` }
  }
}

function checkCost(cost: number): void {
  if (Number.isSafeInteger(cost) && cost > 0) return
  throw new TypeError(`The cost must be a positive integer, not ${String(cost)}.`)
}

function checkKey(key: string): void {
  if (typeof key === 'string' && key !== '') return
  throw new TypeError('The key of a rate limit must be a non-empty string.')
}
