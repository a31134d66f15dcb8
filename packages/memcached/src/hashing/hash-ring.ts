import { hash } from 'node:crypto'
import { defaultPort, type NodeAddress } from '../node-address.ts'
import { crc, type KeyHash, md5Hash, memjsHash, oneAtATime, sha384Hash } from './key-hashes.ts'
import { md5 } from './md5.ts'

/**
 * Which node a key lives on. Clients share a cache only where they agree on this.
 *
 * - `'ketama'`: libmemcached's weighted ring. PHP `OPT_LIBKETAMA_COMPATIBLE`, pylibmc `ketama_weighted`, the PHP client
 *   of ElastiCache, twemproxy with `distribution: ketama` and `hash: md5`.
 * - `'consistent'`: libmemcached's ring without weights. PHP `DISTRIBUTION_CONSISTENT`, pylibmc `ketama`.
 *   `'consistent-md5'` with `HASH_MD5`.
 * - `'modula'`: libmemcached's default, and that of php-memcached and Laravel: the remainder by the number of nodes, so
 *   that nearly all keys move when it changes. `'modula-md5'` and `'modula-crc'` with `HASH_MD5` and `HASH_CRC`.
 * - `'aws-java'`: the ring of ElastiCache's Java client from 1.2.0 on, with the names `host/ip:port`, or `ip:port` where
 *   `host` is the address. `'aws-java-libmemcached'` with the names of libmemcached, which an address does not change.
 * - `'memjs'`: memjs without Stowage; also a remainder.
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
  /** Index of the node, in the list the ring was made of. */
  indexOf(key: string): number
}

type Nodes = readonly NodeAddress[]

/** Points on a circle of 2^32, each of which belongs to a node. */
interface Point {
  readonly at: number
  readonly index: number
}

/** Points of a node in the rings of libmemcached without weights, and on average in the one with them. */
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

/** The ring of at least one node. */
export function hashRing(hashing: Hashing, nodes: Nodes): HashRing {
  return nodes.length === 1 ? { indexOf: () => 0 } : rings[hashing](nodes)
}

function remainder({ length }: Nodes, keyHash: KeyHash): HashRing {
  return { indexOf: (key) => keyHash(key) % length }
}

/** The node of a key is that of the first point at its hash or after. */
function circle(points: Point[], keyHash: KeyHash): HashRing {
  points.sort((a, b) => a.at - b.at)
  const places = Uint32Array.from(points, ({ at }) => at)
  const owners = Uint32Array.from(points, ({ index }) => index)
  return { indexOf: (key) => owners[firstFrom(places, keyHash(key))] as number }
}

/** Index of the first place that is not before `place`, in a sorted list; past the last comes the first. */
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

/** libmemcached, `hosts.cc`: four points of each digest, as many digests as the node's weight is worth. */
function weightedPoints(nodes: Nodes): Point[] {
  const weights = nodes.map(({ weight }) => weight || 1)
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return nodes.flatMap((node, index) =>
    Array.from({ length: digests(weights[index] as number, total, nodes.length) }, (_, i) =>
      quarters(md5(`${libmemcachedName(node)}-${i}`), index),
    ).flat(),
  )
}

/** Calculated in floats of 32 bits, as in C: 25 equal nodes get 156 points each instead of 160. */
function digests(weight: number, total: number, nodes: number): number {
  const { fround } = Math
  const share = fround(weight / total)
  const points = fround(fround(fround(share * pointsWeighted) / 4) * nodes)
  return Math.floor(fround(points + 1e-10))
}

function unweightedPoints(nodes: Nodes, keyHash: KeyHash): Point[] {
  return nodes.flatMap((node, index) =>
    Array.from({ length: pointsUnweighted }, (_, i) => ({
      at: keyHash(`${libmemcachedName(node)}-${i}`),
      index,
    })),
  )
}

/** Without weights, and with the first sixteen bytes of a longer digest. */
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

/** `InetSocketAddress.toString()`, without the slash before an address that has no name. */
function javaName({ host, port, ip }: NodeAddress): string {
  return ip === undefined || ip === host ? `${host}:${port}` : `${host}/${ip}:${port}`
}
