import type { InvalidationBus } from '@stowage/core'
import {
  command,
  type FaultProxy,
  type RedisServer,
  startRedis,
  startReplicated,
  startSentinels,
} from '@stowage/test-servers'
import { beforeEach, describe, expect, test } from 'vitest'
import { waitUntil } from '../helpers.ts'
import { startLinked } from '../topology/replicated-servers.ts'
import {
  buses,
  busFixture,
  type Notification,
  recordNotifications,
  shortTimeouts,
} from './bus-fixture.ts'

const { cleanups, startServer, startFaultProxy, closeAfterTest } = busFixture()

/** Keeps copies of values as the contract of a bus requires. */
class LocalCopies {
  hits = 0
  readonly #bus: InvalidationBus
  readonly #port: number
  readonly #copies = new Map<string, unknown>()
  #notifications = 0

  constructor(bus: InvalidationBus, port: number) {
    this.#bus = bus
    this.#port = port
  }

  invalidate(keys: Notification): void {
    this.#notifications++
    for (const key of keys ?? this.#copies.keys()) this.#copies.delete(key)
  }

  async read(key: string): Promise<void> {
    if (this.#bus.connected && this.#copies.has(key)) {
      this.hits++
      return
    }
    const before = this.#notifications
    const value = await command(this.#port, 'GET', key)
    if (this.#bus.connected && this.#notifications === before) this.#copies.set(key, value)
  }

  async areCurrent(): Promise<boolean> {
    for (const [key, copy] of this.#copies)
      if ((await command(this.#port, 'GET', key)) !== copy) return false
    return true
  }
}

describe.each(Object.entries(buses))('%s', (_name, { createBus, changeKey }) => {
  describe('notifies "anything" when the connection is lost, and when it is restored', () => {
    let server: RedisServer
    let proxy: FaultProxy
    let bus: InvalidationBus
    let notifications: Notification[]

    beforeEach(async () => {
      server = await startRedis()
      cleanups.push(() => server.stop())
      proxy = await startFaultProxy(server.port)
      bus = closeAfterTest(createBus({ url: proxy.url, ...shortTimeouts }))
      notifications = await recordNotifications(bus)
    })

    async function expectRecovery(): Promise<void> {
      await waitUntil('the bus is connected', () => bus.connected)
      expect(notifications).toEqual([undefined, undefined])
      await changeKey(server.port, 'after')
      await waitUntil('a change arrives', () => notifications.length > 2)
      expect(notifications[2]).toEqual(['after'])
    }

    const waitUntilDisconnected = () => waitUntil('the bus is disconnected', () => !bus.connected)

    const faults = {
      'the connection is cut': async () => proxy.cut(),
      'the server is restarted': async () => {
        await server.stop()
        await waitUntilDisconnected()
        server = await server.restart()
      },
      'the network drops everything': async () => {
        proxy.mute(true)
        await waitUntilDisconnected()
        proxy.mute(false)
      },
      'the server is frozen': async () => {
        server.kill('SIGSTOP')
        await waitUntilDisconnected()
        server.kill('SIGCONT')
      },
    }
    test.each(Object.entries(faults))('%s', async (_, fault) => {
      await fault()
      await waitUntil('the loss is announced', () => notifications.length > 0)
      await expectRecovery()
    })

    test('new connections are refused for a while', async () => {
      proxy.refuse(true)
      proxy.cut()
      await waitUntil('several attempts are refused', () => proxy.refused > 3)
      expect(bus.connected).toBe(false)
      expect(notifications).toEqual([undefined])
      proxy.refuse(false)
      await expectRecovery()
    })
  })

  test('leaves no stale copy, whichever connections are cut', async () => {
    const { port } = await startServer()
    const [publisherProxy, subscriberProxy] = [
      await startFaultProxy(port),
      await startFaultProxy(port),
    ]
    const publisher = closeAfterTest(createBus({ url: publisherProxy.url, ...shortTimeouts }))
    const bus = closeAfterTest(createBus({ url: subscriberProxy.url, ...shortTimeouts }))
    const copies = new LocalCopies(bus, port)
    await bus.subscribe((keys) => copies.invalidate(keys))
    for (let round = 0; round < 400; round++) {
      if (round % 100 === 25) subscriberProxy.cut()
      // The published message is lost.
      publisherProxy.mute(round % 40 === 0, 'requests')
      if (round % 8 === 0) {
        const key = `key:${(round / 8) % 7}`
        await command(port, 'SET', key, round)
        const published = (async () => publisher.publish([key]))().catch(() => {})
        if (round % 40 === 0) publisherProxy.cut()
        await published
      } else await copies.read(`key:${(round * 3) % 7}`)
    }
    await waitUntil('the bus is connected', () => bus.connected)
    expect(copies.hits).toBeGreaterThan(0)
    // The copies have no ttl: a stale one would stay stale.
    await waitUntil('all copies are current', () => copies.areCurrent())
  })

  test('announces a change on a replica once the replica has applied it', async () => {
    const { primary, replicas, links, stop } = await startLinked(1)
    cleanups.push(stop)
    const replica = replicas[0]?.port ?? 0
    const options = { url: primary.url, replicas: [`127.0.0.1:${replica}`] }
    const bus = closeAfterTest(createBus(options))
    const notifications = await recordNotifications(bus)
    const values: unknown[] = []
    await bus.subscribe(async () => {
      // Also announces that a server stops, at the end of this test.
      const value = await command(replica, 'GET', 'a').catch(() => undefined)
      values.push(value)
    })
    values.length = 0
    for (const link of links) link.mute(true, 'replies')
    await command(primary.port, 'SET', 'a', 'v')
    await changeKey(primary.port, 'a')
    await waitUntil('the primary announces the change', () => {
      return notifications.flat().includes('a') && values.length > 0
    })
    expect(values).not.toContain('v')
    const before = values.length
    for (const link of links) link.mute(false)
    await waitUntil('the replica announces the change', () => {
      return values.length > before && values.at(-1) === 'v'
    })
    expect(notifications.flat().every((key) => key === 'a')).toBe(true)
  })

  test('is disconnected while one of its servers is', async () => {
    const { primary, replicas, stop } = await startReplicated({ replicas: 1 })
    cleanups.push(stop)
    const proxy = await startFaultProxy(replicas[0]?.port ?? 0)
    const options = { url: primary.url, replicas: [`127.0.0.1:${proxy.port}`], ...shortTimeouts }
    const bus = closeAfterTest(createBus(options))
    const notifications = await recordNotifications(bus)
    proxy.refuse(true)
    proxy.cut()
    await waitUntil('the bus is disconnected', () => !bus.connected)
    expect(notifications).toEqual([undefined])
    proxy.refuse(false)
    await waitUntil('the bus is connected', () => bus.connected)
    expect(notifications).toEqual([undefined, undefined])
  })

  test('connects to the new primary after a Sentinel failover', async () => {
    const replicated = await startReplicated()
    cleanups.push(replicated.stop)
    const sentinels = await startSentinels({ replicated })
    cleanups.push(sentinels.stop)
    const addresses = sentinels.addresses.map(({ host, port }) => `${host}:${port}`)
    const bus = closeAfterTest(createBus({ sentinels: addresses, timeout: '200ms' }))
    const notifications = await recordNotifications(bus)
    const old = (await sentinels.currentPrimary()).port
    replicated.primary.kill('SIGKILL')
    await waitUntil('the loss is announced', () => notifications.length > 0)
    const current = () => sentinels.currentPrimary().catch(() => ({ port: old }))
    await waitUntil('there is a new primary', async () => (await current()).port !== old)
    await waitUntil('a change arrives', async () => {
      // Sentinels that missed the first promotion may promote another replica.
      const { port } = await current()
      if (bus.connected) await changeKey(port, 'after').catch(() => {})
      return notifications.flat().includes('after')
    })
  })
})
