import type { KeyObject } from 'node:crypto'
import type { Entry } from '../../entry.ts'
import { CacheError } from '../../errors.ts'
import { checkOptionNames, configError } from '../../options/check-options.ts'
import type { Payload } from '../../store.ts'
import { type Clock, systemClock } from '../../time/clock.ts'
import type { Codec } from '../codec.ts'
import { frameKind, frameKinds, marker } from '../frame.ts'
import { toBytes } from '../payload.ts'

export interface EncryptedOptions {
  /**
   * Keys of the form `id:base64`, each with exactly 32 bytes, as of `openssl rand -base64 32`. The first one encrypts,
   * all of them decrypt.
   *
   * To rotate keys without a miss, append the new key in every process, then move it to the front in every process, and
   * remove the old one when the entries that it encrypted have expired.
   */
  readonly keys: readonly string[]
  /**
   * Accepts payloads that are not encrypted until this time, to turn encryption on without losing the entries that
   * exist. Until then, a program that can write to the backend can also write unencrypted entries. @default never
   */
  readonly acceptPlaintextUntil?: Date | undefined
  /** Source of the current time. @default systemClock */
  readonly clock?: Clock | undefined
}

const optionNames = { keys: true, acceptPlaintextUntil: true, clock: true } as const
const cipherName = 'aes-256-gcm'
const layout = 0x01
const saltBytes = 16
/** NIST SP 800-38D, 5.2.1.1: 96 bits are recommended. */
const ivBytes = 12
const tagBytes = 16
/** Separates the derived keys from others that are derived from the same master key. */
const keyInfo = 'stowage aes-256-gcm'

interface MasterKey {
  readonly secret: KeyObject
  /** The bytes with which the payloads of this key begin. */
  readonly start: Buffer
}

/**
 * Encrypts the payloads of another codec with AES-256-GCM. Each item has a key of its own, which HKDF-SHA256 (RFC 5869)
 * derives from the master key and a random salt: with one key for all items, random nonces would be safe for 2^32
 * items only (NIST SP 800-38D, 8.3).
 *
 *     0x01  0x04  0x01  length of the key id  key id  salt (16)  nonce (12)  ciphertext  tag (16)
 *
 * The bytes before the ciphertext and the full name of the entry are authenticated: a payload that was changed, copied
 * to another key, encrypted with an unknown key, or not encrypted at all is a miss, with an event on `stowage:corrupt`.
 * The backend still sees keys, ttls and sizes, and can return an older payload of the same key.
 *
 * Compress first, as in `encrypted(compressed(json()))`. The size of a compressed value depends on its content: do not
 * compress values that contain both a secret and text that an attacker chooses.
 *
 * `increment` is rejected with `ERR_CACHE_UNSUPPORTED`, because the backend would have to add to the plain text.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options. The message never contains a key.
 * @example
 * const keys = process.env.APP_KEYS?.split(',') ?? []
 * const codec = encrypted(compressed(json()), { keys })
 * const secrets = new Cache(store, { prefix: 'secrets:', codec })
 * await secrets.set('token:1', { access: 'abc' })
 */
export function encrypted(inner: Codec, options: EncryptedOptions): Codec {
  const example = "encrypted(json(), { keys: ['2026:…'] })"
  checkOptionNames<EncryptedOptions>('encrypted', options, optionNames, example)
  const keys = parseEncryptionKeys(options.keys).map(
    ({ id, secret }): MasterKey => ({ secret, start: startOf(id) }),
  )
  const acceptsPlaintext = plaintextCheck(options)
  const decode = (payload: Payload, key: string): Entry | undefined => {
    if (frameKind(payload) !== frameKinds.encrypted) {
      return acceptsPlaintext() ? inner.decode(payload, key) : undefined
    }
    const plain = decrypt(toBytes(payload), key, keys)
    return plain === undefined ? undefined : inner.decode(plain, key)
  }
  return {
    counters: false,
    encode: (entry, key) => encrypt(inner.encode(entry, key), key, keys[0] as MasterKey),
    decode,
  }
}

function plaintextCheck({ acceptPlaintextUntil, clock = systemClock }: EncryptedOptions) {
  if (acceptPlaintextUntil === undefined) return () => false
  const until = acceptPlaintextUntil.getTime()
  if (!Number.isNaN(until)) return () => clock.now() < until
  throw new CacheError('ERR_CACHE_CONFIG', 'encrypted: acceptPlaintextUntil is an invalid Date.')
}

function encrypt(payload: Payload, key: string, { secret, start }: MasterKey): Buffer {
  const { randomBytes, createCipheriv } = crypto()
  const random = randomBytes(saltBytes + ivBytes)
  const [salt, iv] = [random.subarray(0, saltBytes), random.subarray(saltBytes)]
  const header = Buffer.concat([start, random])
  const cipher = createCipheriv(cipherName, itemKey(secret, salt), iv, { authTagLength: tagBytes })
  cipher.setAAD(additionalData(header, key))
  const ciphertext = cipher.update(toBytes(payload))
  return Buffer.concat([header, ciphertext, cipher.final(), cipher.getAuthTag()])
}

/** Returns `undefined` unless the payload was encrypted for this key with one of the master keys. */
function decrypt(payload: Buffer, key: string, keys: readonly MasterKey[]): Buffer | undefined {
  const master = keys.find(({ start }) => payload.subarray(0, start.length).equals(start))
  if (master === undefined) return undefined
  const saltStart = master.start.length
  const ivStart = saltStart + saltBytes
  const bodyStart = ivStart + ivBytes
  const tagStart = payload.length - tagBytes
  if (tagStart < bodyStart) return undefined
  const secret = itemKey(master.secret, payload.subarray(saltStart, ivStart))
  const iv = payload.subarray(ivStart, bodyStart)
  // With a fixed length, Node rejects a shortened tag, which would be easier to forge.
  const decipher = crypto().createDecipheriv(cipherName, secret, iv, { authTagLength: tagBytes })
  decipher.setAAD(additionalData(payload.subarray(0, bodyStart), key))
  decipher.setAuthTag(payload.subarray(tagStart))
  try {
    const plain = decipher.update(payload.subarray(bodyStart, tagStart))
    decipher.final() // Throws unless the tag is correct.
    return plain
  } catch {
    return undefined
  }
}

function startOf(id: string): Buffer {
  return Buffer.from([marker, frameKinds.encrypted, layout, id.length, ...Buffer.from(id)])
}

function itemKey(secret: KeyObject, salt: Buffer): Uint8Array {
  return new Uint8Array(crypto().hkdfSync('sha256', secret, salt, keyInfo, 32))
}

/** The header determines its own length, so that no two pairs of header and key have the same bytes. */
function additionalData(header: Buffer, key: string): Buffer {
  return Buffer.concat([header, Buffer.from(key)])
}

/** Loaded on first use, because it would slow down the import of this package. */
function crypto(): typeof import('node:crypto') {
  return process.getBuiltinModule('node:crypto')
}

/** A master key and the id under which payloads refer to it. */
interface EncryptionKey {
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
function parseEncryptionKeys(texts: readonly string[]): EncryptionKey[] {
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
