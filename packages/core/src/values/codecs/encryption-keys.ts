import type { KeyObject } from 'node:crypto'
import { configError } from '../../options/check-options.ts'

/** A master key and the id under which payloads refer to it. */
export interface EncryptionKey {
  readonly id: string
  /** A `KeyObject` shows its type only when it is logged. */
  readonly secret: KeyObject
}

const pattern = /^([\w.-]{1,64}):([A-Za-z0-9+/]{43}=)$/
const secretBytes = 32

/**
 * Parses keys of the form `id:base64`. The messages of its errors never contain any part of a key, nor of what may be
 * one.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for no keys, an invalid key, or an id that is repeated
 */
export function parseEncryptionKeys(texts: readonly string[]): EncryptionKey[] {
  if (texts.length === 0) throw configError('At least one encryption key is required.')
  const keys = texts.map(parseKey)
  const ids = keys.map(({ id }) => id)
  const repeated = ids.findIndex((id, index) => ids.indexOf(id) !== index)
  if (repeated < 0) return keys
  throw configError(
    `Encryption key ${repeated + 1} of ${texts.length} has the same id as an earlier one.`,
  )
}

function parseKey(text: string, index: number, { length }: readonly string[]): EncryptionKey {
  const [, id = '', base64 = ''] = pattern.exec(text) ?? []
  const bytes = Buffer.from(base64, 'base64')
  // Compared, because Buffer ignores bits after the last byte, and then several texts would be the same key.
  if (bytes.length === secretBytes && bytes.toString('base64') === base64) {
    return { id, secret: process.getBuiltinModule('node:crypto').createSecretKey(bytes) }
  }
  throw configError(
    `Encryption key ${index + 1} of ${length} is not of the form id:base64, with an id of at most 64 letters, digits, ` +
      `".", "_" or "-", and the base64 text of exactly ${secretBytes} bytes. Create one with: ` +
      `openssl rand -base64 ${secretBytes}`,
  )
}
