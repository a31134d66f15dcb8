import { CacheError } from './errors.ts'

// "~" and the 43 characters of a SHA-256 in base64url.
const digestLength = 44
const digestTail = /~[A-Za-z0-9_-]{43}$/

/**
 * Turns the keys of one cache into storage keys: prefix in front, and never longer than the backend allows.
 *
 * The mapping is injective. A key stands for itself unless it is too long, is not well-formed Unicode
 * (lone surrogates would all become U+FFFD in UTF-8 and collide) or itself ends like a digest; such a
 * key becomes a readable head and the SHA-256 of the whole. As no key that stands for itself ends like a
 * digest, the two kinds never meet. The prefix is always kept, so that a scan finds every key of the cache.
 */
export class Keyspace {
  readonly prefix: string
  readonly #keyBytes: number

  /** @throws CacheError `ERR_CACHE_CONFIG` when the prefix leaves no room for a key */
  constructor(prefix: string, keyBytes: number) {
    if (!prefix.isWellFormed()) throw new TypeError('A prefix must be well-formed Unicode.')
    const room = keyBytes - digestLength - Buffer.byteLength(prefix)
    if (room < 0) {
      throw new CacheError(
        'ERR_CACHE_CONFIG',
        `The prefix ${JSON.stringify(prefix)} is too long: keys of this store have at most ${keyBytes} bytes, ` +
          `of which ${digestLength} are needed to tell long keys apart. Shorten it by ${-room} bytes.`,
      )
    }
    this.prefix = prefix
    this.#keyBytes = keyBytes
  }

  /** @throws TypeError for anything but a non-empty string */
  of(key: string): string {
    if (typeof key !== 'string' || key === '') {
      throw new TypeError('A cache key must be a non-empty string.')
    }
    const full = this.prefix === '' ? key : this.prefix + key
    return this.#standsForItself(full) ? full : this.#shorten(key, full)
  }

  #standsForItself(full: string): boolean {
    // One UTF-16 unit is at most three bytes of UTF-8, so most keys need no count.
    const fits = full.length * 3 <= this.#keyBytes || Buffer.byteLength(full) <= this.#keyBytes
    return fits && full.isWellFormed() && !endsLikeDigest(full)
  }

  #shorten(key: string, full: string): string {
    const digest = sha256(full)
    const room = this.#keyBytes - digestLength - Buffer.byteLength(this.prefix)
    return `${this.prefix}${head(key, room)}~${digest}`
  }
}

/** Few applications ever have a long key, and loading node:crypto is a quarter of what importing this package takes. */
function sha256(text: string): string {
  const { createHash } = process.getBuiltinModule('node:crypto')
  return createHash('sha256').update(text, 'utf16le').digest('base64url')
}

function endsLikeDigest(key: string): boolean {
  // 126 is "~": one comparison decides for nearly every key.
  const tail = key.length - digestLength
  return tail >= 0 && key.charCodeAt(tail) === 126 && digestTail.test(key)
}

/** The first characters of `text` that fit into `bytes` of UTF-8, 64 at most: enough to recognise the key. */
function head(text: string, bytes: number): string {
  let taken = ''
  for (const character of text.slice(0, 64).toWellFormed()) {
    if (Buffer.byteLength(taken + character) > bytes) break
    taken += character
  }
  return taken
}

/**
 * The prefix of a namespace. A colon in the name is escaped, so that `a:b` is not the namespace `b` of `a`.
 * @throws TypeError for anything but a non-empty string
 */
export function namespacePrefix(name: string): string {
  if (typeof name !== 'string' || name === '') {
    throw new TypeError('A namespace must be a non-empty string.')
  }
  return `${name.replaceAll('%', '%25').replaceAll(':', '%3A')}:`
}
