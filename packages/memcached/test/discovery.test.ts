import { execFileSync } from 'node:child_process'
import { type Channel, subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import {
  type ConfigurationEndpoint,
  type ConfigurationEndpointOptions,
  configurationEndpoint,
  ManualClock,
} from '@stowage/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { Discovery, type DiscoveryOptions } from '../src/discovery/discovery.ts'
import { discoveryChannels } from '../src/discovery/events.ts'
import type { NodeAddress } from '../src/node-address.ts'
import { hasIPv6 } from './ipv6.ts'

const minuteMs = 60_000
const host = '127.0.0.1'
/** Ample for an answer on a busy machine. */
const timeoutMs = 20_000
/** Where there will be none. */
const shortMs = 800
const patiently = { timeout: 20_000, interval: 5 }

let memcached: MemcachedServer
let clock: ManualClock
/** What `onNodes` was told. */
let told: (readonly NodeAddress[])[]
const stopping: (() => unknown)[] = []

beforeAll(async () => {
  memcached = await startMemcached()
})
afterAll(() => memcached.stop())
beforeEach(() => {
  clock = new ManualClock()
  told = []
})
afterEach(async () => {
  for (const stop of stopping.splice(0).reverse()) await stop()
})

async function emulate(
  options: Partial<ConfigurationEndpointOptions> = {},
): Promise<ConfigurationEndpoint> {
  const target = `${host}:${memcached.port}`
  const endpoint = await configurationEndpoint({ nodes: [target], target, ...options })
  stopping.push(() => endpoint.stop())
  return endpoint
}

/** Members of one cluster that each tell the same; the first one is the endpoint as well. */
async function emulateCluster(size: number): Promise<ConfigurationEndpoint[]> {
  const members = await Promise.all(Array.from({ length: size }, () => emulate()))
  const nodes = members.map(({ port }) => `${host}:${port}`)
  for (const member of members) member.nodes = nodes
  return members
}

function discover(port: number, options: Partial<DiscoveryOptions> = {}): Discovery {
  const onNodes = (nodes: readonly NodeAddress[]) => told.push(nodes)
  const endpoint = { host, port }
  const timing = { timeoutMs, clock, random: () => 0.5 }
  const discovery = new Discovery({ endpoint, ...timing, onNodes, ...options })
  stopping.push(() => discovery.close())
  return discovery
}

/** Collects what is published, until the test is over. */
function listen(channel: Channel): unknown[] {
  const events: unknown[] = []
  const note = (event: unknown) => events.push(event)
  subscribe(channel.name, note)
  stopping.push(() => unsubscribe(channel.name, note))
  return events
}

function addresses(...ports: number[]): NodeAddress[] {
  return ports.map((port) => ({ host, port }))
}

async function nodesBecome(discovery: Discovery, nodes: readonly NodeAddress[]): Promise<void> {
  await vi.waitFor(() => expect(discovery.nodes).toEqual(nodes), patiently)
}

/** Lets the next poll come, and waits until it has been answered by one of these. */
async function nextPoll(...endpoints: ConfigurationEndpoint[]): Promise<void> {
  const asked = () => endpoints.reduce((sum, endpoint) => sum + endpoint.queryCount, 0)
  const before = asked()
  const sleeping = clock.sleeping
  await clock.advance(minuteMs)
  await vi.waitFor(() => expect(asked()).toBeGreaterThan(before), patiently)
  // The one after it is planned once it has been dealt with.
  await vi.waitFor(() => expect(clock.sleeping).toBe(sleeping), patiently)
}

async function serveRaw(onData: (server: Server) => void): Promise<number> {
  const server = createServer()
  onData(server)
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  stopping.push(() => server.close())
  return (server.address() as { port: number }).port
}

describe('the first list', () => {
  test('comes with the first call, and is told', async () => {
    const events = listen(discoveryChannels.nodes)
    const endpoint = await emulate({ nodes: ['a|10.0.0.1|1', 'b:2', '[::1]:3'], version: 7 })
    const discovery = discover(endpoint.port)
    expect(discovery.nodes).toBeUndefined()
    const nodes = [
      { host: 'a', ip: '10.0.0.1', port: 1 },
      { host: 'b', port: 2 },
      { host: '::1', port: 3 },
    ]
    expect(await discovery.first()).toEqual(nodes)
    expect(discovery.nodes).toEqual(nodes)
    expect(told).toEqual([nodes])
    expect(events).toEqual([
      { endpoint: { host, port: endpoint.port }, from: [], to: nodes, version: 7 },
    ])
  })

  test('is asked for once by all who wait for it, and not again', async () => {
    const endpoint = await emulate()
    const discovery = discover(endpoint.port)
    discovery.hurry()
    const lists = await Promise.all([discovery.first(), discovery.first(), discovery.first()])
    expect(new Set(lists).size).toBe(1)
    await discovery.first()
    expect(endpoint.queryCount).toBe(1)
  })

  test('arrives byte by byte', async () => {
    const endpoint = await emulate()
    endpoint.fragmentBytes = 1
    const discovery = discover(endpoint.port)
    expect(await discovery.first()).toEqual(addresses(memcached.port))
  })

  test.each([80, 7, 60_000])('claims a wrong length, %i', async (bytes) => {
    const endpoint = await emulate()
    endpoint.declaredBytes = bytes
    expect(await discover(endpoint.port).first()).toEqual(addresses(memcached.port))
  })

  test('comes from an engine that knows only the older question', async () => {
    const endpoint = await emulate()
    endpoint.reply = 'legacy'
    expect(await discover(endpoint.port).first()).toEqual(addresses(memcached.port))
  })

  test('may be an item of a stock memcached', async () => {
    const text = `3\na|10.0.0.1|11211 b||11212\n`
    const stock = await startMemcached()
    stopping.push(() => stock.stop())
    await new Promise<void>((resolve, reject) => {
      const socket = connect(stock.port, host).on('error', reject)
      socket.write(`set AmazonElastiCache:cluster 0 0 ${text.length}\r\n${text}\r\n`)
      socket.once('data', () => resolve(void socket.destroy()))
    })
    expect(await discover(stock.port).first()).toEqual([
      { host: 'a', ip: '10.0.0.1', port: 11211 },
      { host: 'b', port: 11212 },
    ])
  })

  test.runIf(hasIPv6)('comes over IPv6, where the machine has it', async () => {
    const endpoint = await emulate({ host: '::1' })
    endpoint.nodes = [`[::1]:${endpoint.port}`, `node|fd00::1|2`]
    const discovery = discover(endpoint.port, { endpoint: { host: '::1', port: endpoint.port } })
    expect(await discovery.first()).toEqual([
      { host: '::1', port: endpoint.port },
      { host: 'node', ip: 'fd00::1', port: 2 },
    ])
    endpoint.scale(endpoint.nodes.slice(0, 1))
    await nextPoll(endpoint)
    await nodesBecome(discovery, [{ host: '::1', port: endpoint.port }])
  })

  test('comes from whichever address of the endpoint answers', async () => {
    const endpoint = await emulate()
    const lookup = async () => [
      { address: '127.0.0.1' },
      { address: '::1' },
      { address: '127.9.9.9' },
    ]
    const at = { host: 'name.invalid', port: endpoint.port }
    const discovery = discover(endpoint.port, { endpoint: at, lookup })
    expect(await discovery.first()).toEqual(addresses(memcached.port))
  })
})

describe('without a first list', () => {
  test('a call fails, and a later one tries again', async () => {
    const endpoint = await emulate()
    const { port } = endpoint
    await endpoint.stop()
    const failures = listen(discoveryChannels.failed)
    const discovery = discover(port)
    const failure = {
      name: 'CacheError',
      code: 'ERR_CACHE_UNAVAILABLE',
      store: 'memcached',
      message: expect.stringContaining(`${host}:${port}: connect ECONNREFUSED`),
    }
    await expect(discovery.first()).rejects.toMatchObject(failure)
    expect(failures).toEqual([
      { endpoint: { host, port }, error: expect.objectContaining(failure) },
    ])
    await endpoint.listen(port)
    // For a second the answer is known; nobody is asked.
    await clock.advance(999)
    await expect(discovery.first()).rejects.toMatchObject(failure)
    expect(endpoint.queryCount).toBe(0)
    await clock.advance(1)
    expect(await discovery.first()).toEqual(addresses(memcached.port))
    expect(told.length).toBe(1)
  })

  test('it is asked for again without a call', async () => {
    const endpoint = await emulate()
    endpoint.refuseConnections = true
    const discovery = discover(endpoint.port)
    await expect(discovery.first()).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    endpoint.refuseConnections = false
    await clock.advance(1_000)
    await nodesBecome(discovery, addresses(memcached.port))
  })

  test('an endpoint that is silent is given up in time', async () => {
    const endpoint = await emulate()
    endpoint.reply = 'none'
    const discovery = discover(endpoint.port, { timeoutMs: shortMs })
    const asked = performance.now()
    await expect(discovery.first()).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    // A timer may come a millisecond early.
    expect(performance.now() - asked).toBeGreaterThan(shortMs - 5)
    endpoint.reply = 'configuration'
    await clock.advance(1_000)
    expect(await discovery.first()).toEqual(addresses(memcached.port))
  })

  test('so is a name that is looked up without end', async () => {
    const discovery = discover(1, { timeoutMs: shortMs, lookup: () => new Promise(() => {}) })
    await expect(discovery.first()).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  })

  test('so is one that never completes its answer', async () => {
    const endpoint = await emulate()
    endpoint.reply = { raw: 'CONFIG cluster 0 50\r\n1\na||1' }
    await expect(discover(endpoint.port, { timeoutMs: shortMs }).first()).rejects.toMatchObject({
      code: 'ERR_CACHE_TIMEOUT',
    })
  })

  test.each([
    ['is no configuration', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['has no nodes', 'CONFIG cluster 0 2\r\n1\n\r\nEND\r\n'],
    ['has no version', 'CONFIG cluster 0 0\r\n\r\nEND\r\n'],
    ['too long', `CONFIG cluster 0 900000\r\n${'x'.repeat(70_000)}`],
  ])('an answer that cannot be understood is an error: %s', async (problem, raw) => {
    const endpoint = await emulate()
    endpoint.reply = { raw }
    await expect(discover(endpoint.port).first()).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining(problem),
    })
  })

  test('an endpoint that hangs up is an error', async () => {
    const port = await serveRaw((server) => server.on('connection', (socket) => socket.end()))
    await expect(discover(port).first()).rejects.toMatchObject({
      message: expect.stringContaining('closed the connection'),
    })
  })

  test('a name without an address is an error', async () => {
    const discovery = discover(1, { lookup: async () => [] })
    await expect(discovery.first()).rejects.toMatchObject({
      message: expect.stringContaining('no address'),
    })
  })
})

