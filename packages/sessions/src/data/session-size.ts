import { CacheError } from '@stowage/core'
import { bytesOf, type SessionText, toFields } from './session-text.ts'

const shownKeys = 3
/** Browsers accept no larger cookies (RFC 6265, 6.1), so that a session has hardly more for its own. */
const maxCookieBytes = 4096
const maxBytesPerCharacter = 3

/** @throws CacheError `ERR_CACHE_LIMIT`, which names the largest keys, if the session has more than `maxBytes` bytes */
export function assertSize(text: SessionText, maxBytes: number, store: string): void {
  // Most sessions are so small that they need not be measured.
  if (text.body.length * maxBytesPerCharacter + maxCookieBytes <= maxBytes) return
  const bytes = bytesOf(text)
  if (bytes > maxBytes) throw tooLarge(text, `${bytes} bytes, more than the ${maxBytes}`, store)
}

/** The error of a session that does not fit. `amount` continues "The session has". */
export function tooLarge(
  text: SessionText,
  amount: string,
  store: string,
  cause?: unknown,
): CacheError {
  const largest = Object.entries(toFields(text))
    .map(([key, value]) => [key, Buffer.byteLength(JSON.stringify(value) ?? '')] as const)
    .sort(([, a], [, b]) => b - a)
    .slice(0, shownKeys)
    .map(([key, bytes]) => `${key} (${bytes} bytes)`)
  const message =
    `The session has ${amount} that are allowed, and was not stored. Its largest keys: ${largest.join(', ')}. ` +
    'Keep large data outside the session, or raise maxBytes.'
  return new CacheError('ERR_CACHE_LIMIT', message, { store, operation: 'save', cause })
}
