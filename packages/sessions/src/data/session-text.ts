import { isJsonObject, type JsonObject, parseObject } from './json-object.ts'
import { type SessionCookie, timeOf } from './session-cookie.ts'

/** The key under which items keep what the engine itself needs. */
export const stampKey = '~'

/**
 * The JSON of a session at one moment. The cookie is kept apart, because its expiry changes in each request without a
 * change of the session.
 */
export interface SessionText {
  /** The JSON of everything but the cookie. */
  readonly body: string
  readonly cookie: SessionCookie | undefined
  /** Whether the session repeats the expiry of its cookie in `expires`, as those of @fastify/session do. */
  readonly repeatsExpiry: boolean
}

/** A session whose fields have not been converted to JSON. */
interface SplitSession {
  /** The fields without the cookie. */
  readonly rest: Record<string, unknown>
  readonly cookie: SessionCookie | undefined
  readonly repeatsExpiry: boolean
}

/**
 * Converts a session to its JSON.
 *
 * @throws TypeError if it is not an object, has the reserved key, or has no JSON representation
 */
export function toText(session: object): SessionText {
  const fields = asFields(session)
  const reserved = fields[stampKey]
  if (reserved !== undefined && toJson(reserved) !== undefined) {
    throw new TypeError(`A session must not have the key "${stampKey}", which is reserved.`)
  }
  return textOf(splitFields(fields))
}

/** The JSON of a session that was split. */
export function textOf({ rest, cookie, repeatsExpiry }: SplitSession): SessionText {
  return { body: toJson(rest) as string, cookie, repeatsExpiry }
}

/**
 * Splits the fields of a session. Those with the reserved key, and `__proto__`, are left out.
 *
 * @param plainCookie a copy of the cookie, as `JSON.parse` would return it
 */
export function splitFields(
  fields: Readonly<Record<string, unknown>>,
  plainCookie: unknown = toPlainCookie(fields.cookie),
): SplitSession {
  const rest: Record<string, unknown> = {}
  for (const key of Object.keys(fields)) if (!unusualKeys.has(key)) rest[key] = fields[key]
  const cookie = plainCookie as SessionCookie | undefined
  const { expires } = rest
  const repeatsExpiry =
    expires !== undefined && isJsonObject(cookie) && timeOf(expires) === timeOf(cookie.expires)
  if (repeatsExpiry) delete rest.expires
  return { rest, cookie, repeatsExpiry }
}

/** The cookie of a session, as `toText` returns it. */
export function cookieOf(session: object): SessionCookie | undefined {
  return toPlainCookie(asFields(session).cookie) as SessionCookie | undefined
}

const unusualKeys: ReadonlySet<string> = new Set(['cookie', stampKey, '__proto__'])

/** A cookie as `JSON.parse` would return it, as far as cookies differ in that. */
function toPlainCookie(cookie: unknown): unknown {
  if (typeof cookie !== 'object' || cookie === null) return cookie
  const { toJSON } = cookie as { toJSON?: () => unknown }
  const json = (typeof toJSON === 'function' ? toJSON.call(cookie) : cookie) as JsonObject
  const plain: Record<string, unknown> = {}
  for (const name in json) {
    const value = json[name]
    if (value === undefined || typeof value === 'function') continue
    plain[name] = jsonValueOf(value)
  }
  return plain
}

/** A date is not converted to its text, which is needed only if it is stored. JSON has no invalid date, and no `NaN`. */
function jsonValueOf(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (!(value instanceof Date)) return value
  const time = value.getTime()
  return Number.isNaN(time) ? null : new Date(time)
}

/** The fields of a session, as a new object. */
export function toFields({ body, cookie, repeatsExpiry }: SessionText): Record<string, unknown> {
  const fields = parseObject(body)
  // A copy, because the application may change it.
  if (cookie !== undefined) fields.cookie = { ...cookie }
  if (repeatsExpiry) fields.expires = cookie?.expires
  return fields
}

/** Size of a session in bytes. */
export function bytesOf({ body, cookie }: SessionText): number {
  return Buffer.byteLength(body) + (cookie === undefined ? 0 : JSON.stringify(cookie).length)
}

