import { lifetimeOf, type SessionCookie } from './session-cookie.ts'
import type { StoredSession } from './session-item.ts'

const maxTouchAfterMs = 60_000
const touchesPerLifetime = 20
/** Sessions this short must not end earlier than their last request says. */
const exactLifetimeMs = 60_000

export interface LifetimeOptions {
  readonly idleMs: number
  readonly absoluteMs: number
  readonly touchAfterMs: number | undefined
  /** Resolution of the ttl of the backend, in milliseconds. */
  readonly ttlStep: number
}

/** Determines when sessions end. */
export class Lifetime {
  readonly #options: LifetimeOptions

  constructor(options: LifetimeOptions) {
    this.#options = options
  }

  /** When a session expires that is used now, in epoch milliseconds. `Infinity` for never. */
  expiryOf(cookie: SessionCookie | undefined, created: number, now: number): number {
    const { idleMs, absoluteMs } = this.#options
    const idle = Math.ceil(lifetimeOf(cookie, now) ?? idleMs)
    return Math.min(now + idle, created + absoluteMs)
  }

  /**
   * Whether a session that the backend returned has expired nevertheless. Where the backend counts in seconds, a session
   * exists up to two of them longer; beyond that, the clocks of two processes differ, and the backend is right.
   */
  hasExpired({ expires, created }: StoredSession, now: number): boolean {
    const { ttlStep, absoluteMs } = this.#options
    if (now >= created + absoluteMs) return true
    return ttlStep > 1 && now >= expires && now < expires + 2 * ttlStep
  }

  /** Whether the expiry has moved so far that it has to be stored. */
  isExpiryDue({ expires }: StoredSession, next: number, now: number): boolean {
    if (next === expires) return false
    // Negative if the lifetime was shortened, or if the clock of the process that wrote it is fast.
    return !(Math.abs(next - expires) < this.#touchAfterMs(next - now))
  }

  #touchAfterMs(lifetimeMs: number): number {
    const touchAfter = lifetimeMs <= exactLifetimeMs ? 0 : lifetimeMs / touchesPerLifetime
    return this.#options.touchAfterMs ?? Math.min(maxTouchAfterMs, touchAfter)
  }
}
