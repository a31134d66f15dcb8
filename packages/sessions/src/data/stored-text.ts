import type { SessionCookie } from './session-cookie.ts'
import {
  type SessionText,
  type SplitSession,
  splitFields,
  stampKey,
  textOf,
} from './session-text.ts'

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
