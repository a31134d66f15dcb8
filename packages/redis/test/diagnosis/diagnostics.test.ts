import type { ByteStore } from '@stowage/core/driver'
import type { BackendReport, CheckOptions } from '@stowage/core/tools'
import { type RedisOptions, redis } from '@stowage/redis'
import {
  command,
  freePort,
  Stalls,
  startCluster,
  startRedis,
  startReplicated,
  startSentinels,
} from '@stowage/test-servers'
import { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'

const local = (port: number) => `127.0.0.1:${port}`

async function using<T>(options: RedisOptions, work: (store: ByteStore) => Promise<T>): Promise<T> {
  const store = redis({ timeout: '2s', ...options })
  try {
    return await work(store)
  } finally {
    await store.close()
  }
}

function check(options: RedisOptions, checkOptions?: CheckOptions): Promise<BackendReport> {
  return using(options, async ({ diagnostics }) => {
    const report = await diagnostics?.check(checkOptions)
    return report as BackendReport
  })
}

const codesOf = ({ findings }: BackendReport) => findings.map(({ code }) => code)

describe('a cluster', () => {
  test('reports all nodes, unassigned slots and where a key is stored', async () => {
    const cluster = await startCluster({ replicasPerPrimary: 1 })
    const [first, second] = cluster.nodes.map(({ port }) => local(port))
    const clusterNodes = [first as string]
    const healthy = await check({ clusterNodes })
    expect(codesOf(healthy)).toEqual([])
    expect(healthy.servers.map(({ role }) => role).sort()).toEqual([
      ...['primary', 'primary', 'primary'],
      ...['replica', 'replica', 'replica'],
    ])
    const where = await using({ clusterNodes }, async (store) => store.diagnostics?.locate?.('foo'))
    expect(where).toMatch(/^127\.0\.0\.1:\d+ \(slot 12182\)$/)
    expect(codesOf(await check({ url: `redis://${first}` }))).toEqual(['redis-cluster-node'])
    await command(cluster.nodes[0]?.port as number, 'CLUSTER', 'DELSLOTS', 0)
    expect(codesOf(await check({ clusterNodes }))).toEqual(['redis-slots'])
    await cluster.nodes[1]?.stop()
    expect(await check({ clusterNodes })).toMatchObject({
      findings: expect.arrayContaining([
        expect.objectContaining({ code: 'unreachable', subject: second }),
      ]),
    })
    await cluster.stop()
  })

  test('reports a server that is not a node of one', async () => {
    const server = await startRedis()
    expect(codesOf(await check({ clusterNodes: [local(server.port)] }))).toEqual([
      'redis-not-cluster',
    ])
    await server.stop()
  })
})

describe('Sentinels', () => {
  test('lead to the primary and its replicas; a dead one and a wrong name are reported', async () => {
    const replicated = await startReplicated({ replicas: 1 })
    const sentinels = await startSentinels({ replicated })
    const addresses = sentinels.ports.map(local)
    const healthy = await check({ sentinels: addresses })
    expect(codesOf(healthy)).toEqual([])
    expect(healthy.servers.map(({ role }) => role)).toEqual(['primary', 'replica'])
    const dead = local(await freePort())
    const partly = await check({ sentinels: [...addresses, dead] })
    expect(partly.findings).toMatchObject([{ code: 'unreachable', subject: dead }])
    const misnamed = await check({ sentinels: addresses, sentinelName: 'other' })
    expect(new Set(codesOf(misnamed))).toEqual(new Set(['redis-sentinel-name']))
    await sentinels.stop()
    await replicated.stop()
  })
})

describe('replicas', () => {
  test('reports a primary, a replica of another primary and a disconnected replica', async () => {
    const [one, other] = await Promise.all([
      startReplicated({ replicas: 1 }),
      startReplicated({ replicas: 1 }),
    ])
    const url = one.primary.url
    const codesWith = async (port: number) => codesOf(await check({ url, replicas: [local(port)] }))
    const [own, foreign] = [one.replicas[0]?.port as number, other.replicas[0]?.port as number]
    expect(await codesWith(own)).toEqual([])
    expect(await codesWith(other.primary.port)).toEqual(['redis-replica-is-primary'])
    expect(await codesWith(foreign)).toEqual(['redis-foreign-replica'])
    await command(own, 'REPLICAOF', '127.0.0.1', await freePort())
    expect(await codesWith(own)).toEqual(['redis-replica-disconnected'])
    await one.stop()
    await other.stop()
  })
})

test('a client of the application is used, and stays open', async () => {
  const server = await startRedis({ args: ['--maxmemory-policy', 'allkeys-lru'] })
  const client = new Redis(server.port)
  const report = await check({ client }, { holdsSessions: true })
  expect(codesOf(report)).toEqual(['eviction'])
  expect(report.servers).toMatchObject([{ address: `localhost:${server.port}`, role: 'primary' }])
  expect(await client.ping()).toBe('PONG')
  client.disconnect()
  await server.stop()
})

test('a user without the permission for INFO and TIME is a warning', async () => {
  const server = await startRedis()
  await command(server.port, 'ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '+ping', '+get')
  const report = await check({ url: `redis://app:pw@${local(server.port)}` })
  expect(report).toMatchObject({
    servers: [{ isReachable: true, facts: {} }],
    findings: [
      { code: 'redis-permission', severity: 'warning' },
      { code: 'redis-not-writable', severity: 'error' },
    ],
  })
  await server.stop()
})

test('a server that does not reply is reported within the deadline', async () => {
  const server = await startRedis()
  server.kill('SIGSTOP')
  const stalls = new Stalls()
  const report = await check({ url: server.url, timeout: '200ms', connectTimeout: '200ms' })
  expect(codesOf(report)).toEqual(['unreachable'])
  stalls.stop()
  expect(stalls.runningMs).toBeLessThan(5_000)
  await server.stop()
})
