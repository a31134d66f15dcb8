import { createHash } from 'node:crypto'

/** Sizes of values: in a record, in an overflow page, and in chunks. */
const sizes = [10, 200, 1_000, 3_000, 10_000, 40_000]

/**
 * A value that proves where it belongs: it contains its key, a number and a checksum.
 * @param {string} key @param {number} number @param {number} [expiresAt]
 */
export function selfChecked(key, number, expiresAt = 0) {
  const size = sizes[number % sizes.length] ?? 0
  const body = `${key} ${number} ${expiresAt} ${'x'.repeat(size)}`
  return `${checksum(body)} ${body}`
}

/**
 * Returns the number and the expiry of a value. Throws if it is not a whole value of this key.
 * @param {string} key @param {string | Uint8Array} value
 */
export function verified(key, value) {
  const text = String(value)
  const body = text.slice(text.indexOf(' ') + 1)
  const [storedKey, number, expiresAt] = body.split(' ', 3)
  if (text.split(' ', 1)[0] !== checksum(body)) throw new Error(`a value of ${key} is torn`)
  if (storedKey !== key) throw new Error(`${key} has the value of ${storedKey}`)
  return { number: Number(number), expiresAt: Number(expiresAt) }
}

/** @param {string} text */
function checksum(text) {
  return createHash('sha1').update(text).digest('hex')
}