describe('a plain memcached', () => {
  let warnings: (Error & { code?: string })[]

  beforeEach(() => {
    warnings = []
    const note = (warning: Error) => warnings.push(warning)
    process.on('warning', note)
    stopping.push(() => process.off('warning', note))
  })

  /** Warnings are emitted in a later tick. */
  async function noticesOf(port: number): Promise<string[]> {
    await sleep(0)
    const ours = warnings.filter(({ code }) => code === 'STOWAGE_PLAIN_MEMCACHED')
    return ours.map(({ message }) => message).filter((message) => message.includes(`${port}`))
  }

  test('is the only node, with one notice', async () => {
    const events = listen(discoveryChannels.plain)
    const stock = await startMemcached()
    stopping.push(() => stock.stop())
    expect(await discover(stock.port).first()).toEqual(addresses(stock.port))
    expect(await discover(stock.port).first()).toEqual(addresses(stock.port))
    expect(await noticesOf(stock.port)).toEqual([
      `${host}:${stock.port} has no cluster configuration, as a plain memcached. It is used as the only node.`,
    ])
    const event = { endpoint: { host, port: stock.port }, error: undefined }
    expect(events).toEqual([event, event])
  })

  test('that becomes a cluster is noticed', async () => {
    const endpoint = await emulate()
    endpoint.reply = 'standalone'
    const discovery = discover(endpoint.port)
    expect(await discovery.first()).toEqual(addresses(endpoint.port))
    endpoint.reply = 'configuration'
    await nextPoll(endpoint)
    await nodesBecome(discovery, addresses(memcached.port))
    expect(told).toEqual([addresses(endpoint.port), addresses(memcached.port)])
  })

  test.each(['refusing', 'silent', 'talking nonsense'])(
    'is what an endpoint passes for that is %s, where cluster errors are ignored',
    async (trouble) => {
      const endpoint = await emulate()
      endpoint.refuseConnections = trouble === 'refusing'
      if (trouble !== 'refusing') {
        endpoint.reply = trouble === 'silent' ? 'none' : { raw: 'NONSENSE\r\n' }
      }
      const events = listen(discoveryChannels.plain)
      const discovery = discover(endpoint.port, { timeoutMs: shortMs, ignoreClusterErrors: true })
      expect(await discovery.first()).toEqual(addresses(endpoint.port))
      expect(events).toEqual([
        {
          endpoint: { host, port: endpoint.port },
          error: expect.objectContaining({ name: 'CacheError' }),
        },
      ])
      endpoint.refuseConnections = false
      endpoint.reply = 'configuration'
      await clock.advance(1_000)
      await nodesBecome(discovery, addresses(memcached.port))
      expect((await noticesOf(endpoint.port)).length).toBe(1)
    },
  )
})

