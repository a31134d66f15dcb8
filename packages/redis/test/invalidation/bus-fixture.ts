import type { InvalidationBus } from '@stowage/core'
import { redisBus, redisTracking } from '@stowage/redis'
import {
  command,
  type FaultProxy,
  type RedisServer,
  startProxy,
  startRedis,
} from '@stowage/test-servers'
import { afterEach } from 'vitest'

export const shortTimeouts = { timeout: '1s', connectTimeout: '1s' } as const

/** What a listener receives: changed keys, or `undefined` for "anything may have changed". */
export type Notification = readonly string[] | undefined

/** Both kinds of bus, and how another process changes a key so that they announce it. */
export const buses = {
  redisBus: {
    createBus: redisBus,
    changeKey: async (port: number, key: string) => {
      const publisher = redisBus({ url: `redis://127.0.0.1:${port}` })
      await publisher.publish([key])
      await publisher.close()
    },
  },
  redisTracking: {
    createBus: redisTracking,
    changeKey: async (port: number, key: string) => void (await command(port, 'SET', key, 'v')),
  },
}

/** Servers, proxies and buses that end after each test. */
export function busFixture() {
  const cleanups: (() => unknown)[] = []

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  return {
    cleanups,
    async startServer(args: string[] = []): Promise<RedisServer> {
      const server = await startRedis({ args })
      cleanups.push(server.stop)
      return server
    },
    async startFaultProxy(port: number): Promise<FaultProxy> {
      const proxy = await startProxy(port)
      cleanups.push(() => proxy.stop())
      return proxy
    },
    closeAfterTest(bus: InvalidationBus): InvalidationBus {
      cleanups.push(() => bus.close())
      return bus
    },
  }
}

/** Subscribes to the bus. Returns an array that receives the notifications from then on. */
export async function recordNotifications(bus: InvalidationBus): Promise<Notification[]> {
  const notifications: Notification[] = []
  await bus.subscribe((keys) => notifications.push(keys))
  notifications.length = 0
  return notifications
}
