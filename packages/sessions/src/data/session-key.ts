import { hash } from 'node:crypto'
import { remembering } from '@stowage/core/internal'

const hashPrefix = 'v1:'
/** That of the keys of the lists of users. */
export const listPrefix = 'u1:'
const handlePattern = /^v1:[\w-]{43}$/
/** A request needs the key of its session several times, and a session is used by several requests. */
const recentHash = remembering(toHash, 4_000)
/** The keys of longer ids are not remembered, in characters. */
const maxRecentId = 256

/**
 * Returns the key of a session: `v1:` and the SHA-256 digest of its id. So a copy of the stored keys does not contain
 * ids, with which the sessions could be used. A digest without a secret is sufficient, because an id of 128 or more
 * random bits cannot be guessed from it.
 */
export function keyOfId(id: string): string {
  if (typeof id !== 'string' || id === '') {
    throw new TypeError('The id of a session must be a non-empty string.')
  }
  return id.length > maxRecentId ? toHash(id) : recentHash(id)
}

function toHash(id: string): string {
  return hashPrefix + hash('sha256', id, 'base64url')
}

/**
 * Returns the key under which a session is stored, given its id or that key. For tools, which must not show ids.
 *
 * @example
 * const { state } = await inspectKey(cache, sessionKey('the id in the cookie'))
 * console.log(state)
 */
export function sessionKey(id: string): string {
  return isSessionKey(id) ? id : keyOfId(id)
}

/** Whether a text is a key of {@link keyOfId}, as lists of sessions contain it. */
export function isSessionKey(text: string): boolean {
  return handlePattern.test(text)
}

/**
 * Whether a session may be read under its id. An id that looks like a key is never read: with a copy of the stored keys,
 * it would open the session of that key, or end those of a list.
 */
export function isPlainKey(id: string): boolean {
  return !id.startsWith(hashPrefix) && !id.startsWith(listPrefix)
}
