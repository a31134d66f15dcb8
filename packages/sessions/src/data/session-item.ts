import { isJsonObject } from './json-object.ts'
import { isSessionCookie } from './session-cookie.ts'
import {
  joinItem,
  type SessionText,
  type Stamp,
  StoredText,
  splitFields,
  stampKey,
  textOf,
} from './session-text.ts'

const version = 1
const listedMark = 1

/** A session as it is stored. */
export interface StoredSession {
  readonly text: SessionText
  /** When it expires, in epoch milliseconds by the clock of the process that wrote it. `Infinity` for never. */
  readonly expires: number
  /** When it began, in epoch milliseconds. `NaN` if it was written by another program. */
  readonly created: number
  /** Whether it exists only as long as its user's index lists it. */
  readonly isListed: boolean
  /** When it got its id, in epoch milliseconds. */
  readonly rotated: number
  /** The key that it had first, if it has another one now. */
  readonly firstKey: string | undefined
}

/**
 * Returns the JSON of the value to store: a stamp, `[version, expires, created]`, followed by `1` if the session is listed
 * and, if it has had another id, by the moment when it got its id and by the key that it had first; and the fields of the
 * session.
 */
export function toItemText(session: StoredSession): string {
  return joinItem(stampOf(session), session.text)
}

function stampOf({ expires, created, isListed, rotated, firstKey }: StoredSession): Stamp {
  const end = Number.isFinite(expires) ? Math.ceil(expires) : null
  const stamp: (number | string | null)[] = [version, end, Math.floor(created)]
  const hasRotated = rotated !== created || firstKey !== undefined
  if (isListed || hasRotated) stamp.push(isListed ? listedMark : 0)
  if (hasRotated) stamp.push(Math.floor(rotated))
  if (firstKey !== undefined) stamp.push(firstKey)
  return stamp
}

/** A session that was read, and its fields. Those of a store that keeps values by reference must not be changed. */
export interface ParsedItem {
  readonly session: StoredSession
  readonly fields: Record<string, unknown>
}

/**
 * Returns the session of a stored value; `undefined` if it is not a session, or one of a newer version. A value without a
 * stamp is one of another program: its expiry and beginning are not known (`NaN`).
 *
 * @param json the JSON of the value, if it is known
 */
export function parseItem(value: unknown, json?: string): ParsedItem | undefined {
  if (!isJsonObject(value)) return undefined
  const stamp = value[stampKey]
  const times = stamp === undefined ? unknownTimes : parseStamp(stamp)
  const { cookie } = value
  if (times === undefined || !(cookie === undefined || isSessionCookie(cookie))) return undefined
  try {
    const isJson = json !== undefined
    const split = isJson && cookie ? splitFields(value, { ...cookie }) : splitFields(value)
    const text = isJson ? new StoredText(json, stamp, split) : textOf(split)
    const fields = split.rest
    if (cookie !== undefined) fields.cookie = cookie
    if (split.repeatsExpiry) fields.expires = value.expires
    const { expires, created, isListed, rotated, firstKey } = times
    return { session: { text, expires, created, isListed, rotated, firstKey }, fields }
  } catch {
    return undefined // Another program has stored values that JSON does not have.
  }
}

const unknownTimes = {
  ...{ expires: Number.NaN, created: Number.NaN, rotated: Number.NaN },
  isListed: false,
  firstKey: undefined,
}

function parseStamp(stamp: unknown): Omit<StoredSession, 'text'> | undefined {
  if (!Array.isArray(stamp)) return undefined
  const [found, expires, created, listed, rotated = created, firstKey] = stamp
  if (found !== version || !Number.isSafeInteger(created)) return undefined
  if (expires !== null && !Number.isSafeInteger(expires)) return undefined
  if (!Number.isSafeInteger(rotated)) return undefined
  return {
    ...{ expires: expires ?? Infinity, created, isListed: listed === listedMark, rotated },
    firstKey: typeof firstKey === 'string' ? firstKey : undefined,
  }
}

/** Longer than any request that has read a session before it was destroyed or got another id, in milliseconds. */
export const longestRequestMs = 3_600_000

/**
 * A value that reads as a missing session, and that no new session replaces. It is stored instead of a session that ended
 * while it was being moved from another key.
 */
export const tombstone: Readonly<Record<string, unknown>> = { [stampKey]: ['ended'] }

const movedMark = 'moved'

/**
 * What an old id leads to after a rotation: the key of the session, and nothing of the session itself. It can be read until
 * `until`, in epoch milliseconds. It exists longer, so that a slow request that has read the session before finds it to end
 * it.
 */
export function pointerTo(key: string, until: number): Readonly<Record<string, unknown>> {
  return { [stampKey]: [movedMark, key, Math.floor(until)] }
}

/** The key that a stored value leads to at the time `now`; `undefined` if it is not a pointer, or too old. */
export function movedTo(value: unknown, now: number = -Infinity): string | undefined {
  const stamp = isJsonObject(value) ? value[stampKey] : undefined
  if (!Array.isArray(stamp) || stamp[0] !== movedMark || now >= Number(stamp[2])) return undefined
  return typeof stamp[1] === 'string' && stamp[1] !== '' ? stamp[1] : undefined
}
