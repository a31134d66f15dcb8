import { CacheError } from './errors.ts'

// "~" and the 43 characters of a SHA-256 digest in base64url.
const digestLength = 44
const digestTail = /~[A-Za-z0-9_-]{43}$/
// Keys that begin with "~" are reserved for the cache itself: tags, leases, generations, locks, limits.
const reservedMark = 126
const percent = 37
const reservedInNames = /[%:]|^~/
const escapedMark = /^%(?:25)*7E/

/**
 * Converts the keys of a cache to storage keys: adds the prefix and respects the maximum length of the backend.
 *
 * The mapping is injective. A key is used unchanged unless it is too long, is not well-formed Unicode
 * (in UTF-8 all lone surrogates become U+FFFD and collide) or ends like a digest. Such a key is replaced by a
 * readable head and the SHA-256 digest of the whole key. Unchanged keys never end like a digest, so the two kinds
 * cannot collide. The prefix is always kept, so that a scan finds every key of the cache.
 */
export class Keyspace {
  /** Empty where the store adds the prefix of the cache: see `GenerationStore`. */
  readonly prefix: string
  readonly #prefixLength: number
  readonly #keyBytes: number
  /** A key of this length fits in any case: a UTF-16 code unit is at most three bytes in UTF-8. */
  readonly #shortLength: number

  /**
   * @param shownPrefix the prefix for the error, where that of the cache is added elsewhere
   * @throws CacheError `ERR_CACHE_CONFIG` if the prefix leaves no room for a key
   */
  constructor(prefix: string, keyBytes: number, shownPrefix: string = prefix) {
    if (!prefix.isWellFormed()) throw new TypeError('A prefix must be well-formed Unicode.')
    const room = keyBytes - digestLength - Buffer.byteLength(prefix)
    if (room < 0) {
      throw new CacheError(
        'ERR_CACHE_CONFIG',
        `The prefix ${JSON.stringify(shownPrefix)} is too long: this store allows keys of ${keyBytes} bytes, and the ` +
          `digest of a long key takes ${digestLength} of them. Shorten it by ${-room} bytes.`,
      )
    }
    this.prefix = prefix
    this.#prefixLength = prefix.length
    this.#keyBytes = keyBytes
    this.#shortLength = keyBytes / 3
  }

  /** @throws TypeError unless `key` is a non-empty string */
  toStorageKey(key: string): string {
    if (typeof key !== 'string') throw invalidKey(key)
    // Made before its first character is read: that copies a text which was concatenated into one piece.
    const full = this.prefix + key
    const { length } = full
    const first = full.charCodeAt(this.#prefixLength) // NaN for an empty key.
    // Most keys are used unchanged. This is small, so that V8 inlines it.
    return length <= this.#shortLength &&
      first !== reservedMark &&
      first !== percent &&
      first >= 0 &&
      (length < digestLength || full.charCodeAt(length - digestLength) !== reservedMark) &&
      full.isWellFormed()
      ? full
      : this.#convert(key)
  }

  #convert(key: string): string {
    if (key === '') throw invalidKey(key)
    // "~" and "%" are the only first characters that may need an escape.
    const escaped = /^[~%]/.test(key) ? escapeMark(key) : key
    const full = this.prefix + escaped
    const fits = Buffer.byteLength(full) <= this.#keyBytes
    return fits && full.isWellFormed() && !digestTail.test(full)
      ? full
      : this.#shorten(escaped, full)
  }

  /** Returns the key of a storage key; of a shortened one, its shortened form. */
  fromStorageKey(storageKey: string): string {
    const key = storageKey.slice(this.prefix.length)
    if (!escapedMark.test(key)) return key
    return key.startsWith('%7E') ? `~${key.slice(3)}` : `%${key.slice(3)}`
  }

  #shorten(key: string, full: string): string {
    const digest = sha256(full)
    const room = this.#keyBytes - digestLength - Buffer.byteLength(this.prefix)
    return `${this.prefix}${head(key, room)}~${digest}`
  }
}

function invalidKey(key: unknown): TypeError {
  const hint = Array.isArray(key) ? ' For several keys, use getMany, setMany or deleteMany.' : ''
  return new TypeError(`A cache key must be a non-empty string.${hint}`)
}

/** Escapes a key that begins with "~", and one that looks like an escaped key. */
function escapeMark(key: string): string {
  if (key.charCodeAt(0) === reservedMark) return `%7E${key.slice(1)}`
  return escapedMark.test(key) ? `%25${key.slice(1)}` : key
}

/** Loads node:crypto on first use: long keys are rare, and it takes a quarter of the import time of this package. */
function sha256(text: string): string {
  const { createHash } = process.getBuiltinModule('node:crypto')
  return createHash('sha256').update(text, 'utf16le').digest('base64url')
}

/** Returns the first characters of `text` that fit into `bytes` of UTF-8, at most 64: enough to recognise the key. */
function head(text: string, bytes: number): string {
  let result = ''
  for (const character of text.slice(0, 64).toWellFormed()) {
    if (Buffer.byteLength(result + character) > bytes) break
    result += character
  }
  return result
}

/**
 * Returns the prefix of a namespace. Colons in the name are escaped, so that `a:b` differs from the namespace `b` of
 * `a`, and so is a `~` at the beginning, which is reserved.
 *
 * @throws TypeError unless `name` is a non-empty string
 */
export function namespacePrefix(name: string): string {
  if (typeof name !== 'string' || name === '') {
    throw new TypeError('A namespace must be a non-empty string.')
  }
  if (!reservedInNames.test(name)) return `${name}:`
  return `${escapeColons(name).replace(/^~/, '%7E')}:`
}

/**
 * Returns the name of a lock or limit among the reserved keys of the root cache: the path of its namespace, and its name
 * with colons escaped, so that those of two namespaces differ.
 *
 * @throws TypeError unless `name` is a non-empty string
 */
export function reservedName(path: string, name: string): string {
  if (typeof name !== 'string' || name === '') {
    throw new TypeError('The name of a lock or limit must be a non-empty string.')
  }
  return path + escapeColons(name)
}

/** Escapes the characters with which parts of a reserved key are separated. */
export function escapeColons(text: string): string {
  return text.replaceAll('%', '%25').replaceAll(':', '%3A')
}