function asFields(session: object): Record<string, unknown> {
  if (typeof session !== 'object' || session === null || Array.isArray(session)) {
    throw new TypeError('A session must be an object.')
  }
  const { toJSON } = session as { toJSON?: () => unknown }
  return (typeof toJSON === 'function' ? toJSON.call(session) : session) as Record<string, unknown>
}

function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch (cause) {
    const reason = (cause as Error).message
    throw new TypeError(`The session cannot be stored as JSON: ${reason}`, { cause })
  }
}

/** `[version, expires, created, …]`, see `toItemText`. */
export type Stamp = readonly (number | string | null)[]

/** Returns the JSON of an item: the stamp, the fields of the session, and its cookie. */
export function joinItem(stamp: Stamp, { body, cookie, repeatsExpiry }: SessionText): string {
  const fields = body === '{}' ? '' : `,${body.slice(1, -1)}`
  return beginningOf(stamp) + fields + endOf(cookie, repeatsExpiry)
}

const stampBeginning = `{"${stampKey}":[`
const cookieBeginning = ',"cookie":{'

function beginningOf(stamp: unknown): string {
  return `{"${stampKey}":${JSON.stringify(stamp)}`
}

function endOf(cookie: SessionCookie | undefined, repeatsExpiry: boolean): string {
  if (cookie === undefined) return '}'
  const expires = repeatsExpiry ? `,"expires":${JSON.stringify(cookie.expires)}` : ''
  return `,"cookie":${JSON.stringify(cookie)}${expires}}`
}

/**
 * The text of a stored session. Its body is a part of the JSON of the item, and is determined when it is needed: most
 * requests that only read need it to compare, and those of express-session not at all.
 */
export class StoredText implements SessionText {
  readonly cookie: SessionCookie | undefined
  readonly repeatsExpiry: boolean
  readonly #item: string
  readonly #stamp: unknown
  #body: string | undefined

  /** @param item the JSON of the item that `session` and `stamp` were parsed from */
  constructor(item: string, stamp: unknown, { cookie, repeatsExpiry }: SplitSession) {
    this.cookie = cookie
    this.repeatsExpiry = repeatsExpiry
    this.#item = item
    this.#stamp = stamp
  }

  get body(): string {
    this.#body ??= this.#slice() ?? textOf(splitFields(JSON.parse(this.#item))).body
    return this.#body
  }

  /** Whether `body` is the body, which is not made for that: most requests change nothing. */
  hasBody(body: string): boolean {
    if (this.#body === undefined && this.#isJoinedWith(body)) return true
    return this.body === body
  }

  /** Whether the item is what `joinItem` makes of the body. `false` also where that takes longer to find out. */
  #isJoinedWith(body: string): boolean {
    const item = this.#item
    if (this.repeatsExpiry || !item.startsWith(stampBeginning)) return false
    // A stamp contains numbers and a key, which has no bracket.
    const start = item.indexOf(']') + 1
    const fields = body.slice(1, -1)
    const end = start + 1 + fields.length
    // Compares two slices, which takes a thirtieth of the time of `startsWith`: that compares character by character.
    if (item[start] !== ',' || item.slice(start + 1, end) !== fields) return false
    if (this.cookie === undefined) return end === item.length - 1
    // The first closing brace must end the cookie: nothing may follow it but the brace that ends the item.
    return item.startsWith(cookieBeginning, end) && item.indexOf('}', end) === item.length - 2
  }

  /** The part between stamp and cookie; `undefined` if another program has written the item. */
  #slice(): string | undefined {
    const item = this.#item
    const beginning = beginningOf(this.#stamp)
    const end = endOf(this.cookie, this.repeatsExpiry)
    const endsAt = item.length - end.length
    if (!item.startsWith(beginning) || item.slice(endsAt) !== end) return undefined
    const fields = item.slice(beginning.length, endsAt)
    if (fields === '') return '{}'
    return fields.startsWith(',') ? `{${fields.slice(1)}}` : undefined
  }
}

/** Whether the body of a text is `body`. */
export function hasBody(text: Pick<SessionText, 'body'>, body: string): boolean {
  return text instanceof StoredText ? text.hasBody(body) : text.body === body
}