describe('a cluster that changes', () => {
  test('is followed: larger, smaller, other nodes', async () => {
    const [endpoint] = (await emulateCluster(1)) as [ConfigurationEndpoint]
    const { port } = endpoint
    const events = listen(discoveryChannels.nodes)
    const discovery = discover(port)
    await discovery.first()
    for (const ports of [
      [port, 2, 3],
      [port, 3],
      [port, 4, 5, 6],
    ]) {
      endpoint.scale(ports.map((each) => `${host}:${each}`))
      await nextPoll(endpoint)
      await nodesBecome(discovery, addresses(...ports))
    }
    expect(events.slice(1)).toMatchObject([
      { from: addresses(port), to: addresses(port, 2, 3), version: 2 },
      { from: addresses(port, 2, 3), to: addresses(port, 3), version: 3 },
      { from: addresses(port, 3), to: addresses(port, 4, 5, 6), version: 4 },
    ])
  })

  test('by an address alone, with the same version, is followed', async () => {
    const endpoint = await emulate({ nodes: ['cache|127.0.0.1|1'], version: 5 })
    const discovery = discover(endpoint.port)
    await discovery.first()
    endpoint.nodes = ['cache|127.0.0.2|1']
    await nextPoll(endpoint)
    await nodesBecome(discovery, [{ host: 'cache', ip: '127.0.0.2', port: 1 }])
  })

  test('in its version only is the same', async () => {
    const [endpoint] = (await emulateCluster(1)) as [ConfigurationEndpoint]
    const discovery = discover(endpoint.port)
    await discovery.first()
    endpoint.version = 9
    await nextPoll(endpoint)
    // Older than what is known by now.
    endpoint.version = 8
    endpoint.nodes = ['stale:1']
    await nextPoll(endpoint)
    expect(told).toEqual([addresses(endpoint.port)])
  })

  test.each([
    ['nonsense', { raw: 'NONSENSE\r\n' }],
    ['no nodes', { raw: 'CONFIG cluster 0 2\r\n9\n\r\nEND\r\n' }],
    ['a node twice', { raw: 'CONFIG cluster 0 14\r\n9\na||1 a|b|1\n\r\nEND\r\n' }],
    ['a node that is none', { raw: 'CONFIG cluster 0 9\r\n9\na||1 b\n\r\nEND\r\n' }],
    ['silence', 'none'],
    ['that there is no cluster', 'standalone'],
  ] as const)('is not believed when it says %s', async (_, answer) => {
    const [endpoint] = (await emulateCluster(1)) as [ConfigurationEndpoint]
    const failures = listen(discoveryChannels.failed)
    const discovery = discover(endpoint.port, { timeoutMs: shortMs })
    const nodes = await discovery.first()
    endpoint.reply = answer
    await clock.advance(minuteMs)
    await vi.waitFor(() => expect(failures.length).toBe(1), patiently)
    expect(discovery.nodes).toBe(nodes)
    endpoint.reply = 'configuration'
    endpoint.scale([`${host}:${endpoint.port}`, 'b:2'])
    // After a failure it is asked again soon.
    await vi.waitFor(() => expect(clock.sleeping).toBe(1), patiently)
    await clock.advance(1_000)
    await nodesBecome(discovery, [...nodes, { host: 'b', port: 2 }])
  })

  test.each(['asked at its nodes', 'of nodes that do not know it'])(
    '%s: by going back is believed at the third time in a row',
    async (kind) => {
      const endpoint = await emulate({ version: 5 })
      const port = kind.endsWith('nodes') ? endpoint.port : memcached.port
      const current = [`${host}:${port}`]
      const older = [...current, 'older:1']
      endpoint.nodes = current
      const discovery = discover(endpoint.port)
      await discovery.first()
      for (const version of [4, 4, 5, 4, 4]) {
        endpoint.version = version
        endpoint.nodes = version === 4 ? older : current
        await nextPoll(endpoint)
        expect(told.length).toBe(1)
      }
      await nextPoll(endpoint)
      await nodesBecome(discovery, [...addresses(port), { host: 'older', port: 1 }])
    },
  )

  test('early is noticed early, when a node has failed', async () => {
    const [endpoint] = (await emulateCluster(1)) as [ConfigurationEndpoint]
    const discovery = discover(endpoint.port)
    await discovery.first()
    endpoint.scale([`${host}:${endpoint.port}`, 'b:2'])
    for (let i = 0; i < 10; i++) discovery.hurry()
    await clock.advance(999)
    expect(endpoint.queryCount).toBe(1)
    await clock.advance(1)
    await vi.waitFor(() => expect(told.length).toBe(2), patiently)
    expect(endpoint.queryCount).toBe(2)
  })
})

