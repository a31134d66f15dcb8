import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import * as memjs from 'memjs'
import { describe, expect, test } from 'vitest'
import { type Hashing, hashings, hashRing } from '../src/hashing/hash-ring.ts'
import { md5 } from '../src/hashing/md5.ts'
import { type NodeAddress, nodeName } from '../src/node-address.ts'

/** Where another client has put its keys. */
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

/** As that client knew them: one of them knew the addresses only. */
function nodesOf({ servers, format = '' }: Placement): NodeAddress[] {
  const byAddress = format.includes('IP only')
  return servers.map((node) => (byAddress ? { host: node.ip ?? '', port: node.port } : node))
}

function cluster(size: number): NodeAddress[] {
  return Array.from({ length: size }, (_, i) => ({ host: `10.0.0.${i}`, port: 11211 }))
}

const keys = Array.from({ length: 5_000 }, (_, i) => (i % 5 === 0 ? `ключ:${i}` : `user:${i}`))

describe('places keys where other clients do', () => {
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
    const nodes = cluster(7)
    const client = memjs.Client.create(nodes.map(nodeName).join(',')) as unknown as {
      getServer(key: string): number
    }
    const ring = hashRing('memjs', nodes)
    expect(keys.map((key) => ring.indexOf(key))).toEqual(keys.map((key) => client.getServer(key)))
  })

  test('there are placements for every hashing of another client', () => {
    const covered = new Set<string>(placements.map(({ placement }) => hashingOf(placement)))
    expect(hashings.filter((hashing) => !covered.has(hashing))).toEqual(['memjs'])
  })
})

describe('md5', () => {
  test('is that of node:crypto for every length and alphabet', () => {
    for (const letter of ['k', 'ü', 'ключ', '👍', '\ud800']) {
      for (const length of [0, 1, 13, 54, 55, 56, 63, 64, 65, 119, 120, 250, 5_000, 70_000]) {
        const text = letter.repeat(length)
        const words = createHash('md5').update(text).digest()
        expect([...md5(text)], `${letter} × ${length}`).toEqual(
          [0, 4, 8, 12].map((at) => words.readInt32LE(at)),
        )
      }
    }
  })
})

describe.each(hashings)('%s', (hashing) => {
  test('every key has a node, and every node has keys', () => {
    for (const size of [2, 3, 25]) {
      const ring = hashRing(hashing, cluster(size))
      expect(new Set(keys.map((key) => ring.indexOf(key)))).toEqual(
        new Set(Array.from({ length: size }, (_, i) => i)),
      )
    }
  })

  test('one node has all keys', () => {
    const ring = hashRing(hashing, cluster(1))
    expect(keys.every((key) => ring.indexOf(key) === 0)).toBe(true)
  })
})

describe('ketama', () => {
  const nodes = ['a', 'b', 'c'].map((host) => ({ host, port: 11211 }))
  const ring = hashRing('ketama', nodes)

  test('neither the order of the nodes nor their addresses move a key', () => {
    const reversed = [...nodes].reverse().map((node, i) => ({ ...node, ip: `10.0.0.${i}` }))
    const other = hashRing('ketama', reversed)
    expect(
      keys.filter((key) => nodes[ring.indexOf(key)]?.host !== reversed[other.indexOf(key)]?.host),
    ).toEqual([])
  })

  test('a node more takes its share of the keys, and no key moves otherwise', () => {
    const larger = hashRing('ketama', [...nodes, { host: 'd', port: 11211 }])
    const moved = keys.filter((key) => ring.indexOf(key) !== larger.indexOf(key))
    expect(moved.every((key) => larger.indexOf(key) === 3)).toBe(true)
    expect(moved.length / keys.length).toBeGreaterThan(0.15)
    expect(moved.length / keys.length).toBeLessThan(0.35)
  })

  test('a weight of 0 is one of 1, as in libmemcached', () => {
    const zero = hashRing(
      'ketama',
      nodes.map((node) => ({ ...node, weight: 0 })),
    )
    expect(keys.map((key) => zero.indexOf(key))).toEqual(keys.map((key) => ring.indexOf(key)))
  })
})
