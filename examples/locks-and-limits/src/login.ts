import { createHash, timingSafeEqual } from 'node:crypto'
import type { Cache, RateLimiter } from '@stowage/core'

export type LoginResult =
  | { readonly outcome: 'welcome' | 'wrong password'; readonly attemptsLeft: number }
  | { readonly outcome: 'too many attempts'; readonly retryAfterMs: number }

// An example has one password. An application stores salted hashes.
const password = 'stowage'

/** A login that allows five attempts per minute and user, in all processes together. */
export class LimitedLogin {
  readonly #limiter: RateLimiter

  constructor(cache: Cache) {
    this.#limiter = cache.rateLimit('login', {
      limit: 5,
      window: '1m',
      policy: 'sliding',
      // Without the store, nobody could count the attempts.
      onError: 'deny',
    })
  }

  async attempt(user: string, entered: string): Promise<LoginResult> {
    const { allowed, remaining, retryAfterMs } = await this.#limiter.consume(user)
    if (!allowed) return { outcome: 'too many attempts', retryAfterMs }
    if (!isPassword(entered)) return { outcome: 'wrong password', attemptsLeft: remaining }
    // Only attempts that fail count.
    await this.#limiter.reset(user)
    return { outcome: 'welcome', attemptsLeft: remaining }
  }
}

/** Takes the same time for every password. */
function isPassword(entered: string): boolean {
  const [a, b] = [entered, password].map((text) => createHash('sha256').update(text).digest())
  return timingSafeEqual(a as Buffer, b as Buffer)
}