describe('who is asked', () => {
  test('the nodes in turn', async () => {
    const members = (await emulateCluster(3)) as ConfigurationEndpoint[]
    const discovery = discover(members[0]?.port as number)
    await discovery.first()
    const before = members.map(({ queryCount }) => queryCount)
    for (let i = 0; i < 6; i++) await nextPoll(...members)
    expect(members.map(({ queryCount }, i) => queryCount - (before[i] as number))).toEqual([
      2, 2, 2,
    ])
  })

  test('another node where one does not answer, in a quarter of the time', async () => {
    const [silent, other] = (await emulateCluster(2)) as [
      ConfigurationEndpoint,
      ConfigurationEndpoint,
    ]
    const patientMs = 4_000
    const discovery = discover(silent.port, { timeoutMs: patientMs })
    await discovery.first()
    silent.reply = 'none'
    other.scale([`${host}:${other.port}`])
    const asked = performance.now()
    await clock.advance(minuteMs)
    await nodesBecome(discovery, addresses(other.port))
    expect(silent.queryCount).toBe(2)
    expect(performance.now() - asked).toBeLessThan(patientMs)
  })

  test('the endpoint, looked up again, where no node answers; it is believed whatever its version', async () => {
    const { port } = await emulate({ nodes: ['gone|127.0.0.1|1', 'gone|127.0.0.1|2'], version: 9 })
    const replacement = await emulate({ host: '127.0.0.2', port, nodes: ['new:1'], version: 2 })
    let address = '127.0.0.1'
    const lookup = vi.fn(async () => [{ address }])
    const discovery = discover(port, { endpoint: { host: 'cache.invalid', port }, lookup })
    await discovery.first()
    address = '127.0.0.2'
    await nextPoll(replacement)
    await nodesBecome(discovery, [{ host: 'new', port: 1 }])
    expect(lookup).toHaveBeenCalledTimes(2)
  })
})

