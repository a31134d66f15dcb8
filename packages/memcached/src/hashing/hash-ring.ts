import { hash } from 'node:crypto'
import { crc32 as checksum } from 'node:zlib'
import { defaultPort, type NodeAddress } from '../node-address.ts'
import { encodeKey, keyBytes } from './key-bytes.ts'
import { md5 } from './md5.ts'

/**
 * Which node stores a key. Clients can share a cache only if they use the same hashing.
 *
 * - `'ketama'`: the weighted ring of libmemcached. PHP `OPT_LIBKETAMA_COMPATIBLE`, pylibmc `ketama_weighted`, the PHP
 *   client of ElastiCache, twemproxy with `distribution: ketama` and `hash: md5`.
 * - `'consistent'`: the ring of libmemcached without weights. PHP `DISTRIBUTION_CONSISTENT`, pylibmc `ketama`.
 *   `'consistent-md5'`: the same with `HASH_MD5`.
 * - `'modula'`: the hash modulo the number of nodes, the default of libmemcached, php-memcached and Laravel. Nearly all
 *   keys move when the number of nodes changes. `'modula-md5'` and `'modula-crc'`: the same with `HASH_MD5` and
 *   `HASH_CRC`.
 * - `'aws-java'`: the ring of the ElastiCache Java client 1.2.0 and later, with the node names `host/ip:port`, or
 *   `ip:port` if `host` is an IP address. `'aws-java-libmemcached'`: the same with the node names of libmemcached, which
 *   do not contain the IP address.
 * - `'memjs'`: the placement of the memjs client, also modulo the number of nodes.
 */
export type Hashing = (typeof hashings)[number]

export const hashings = [
  'ketama',
  'consistent',
  'consistent-md5',
  'modula',
  'modula-md5',
  'modula-crc',
  'aws-java',
  'aws-java-libmemcached',
  'memjs',
] as const

export interface HashRing {
  /** Index of the key's node in the list that the ring was built from. */
  indexOf(key: string): number
}

type Nodes = readonly NodeAddress[]

/** A point on a circle of 2^32 positions, and the index of the node that owns it. */
interface Point {
  readonly at: number
  readonly index: number
}

/** Points per node in libmemcached: in the rings without weights, and on average in the weighted ring. */
const pointsUnweighted = 100
const pointsWeighted = 160

const rings: Readonly<Record<Hashing, (nodes: Nodes) => HashRing>> = {
  ketama: (nodes) => circle(weightedPoints(nodes), md5Hash),
  consistent: (nodes) => circle(unweightedPoints(nodes, oneAtATime), oneAtATime),
  'consistent-md5': (nodes) => circle(unweightedPoints(nodes, md5Hash), md5Hash),
  modula: (nodes) => remainder(nodes, oneAtATime),
  'modula-md5': (nodes) => remainder(nodes, md5Hash),
  'modula-crc': (nodes) => remainder(nodes, crc),
  'aws-java': (nodes) => circle(javaPoints(nodes, javaName), sha384Hash),
  'aws-java-libmemcached': (nodes) => circle(javaPoints(nodes, libmemcachedName), sha384Hash),
  memjs: (nodes) => remainder(nodes, memjsHash),
}

/** Builds the ring for `nodes`, which must not be empty. */
export function hashRing(hashing: Hashing, nodes: Nodes): HashRing {
  return nodes.length === 1 ? { indexOf: () => 0 } : rings[hashing](nodes)
}

function remainder({ length }: Nodes, keyHash: KeyHash): HashRing {
  return { indexOf: (key) => keyHash(key) % length }
}

/** A key belongs to the node that owns the first point at or after the key's hash. */
function circle(points: Point[], keyHash: KeyHash): HashRing {
  points.sort((a, b) => a.at - b.at)
  const places = Uint32Array.from(points, ({ at }) => at)
  const owners = Uint32Array.from(points, ({ index }) => index)
  return { indexOf: (key) => owners[firstFrom(places, keyHash(key))] as number }
}

/** Binary search for the first of the sorted places that is at or after `place`. Wraps around to 0 after the last. */
function firstFrom(places: Uint32Array, place: number): number {
  let low = 0
  let high = places.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((places[middle] as number) < place) low = middle + 1
    else high = middle
  }
  return low === places.length ? 0 : low
}

/** libmemcached, `hosts.cc`: four points per digest; the number of digests is proportional to the node's weight. */
function weightedPoints(nodes: Nodes): Point[] {
  const weights = nodes.map(({ weight }) => weight || 1)
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return nodes.flatMap((node, index) =>
    Array.from({ length: digests(weights[index] as number, total, nodes.length) }, (_, i) =>
      quarters(md5(`${libmemcachedName(node)}-${i}`), index),
    ).flat(),
  )
}

/** Uses 32-bit floats as the C code does: rounding gives 25 equal nodes 156 points each instead of 160. */
function digests(weight: number, total: number, nodes: number): number {
  const { fround } = Math
  const share = fround(weight / total)
  return Math.floor(fround(fround(fround(share * pointsWeighted) / 4) * nodes))
}

function unweightedPoints(nodes: Nodes, keyHash: KeyHash): Point[] {
  return nodes.flatMap((node, index) =>
    Array.from({ length: pointsUnweighted }, (_, i) => ({
      at: keyHash(`${libmemcachedName(node)}-${i}`),
      index,
    })),
  )
}

/** `KetamaNodeLocator` of the ElastiCache Java client: no weights, four points from the first 16 bytes of a digest. */
function javaPoints(nodes: Nodes, nameOf: (node: NodeAddress) => string): Point[] {
  const digest = (text: string) => hash('sha384', text, 'buffer')
  return nodes.flatMap((node, index) =>
    Array.from({ length: pointsWeighted / 4 }, (_, i) => {
      const bytes = digest(`${nameOf(node)}-${i}`)
      return quarters(
        [0, 4, 8, 12].map((at) => bytes.readInt32LE(at)),
        index,
      )
    }).flat(),
  )
}

function quarters(words: ArrayLike<number>, index: number): Point[] {
  return Array.from(words, (word) => ({ at: word >>> 0, index }))
}

function libmemcachedName({ host, port }: NodeAddress): string {
  return port === defaultPort ? host : `${host}:${port}`
}

/** `InetSocketAddress.toString()`, without the leading slash that it has if there is no host name. */
function javaName({ host, port, ip }: NodeAddress): string {
  return ip === undefined || ip === host ? `${host}:${port}` : `${host}/${ip}:${port}`
}

/** Maps a key to an integer from 0 to 2^32 − 1. All but `memjsHash` hash the UTF-8 bytes of the key. */
type KeyHash = (key: string) => number

/** The first four bytes of the digest, in little-endian order. */
function md5Hash(key: string): number {
  return (md5(key)[0] as number) >>> 0
}

/**
 * Jenkins's one-at-a-time hash as in libmemcached, `libhashkit/one_at_a_time.cc`. A byte is a `char` there, which is
 * signed on x86: bytes from 0x80 count as negative.
 */
function oneAtATime(key: string): number {
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
function crc(key: string): number {
  return (checksum(key) >>> 16) & 0x7fff
}

/** The first four bytes of the digest, in little-endian order. */
function sha384Hash(key: string): number {
  return hash('sha384', key, 'buffer').readUInt32LE(0)
}

/** The absolute value of Java's `String.hashCode()`, which hashes UTF-16 code units. */
function memjsHash(key: string): number {
  let hash = 0
  for (let i = 0; i < key.length; i++) hash = (31 * hash + key.charCodeAt(i)) | 0
  return Math.abs(hash)
}
