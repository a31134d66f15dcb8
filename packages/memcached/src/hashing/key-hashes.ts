import { hash } from 'node:crypto'
import { crc32 as checksum } from 'node:zlib'
import { keyBytes, readKey } from './key-bytes.ts'
import { md5 } from './md5.ts'

/** A number from 0 to 2^32 − 1 for the UTF-8 bytes of a key. */
export type KeyHash = (key: string) => number

/** The first four bytes of the digest, the least significant one first. */
export function md5Hash(key: string): number {
  return (md5(key)[0] as number) >>> 0
}

/**
 * Jenkins's one-at-a-time hash as in libmemcached, `libhashkit/one_at_a_time.cc`, where a byte is a `char`: signed on
 * x86, so that those from 0x80 on count as negative.
 */
export function oneAtATime(key: string): number {
  const length = readKey(key)
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

/** The upper half of the checksum, without its sign: libmemcached, `libhashkit/crc32.cc`. */
export function crc(key: string): number {
  return (checksum(key) >>> 16) & 0x7fff
}

/** The first four bytes of the digest, the least significant one first. */
export function sha384Hash(key: string): number {
  return hash('sha384', key, 'buffer').readUInt32LE(0)
}

/** As Java hashes a string, without its sign: by UTF-16 units, not bytes. */
export function memjsHash(key: string): number {
  let hash = 0
  for (let i = 0; i < key.length; i++) hash = (31 * hash + key.charCodeAt(i)) | 0
  return Math.abs(hash)
}
