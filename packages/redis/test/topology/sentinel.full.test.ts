import { redis } from '@stowage/redis'
import { startProxy } from '@stowage/test-servers'
import { afterEach, describe, expect, test } from 'vitest'
import { serverOptions } from '../../src/connection/client-options.ts'
import { ManagedConnection } from '../../src/connection/managed-connection.ts'
import { resolveOptions } from '../../src/redis-options.ts'
import { serve, waitUntil, waitUntilServed, waitUntilSucceeds } from '../helpers.ts'
import { addressesOf, cleanUp, cleanups, start } from './sentinel-servers.ts'

describe('replicas discovered through Sentinels', () => {
  afterEach(cleanUp)

  test('serve no stale reads; after a failover the old primary serves reads instead of the promoted replica', async () => {
    const { servers, sentinels } = await start()
    const store = redis({
      sentinels: addressesOf(sentinels),
      readFrom: 'replicaPreferred',
      timeout: '20s',
    })
    cleanups.push(() => store.close())
    const readRepeatedly = async () => {
      for (let read = 0; read < 4; read++) await Promise.resolve(store.get('k')).catch(() => {})
    }
    await store.set('k', 'v')
    for (const { port } of servers.replicas) await waitUntilServed([port], readRepeatedly)
    const promoted = (await sentinels.failover()).port
    await waitUntil('the promoted replica serves no reads', async () => {
      return !(await serve([promoted], readRepeatedly).catch(() => true))
    })
    await waitUntilServed([servers.primary.port], readRepeatedly)
    for (let round = 0; round < 50; round++) {
      await store.set('k', `${round}`)
      expect(String(await store.get('k'))).toBe(`${round}`)
    }
  })

  test('are skipped when they freeze, until only the primary is left', async () => {
    const { servers, sentinels } = await start()
    const store = redis({
      sentinels: addressesOf(sentinels),
      readFrom: 'replica',
      timeout: '4s',
    })
    cleanups.push(() => store.close())
    await store.set('k', 'v')
    const ports = servers.replicas.map(({ port }) => port)
    await waitUntilServed(ports, () => store.get('k'))
    for (const { kill } of servers.replicas) {
      kill('SIGSTOP')
      for (let read = 0; read < 20; read++) expect(String(await store.get('k'))).toBe('v')
    }
    for (const { kill } of servers.replicas) kill('SIGCONT')
  })
})

describe('Sentinels that answer slowly', () => {
  afterEach(cleanUp)

  test('are given more time, until one of them has returned the primary', async () => {
    const { sentinels } = await start()
    const proxies = await Promise.all(sentinels.ports.map((port) => startProxy(port)))
    cleanups.push(() => Promise.all(proxies.map((proxy) => proxy.stop())))
    for (const proxy of proxies) proxy.delay(400)
    const store = redis({
      sentinels: proxies.map(({ port }) => `127.0.0.1:${port}`),
      timeout: '20s',
    })
    cleanups.push(() => store.close())
    await waitUntilSucceeds(() => store.set('k', 'v'))
  })
})

describe('a failover that is announced while ioredis looks for the primary', () => {
  afterEach(cleanUp)

  test('does not stop reconnecting', async () => {
    const { sentinels } = await start()
    const connection = new ManagedConnection(
      serverOptions({ sentinels: addressesOf(sentinels) }),
      resolveOptions({}),
    )
    cleanups.push(() => connection.close())
    await connection.ready()
    const { client } = connection
    const connector = Reflect.get(client, 'connector') as { disconnect(): void }
    // ioredis does this on a failover. No call follows that would connect: a bus only receives messages.
    client.once('connecting', () => process.nextTick(() => connector.disconnect()))
    const ended = new Promise((resolve) => client.once('end', resolve))
    client.stream.destroy()
    await ended
    await waitUntil('it is connected again', () => client.status === 'ready')
  })
})