describe('with TLS', () => {
  let folder: string
  let tls: { cert: Buffer; key: Buffer }

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'stowage-tls-'))
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key]
    const subject = ['-subj', '/CN=cache', '-addext', 'subjectAltName=DNS:cache.test,IP:127.0.0.1']
    execFileSync('openssl', [...request, '-out', cert, ...subject], { stdio: 'ignore' })
    tls = { cert: readFileSync(cert), key: readFileSync(key) }
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const lookup = async () => [{ address: host }]

  test('the certificate is checked for the name, at whatever address', async () => {
    const endpoint = await emulate({ tls })
    endpoint.nodes = [`cache.test|${host}|${endpoint.port}`]
    const named = (name: string) =>
      discover(0, { endpoint: { host: name, port: endpoint.port }, tls: { ca: tls.cert }, lookup })
    const discovery = named('cache.test')
    const nodes = [{ host: 'cache.test', ip: host, port: endpoint.port }]
    expect(await discovery.first()).toEqual(nodes)
    endpoint.scale([...endpoint.nodes, 'b:2'])
    await nextPoll(endpoint)
    await nodesBecome(discovery, [...nodes, { host: 'b', port: 2 }])
    expect(await named(host).first()).toHaveLength(2)
    await expect(named('other.test').first()).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining("does not match certificate's altnames"),
    })
  })

  test('a certificate nobody vouches for is refused', async () => {
    const { port } = await emulate({ tls })
    await expect(discover(port, { tls: {} }).first()).rejects.toMatchObject({
      message: expect.stringContaining('self-signed certificate'),
    })
  })

  test('a server without it is given up', async () => {
    const { port } = await emulate()
    await expect(discover(port, { tls: {}, timeoutMs: shortMs }).first()).rejects.toMatchObject({
      code: expect.stringMatching(/ERR_CACHE_(UNAVAILABLE|TIMEOUT)/),
    })
  })
})

