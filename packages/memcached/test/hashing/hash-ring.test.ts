import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import * as memjs from 'memjs'
import { describe, expect, test } from 'vitest'
import { type Hashing, hashings, hashRing } from '../../src/hashing/hash-ring.ts'
import { md5 } from '../../src/hashing/md5.ts'
import { type NodeAddress, nodeName } from '../../src/node-address.ts'

/** The nodes on which another client has stored its keys. */
interface Placement {
  readonly source: string
  readonly mode?: string
  readonly format?: string
  readonly servers: readonly NodeAddress[]
  readonly keys: Readonly<Record<string, string>>
}

const folder = new URL('vectors/', import.meta.url)
const placements = readdirSync(folder).map((file) => ({ file, placement: read(file) }))

function read(file: string): Placement {
  return JSON.parse(readFileSync(new URL(file, folder), 'utf8'))
}

function hashingOf({ mode, format = '' }: Placement): Hashing {
  if (mode === undefined) return format.startsWith('LIB') ? 'aws-java-libmemcached' : 'aws-java'
  return mode === 'weighted' ? 'ketama' : (mode as Hashing)
}

/** The nodes as that client was configured: one of them knew only IP addresses. */
function nodesOf({ servers, format = '' }: Placement): NodeAddress[] {
  const hasOnlyIp = format.includes('IP only')
  return servers.map((node) => (hasOnlyIp ? { host: node.ip ?? '', port: node.port } : node))
}

function createNodes(size: number): NodeAddress[] {
  return Array.from({ length: size }, (_, i) => ({ host: `10.0.0.${i}`, port: 11211 }))
}

const keys = Array.from({ length: 5_000 }, (_, i) => (i % 5 === 0 ? `ключ:${i}` : `user:${i}`))

describe('hashRing maps keys to the same nodes as other clients', () => {
  test.each(placements)('$file', ({ placement }) => {
    const ring = hashRing(hashingOf(placement), nodesOf(placement))
    const placed = Object.keys(placement.keys).map((key) => [
      key,
      nodeName(placement.servers[ring.indexOf(key)] as NodeAddress),
    ])
    expect(placed.length).toBe(200)
    expect(Object.fromEntries(placed)).toEqual(placement.keys)
  })

  test('memjs', () => {
    const nodes = createNodes(7)
    const { Client } = memjs as unknown as {
      Client: { create(servers: string): { getServer(key: string): number } }
    }
    const client = Client.create(nodes.map(nodeName).join(','))
    const ring = hashRing('memjs', nodes)
    expect(keys.map((key) => ring.indexOf(key))).toEqual(keys.map((key) => client.getServer(key)))
  })

  test('there are vectors for every hashing except memjs, which is compared with the client itself', () => {
    const covered = new Set<string>(placements.map(({ placement }) => hashingOf(placement)))
    expect(hashings.filter((hashing) => !covered.has(hashing))).toEqual(['memjs'])
  })
})

describe('md5', () => {
  test('equals the digest of node:crypto for keys that nearly fill its buffer', () => {
    for (let length = 1_300; length < 1_400; length++) {
      const text = '€'.repeat(length)
      const digest = createHash('md5').update(text).digest()
      expect(md5(text)[0], `${length}`).toBe(digest.readInt32LE(0))
    }
  })

  test('equals the digest of node:crypto for all lengths and alphabets', () => {
    for (const letter of ['k', 'ü', 'ключ', '👍', '\ud800']) {
      for (const length of [0, 1, 13, 54, 55, 56, 63, 64, 65, 119, 120, 250, 5_000, 70_000]) {
        const text = letter.repeat(length)
        const digest = createHash('md5').update(text).digest()
        expect([...md5(text)], `${letter} × ${length}`).toEqual(
          [0, 4, 8, 12].map((at) => digest.readInt32LE(at)),
        )
      }
    }
  })
})

test.each<[Hashing, string]>([
  ['ketama', ''],
  ['consistent', ''],
  ['consistent-md5', ''],
  ['aws-java', ':11211'],
  ['aws-java-libmemcached', ''],
])('%s: a point owns the key with its own hash', (hashing, suffix) => {
  const nodes = createNodes(4)
  const ring = hashRing(hashing, nodes)
  const owners = nodes.map(({ host }) =>
    Array.from({ length: 40 }, (_, point) => ring.indexOf(`${host}${suffix}-${point}`)),
  )
  expect(owners).toEqual(nodes.map((_, index) => Array(40).fill(index)))
})

describe.each(hashings)('%s', (hashing) => {
  test('maps every key to a node, and keys to every node', () => {
    for (const size of [2, 3, 25]) {
      const ring = hashRing(hashing, createNodes(size))
      expect(new Set(keys.map((key) => ring.indexOf(key)))).toEqual(
        new Set(Array.from({ length: size }, (_, i) => i)),
      )
    }
  })

  test('maps all keys to a single node', () => {
    const ring = hashRing(hashing, createNodes(1))
    expect(keys.every((key) => ring.indexOf(key) === 0)).toBe(true)
  })
})

describe('ketama', () => {
  const nodes = ['a', 'b', 'c'].map((host) => ({ host, port: 11211 }))
  const ring = hashRing('ketama', nodes)

  test('does not depend on the order of the nodes or their IP addresses', () => {
    const reversed = [...nodes].reverse().map((node, i) => ({ ...node, ip: `10.0.0.${i}` }))
    const reversedRing = hashRing('ketama', reversed)
    expect(
      keys.filter(
        (key) => nodes[ring.indexOf(key)]?.host !== reversed[reversedRing.indexOf(key)]?.host,
      ),
    ).toEqual([])
  })

  test('moves keys only to an added node, in proportion to its share', () => {
    const larger = hashRing('ketama', [...nodes, { host: 'd', port: 11211 }])
    const moved = keys.filter((key) => ring.indexOf(key) !== larger.indexOf(key))
    expect(moved.every((key) => larger.indexOf(key) === 3)).toBe(true)
    expect(moved.length / keys.length).toBeGreaterThan(0.15)
    expect(moved.length / keys.length).toBeLessThan(0.35)
  })

  test('treats a weight of 0 as 1, like libmemcached', () => {
    const zero = hashRing(
      'ketama',
      nodes.map((node) => ({ ...node, weight: 0 })),
    )
    expect(keys.map((key) => zero.indexOf(key))).toEqual(keys.map((key) => ring.indexOf(key)))
  })
})
