import { CacheError, type Snapshot } from '@stowage/core'
import { JsonText } from '@stowage/core/internal'
import { checkCookie, withExpiry } from '../data/session-cookie.ts'
import { type StoredSession, toItemText } from '../data/session-item.ts'
import { assertSize, tooLarge } from '../data/session-size.ts'
import { type SessionText, toFields } from '../data/session-text.ts'
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
    const { body, repeatsExpiry } = text
    const cookie = withExpiry(text.cookie, expires)
    return {
      text: { body, cookie, repeatsExpiry },
      ...{ expires, created: began, isListed, lifetimeMs: expires - now, firstKey },
      rotated: Number.isNaN(rotated) ? began : rotated,
    }
  }

  /** Stores a session in place of what was read. Resolves to `undefined` if that has changed. */
  async store(
    snapshot: Snapshot<unknown>,
    draft: DraftSession,
  ): Promise<Snapshot<unknown> | undefined> {
    const { cache, maxBytes } = this.#context
    assertSize(draft.text, maxBytes, cache.driver)
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
