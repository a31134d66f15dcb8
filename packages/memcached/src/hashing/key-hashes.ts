import { hash } from 'node:crypto'
import { crc32 as checksum } from 'node:zlib'
import { encodeKey, keyBytes } from './key-bytes.ts'
import { md5 } from './md5.ts'

/** Maps a key to an integer from 0 to 2^32 − 1. All but `memjsHash` hash the UTF-8 bytes of the key. */
export type KeyHash = (key: string) => number

/** The first four bytes of the digest, in little-endian order. */
export function md5Hash(key: string): number {
  return (md5(key)[0] as number) >>> 0
}

/**
 * Jenkins's one-at-a-time hash as in libmemcached, `libhashkit/one_at_a_time.cc`. A byte is a `char` there, which is
 * signed on x86: bytes from 0x80 count as negative.
 */
export function oneAtATime(key: string): number {
  const length = encodeKey(key)
  let hash = 0
  for (let i = 0; i < length; i++) {
    hash = (hash + (((keyBytes[i] as number) << 24) >> 24)) | 0
    hash = (hash + (hash << 10)) | 0
    hash ^= hash >>> 6
  }
  hash = (hash + (hash << 3)) | 0
  hash ^= hash >>> 11
  return (hash + (hash << 15)) >>> 0
}

/** The lower 15 bits of the upper half of the checksum, as in libmemcached, `libhashkit/crc32.cc`. */
export function crc(key: string): number {
  return (checksum(key) >>> 16) & 0x7fff
}

/** The first four bytes of the digest, in little-endian order. */
export function sha384Hash(key: string): number {
  return hash('sha384', key, 'buffer').readUInt32LE(0)
}

/** The absolute value of Java's `String.hashCode()`, which hashes UTF-16 code units. */
export function memjsHash(key: string): number {
  let hash = 0
  for (let i = 0; i < key.length; i++) hash = (31 * hash + key.charCodeAt(i)) | 0
  return Math.abs(hash)
}
