import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startMemcached } from '@stowage/test-servers'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { discoveryChannels } from '../../src/discovery/events.ts'
import {
  addresses,
  advanceToNextPoll,
  clock,
  collectEvents,
  discover,
  host,
  memcached,
  minuteMs,
  nodeLists,
  onCleanup,
  registerHooks,
  shortTimeoutMs,
  startEndpoint,
  waitForNodes,
  waitOptions,
} from './discovery-fixture.ts'

registerHooks()

let warnings: (Error & { code?: string })[]

beforeEach(() => {
  warnings = []
  const collect = (warning: Error) => warnings.push(warning)
  process.on('warning', collect)
  onCleanup(() => process.off('warning', collect))
})

describe('an endpoint without a cluster', () => {
  async function warningsAbout(port: number): Promise<string[]> {
    // Node emits a warning in a later tick.
    await sleep(0)
    const ours = warnings.filter(({ code }) => code === 'STOWAGE_MEMCACHED_SINGLE_NODE')
    return ours.map(({ message }) => message).filter((message) => message.includes(`${port}`))
  }

  test('is used as the only node, with one warning', async () => {
    const events = collectEvents(discoveryChannels.singleNode)
    const stock = await startMemcached()
    onCleanup(() => stock.stop())
    expect(await discover(stock.port).ready()).toEqual(addresses(stock.port))
    expect(await discover(stock.port).ready()).toEqual(addresses(stock.port))
    expect(await warningsAbout(stock.port)).toEqual([
      `memcached: ${host}:${stock.port} has no cluster configuration. The endpoint is used as the only node.`,
    ])
    const event = { endpoint: { host, port: stock.port }, error: undefined }
    expect(events).toEqual([event, event])
  })

  test('is replaced by the nodes of the cluster once it returns a configuration', async () => {
    const endpoint = await startEndpoint()
    endpoint.reply = 'standalone'
    const discovery = discover(endpoint.port)
    expect(await discovery.ready()).toEqual(addresses(endpoint.port))
    await clock.advance(minuteMs)
    await vi.waitFor(() => expect(clock.sleeping).toBe(1), waitOptions)
    endpoint.reply = 'configuration'
    await advanceToNextPoll(endpoint)
    await waitForNodes(discovery, addresses(memcached.port))
    expect(nodeLists).toEqual([addresses(endpoint.port), addresses(memcached.port)])
  })

  test.each(['resets connections', 'does not reply', 'sends a malformed reply'])(
    'includes, with ignoreClusterErrors, one that %s',
    async (problem) => {
      const endpoint = await startEndpoint()
      endpoint.refuseConnections = problem === 'resets connections'
      if (problem === 'does not reply') endpoint.reply = 'none'
      if (problem === 'sends a malformed reply') endpoint.reply = { raw: 'NONSENSE\r\n' }
      const events = collectEvents(discoveryChannels.singleNode)
      const options = { timeoutMs: shortTimeoutMs, ignoreClusterErrors: true }
      const discovery = discover(endpoint.port, options)
      expect(await discovery.ready()).toEqual(addresses(endpoint.port))
      expect(events).toEqual([
        {
          endpoint: { host, port: endpoint.port },
          error: expect.objectContaining({ name: 'CacheError' }),
        },
      ])
      endpoint.refuseConnections = false
      endpoint.reply = 'configuration'
      await clock.advance(1_000)
      await waitForNodes(discovery, addresses(memcached.port))
      expect((await warningsAbout(endpoint.port)).length).toBe(1)
      // The nodes stay in use when a later poll fails.
      endpoint.refuseConnections = true
      const failures = collectEvents(discoveryChannels.failed)
      await clock.advance(minuteMs)
      await vi.waitFor(() => expect(failures.length).toBe(1), waitOptions)
      expect([discovery.nodes, events.length]).toEqual([addresses(memcached.port), 1])
    },
  )
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

  test('checks the certificate against the host name, not the address', async () => {
    const endpoint = await startEndpoint({ tls })
    const { port } = endpoint
    endpoint.nodes = [`cache.test|${host}|${port}`]
    const discoverAt = (name: string) =>
      discover(0, { endpoint: { host: name, port }, tls: { ca: tls.cert }, lookup })
    const discovery = discoverAt('cache.test')
    const nodes = [{ host: 'cache.test', ip: host, port }]
    expect(await discovery.ready()).toEqual(nodes)
    endpoint.scale([...endpoint.nodes, 'b:2'])
    await advanceToNextPoll(endpoint)
    await waitForNodes(discovery, [...nodes, { host: 'b', port: 2 }])
    expect(await discoverAt(host).ready()).toHaveLength(2)
    // Node warns of an IP address that is sent as a server name, which RFC 6066 does not permit.
    expect(warnings).toEqual([])
    await expect(discoverAt('other.test').ready()).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining("does not match certificate's altnames"),
    })
  })

  test('rejects a self-signed certificate', async () => {
    const { port } = await startEndpoint({ tls })
    await expect(discover(port, { tls: {} }).ready()).rejects.toMatchObject({
      message: expect.stringContaining('self-signed certificate'),
    })
  })

  test('rejects an endpoint without TLS', async () => {
    const { port } = await startEndpoint()
    const discovery = discover(port, { tls: {}, timeoutMs: shortTimeoutMs })
    await expect(discovery.ready()).rejects.toMatchObject({
      code: expect.stringMatching(/ERR_CACHE_(UNAVAILABLE|TIMEOUT)/),
    })
  })
})