describe('closed', () => {
  test('it ends what is under way, and its connection', async () => {
    let left = 0
    const port = await serveRaw((server) =>
      server.on('connection', (socket) => {
        left++
        socket.resume().on('close', () => left--)
      }),
    )
    const discovery = discover(port, { timeoutMs: 60_000 })
    const waiting = expect(discovery.first()).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
    await vi.waitFor(() => expect(left).toBe(1), patiently)
    await Promise.all([discovery.close(), discovery.close(), waiting])
    await vi.waitFor(() => expect(left).toBe(0), patiently)
    await expect(discovery.first()).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
  })

  test('it does so also while a name is looked up', async () => {
    const failures = listen(discoveryChannels.failed)
    const discovery = discover(1, { timeoutMs: 60_000, lookup: () => new Promise(() => {}) })
    const waiting = expect(discovery.first()).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
    await discovery.close()
    await waiting
    expect(failures).toEqual([])
  })

  test('it does so also while the nodes are asked, before the endpoint', async () => {
    const endpoint = await emulate()
    const silent = await serveRaw((server) => server.on('connection', (socket) => socket.resume()))
    endpoint.nodes = [`${host}:${silent}`]
    const discovery = discover(endpoint.port, { timeoutMs: 600_000 })
    await discovery.first()
    await clock.advance(2 * minuteMs)
    await discovery.close()
    expect(endpoint.queryCount).toBe(1)
  })

  test('it asks nobody any more', async () => {
    const endpoint = await emulate()
    const discovery = discover(endpoint.port)
    await discovery.first()
    await discovery.close()
    discovery.hurry()
    await clock.advance(10 * minuteMs)
    expect(endpoint.queryCount).toBe(1)
    expect(clock.sleeping).toBe(0)
  })
})
