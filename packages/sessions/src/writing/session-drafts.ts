import { CacheError, type Snapshot } from '@stowage/core'
import { JsonText } from '@stowage/core/internal'
import { checkCookie, withExpiry } from '../data/session-cookie.ts'
import {
  bytesOf,
  type SessionText,
  type StoredSession,
  toFields,
  toItemText,
} from '../data/session-item.ts'
import type { SessionContext } from '../session-context.ts'

/** A session that is about to be stored. */
export interface DraftSession extends StoredSession {
  /** Its lifetime from the moment when it was drafted. The clock of the process may be set before it is stored. */
  readonly lifetimeMs: number
}

const neverRotated = { rotated: Number.NaN, firstKey: undefined }

/** Whether the time of a session is over. */
export function isOver({ lifetimeMs }: DraftSession): boolean {
  return lifetimeMs <= 0
}

/** Drafts sessions, and stores them. */
export class SessionDrafts {
  readonly #context: SessionContext

  constructor(context: SessionContext) {
    this.#context = context
  }

  draft(
    text: SessionText,
    created: number,
    { rotated, firstKey }: Pick<StoredSession, 'rotated' | 'firstKey'> = neverRotated,
  ): DraftSession {
    const { clock, lifetime, users } = this.#context
    checkCookie(text.cookie)
    const now = clock.now()
    const began = Number.isNaN(created) ? now : created
    const expires = lifetime.expiryOf(text.cookie, began, now)
    const isListed = users !== undefined && users.userOf(toFields(text)) !== undefined
    const { body } = text
    const cookie = withExpiry(text.cookie, expires)
    return {
      text: { body, cookie },
      expires,
      created: began,
      isListed,
      lifetimeMs: expires - now,
      firstKey,
      rotated: Number.isNaN(rotated) ? began : rotated,
    }
  }

  /** @throws CacheError `ERR_CACHE_LIMIT`, which names the largest keys, if a session has more than `maxBytes` bytes */
  checkSize({ text }: DraftSession): void {
    const { cache, maxBytes } = this.#context
    // Most sessions are so small that they need not be measured.
    if (text.body.length * maxBytesPerCharacter + maxCookieBytes <= maxBytes) return
    const bytes = bytesOf(text)
    if (bytes <= maxBytes) return
    throw tooLarge(text, `${bytes} bytes, more than the ${maxBytes}`, cache.driver)
  }

  /** Stores a session in place of what was read. Resolves to `undefined` if that has changed. */
  async store(
    snapshot: Snapshot<unknown>,
    draft: DraftSession,
  ): Promise<Snapshot<unknown> | undefined> {
    this.checkSize(draft)
    const { cache } = this.#context
    const ttl = Number.isFinite(draft.lifetimeMs) ? draft.lifetimeMs : null
    try {
      return await snapshot.swap(new JsonText(toItemText(draft)), { ttl })
    } catch (error) {
      if (!CacheError.is(error) || error.code !== 'ERR_CACHE_LIMIT') throw error
      const amount = 'more bytes than the backend or a limit of the cache'
      throw tooLarge(draft.text, amount, cache.driver, error)
    }
  }
}

const shownKeys = 3
/** Browsers accept no larger cookies (RFC 6265, 6.1), so that a session has hardly more for its own. */
const maxCookieBytes = 4096
const maxBytesPerCharacter = 3

/** The error of a session that does not fit. `amount` continues "The session has". */
function tooLarge(text: SessionText, amount: string, store: string, cause?: unknown): CacheError {
  const largest = Object.entries(toFields(text))
    .map(([key, value]) => [key, Buffer.byteLength(JSON.stringify(value))] as const)
    .sort(([, a], [, b]) => b - a)
    .slice(0, shownKeys)
    .map(([key, bytes]) => `${key} (${bytes} bytes)`)
  const message =
    `The session has ${amount} that are allowed, and was not stored. Its largest keys: ${largest.join(', ')}. ` +
    'Keep large data outside the session, or raise maxBytes.'
  return new CacheError('ERR_CACHE_LIMIT', message, { store, operation: 'save', cause })
}
