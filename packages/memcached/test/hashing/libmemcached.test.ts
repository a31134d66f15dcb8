import { spawnSync } from 'node:child_process'
import { connect } from 'node:net'
import { isFullTier, type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Hashing, hashRing } from '../../src/hashing/hash-ring.ts'
import type { NodeAddress } from '../../src/node-address.ts'

const installed = spawnSync('php', ['-m'], { encoding: 'utf8' }).stdout?.includes('memcached')
const host = '127.0.0.1'
const keyCount = 10_000
const keysPerGet = 100

interface Setting {
  readonly hashing: Hashing
  /** The PHP options for the same hashing. */
  readonly php: string
  readonly weights?: readonly number[]
  /** Uses the text protocol, in which PHP accepts only ASCII keys. */
  readonly text?: true
}

const settings: readonly Setting[] = [
  { hashing: 'ketama', php: 'OPT_LIBKETAMA_COMPATIBLE => true' },
  { hashing: 'ketama', php: 'OPT_LIBKETAMA_COMPATIBLE => true', text: true },
  { hashing: 'ketama', php: 'OPT_LIBKETAMA_COMPATIBLE => true', weights: [1, 2, 3] },
  { hashing: 'consistent', php: 'OPT_DISTRIBUTION => Memcached::DISTRIBUTION_CONSISTENT' },
  {
    hashing: 'consistent-md5',
    php: 'OPT_DISTRIBUTION => Memcached::DISTRIBUTION_CONSISTENT, Memcached::OPT_HASH => Memcached::HASH_MD5',
  },
  { hashing: 'modula', php: 'OPT_HASH => Memcached::HASH_DEFAULT' },
  { hashing: 'modula-md5', php: 'OPT_HASH => Memcached::HASH_MD5' },
  { hashing: 'modula-crc', php: 'OPT_HASH => Memcached::HASH_CRC' },
]

test('php-memcached is installed', () => {
  const remedy = 'Install it: apt-get install php-memcached php-cli'
  expect(installed, remedy).toBe(true)
})

describe('php-memcached', () => {
  let servers: MemcachedServer[]

  beforeAll(async () => {
    servers = await Promise.all([startMemcached(), startMemcached(), startMemcached()])
  })
  afterAll(() => Promise.all(servers.map((server) => server.stop())))

  test.each(settings.filter(({ hashing }) => isFullTier || hashing === 'ketama'))(
    'stores keys on the nodes that $hashing maps them to: $php $weights',
    async (setting) => {
      const { hashing, php, weights, text = false } = setting
      const nodes = servers.map(({ port }, i) => ({ host, port, weight: weights?.[i] ?? 1 }))
      const run = settings.indexOf(setting)
      const keys = Array.from({ length: keyCount }, (_, i) =>
        i % 5 > 0 || text ? `${run}:user:${i}` : `${run}:ключ:${i}`,
      )
      writeWithPhp(`Memcached::${php}, Memcached::OPT_BINARY_PROTOCOL => ${!text}`, nodes, keys)
      const ring = hashRing(hashing, nodes)
      const counts = await Promise.all(
        nodes.map(({ port }, index) => {
          const expected = keys.filter((key) => ring.indexOf(key) === index)
          return countOn(port, expected)
        }),
      )
      expect(counts.reduce((sum, count) => sum + count)).toBe(keyCount)
      // A test with all keys on one node would prove nothing.
      expect(Math.min(...counts)).toBeGreaterThan(0)
    },
  )
})

function writeWithPhp(
  options: string,
  nodes: readonly NodeAddress[],
  keys: readonly string[],
): void {
  const servers = nodes.map(({ host, port, weight }) => `['${host}', ${port}, ${weight}]`)
  const script = `
    $cache = new Memcached();
    $cache->setOptions([${options}]) || exit(1);
    $cache->addServers([${servers.join(', ')}]) || exit(2);
    foreach (json_decode(stream_get_contents(STDIN)) as $key) $cache->set($key, 'value') || exit(3);`
  const { status, stderr } = spawnSync('php', ['-r', script], {
    input: JSON.stringify(keys),
    encoding: 'utf8',
  })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
}

/** Counts the keys that exist on the server at this port. */
async function countOn(port: number, keys: readonly string[]): Promise<number> {
  let count = 0
  for (let start = 0; start < keys.length; start += keysPerGet) {
    const reply = await sendText(port, `get ${keys.slice(start, start + keysPerGet).join(' ')}\r\n`)
    count += reply.match(/^VALUE /gm)?.length ?? 0
  }
  return count
}

function sendText(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let reply = ''
    const socket = connect(port, host).on('error', reject)
    socket.on('data', (data) => {
      reply += data
      if (!reply.endsWith('END\r\n')) return
      socket.destroy()
      resolve(reply)
    })
    socket.write(command)
  })
}
