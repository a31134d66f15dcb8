import { redis, redisTracking } from '@stowage/redis'
import { command } from '@stowage/test-servers'
import { describe, expect, test } from 'vitest'
import { waitUntil } from '../helpers.ts'
import { busFixture, recordNotifications, shortTimeouts } from './bus-fixture.ts'

const { cleanups, startServer, closeAfterTest } = busFixture()

describe('redisTracking', () => {
  test('announces every kind of change to keys with one of the prefixes', async () => {
    const { url } = await startServer()
    const prefixes = ['app:', 'app:user:', 'app:', 'session:']
    const bus = closeAfterTest(redisTracking({ url, prefixes }))
    const notifications = await recordNotifications(bus)
    const store = redis({ url, timeout: '20s' })
    cleanups.push(() => store.close())
    await store.set('other:1', 'v')
    await store.set('app:user:1', 'v', 20)
    await store.increment('session:1', 1)
    await store.delete('session:1')
    await waitUntil('the key is set, then expires', () => {
      return notifications.flat().filter((key) => key === 'app:user:1').length === 2
    })
    expect(new Set(notifications.flat())).toEqual(new Set(['app:user:1', 'session:1']))
  })

  test.each(['FLUSHALL', 'FLUSHDB'])('announces %s as "anything"', async (flush) => {
    const { url, port } = await startServer()
    const notifications = await recordNotifications(closeAfterTest(redisTracking({ url })))
    await command(port, flush)
    await waitUntil('the flush is announced', () => notifications.length > 0)
    expect(notifications).toEqual([undefined])
  })

  test('announces evicted keys', async () => {
    const { url, port } = await startServer(['--maxmemory-policy', 'allkeys-lru'])
    await command(port, 'SET', 'a', 'v')
    const notifications = await recordNotifications(closeAfterTest(redisTracking({ url })))
    await command(port, 'CONFIG', 'SET', 'maxmemory', 1)
    await command(port, 'SET', 'b', 'v')
    await waitUntil('the eviction is announced', () => notifications.flat().includes('a'))
  })

  test('announces all keys for an empty prefix', async () => {
    const { url, port } = await startServer()
    const bus = closeAfterTest(redisTracking({ url, prefixes: ['', 'a'] }))
    const notifications = await recordNotifications(bus)
    await command(port, 'SET', 'b', 'v')
    await waitUntil('the change is announced', () => notifications.length > 0)
    expect(notifications).toEqual([['b']])
  })

  test('rejects with a remedy if the server does not support tracking', async () => {
    const { url } = await startServer(['--rename-command', 'CLIENT', ''])
    const bus = closeAfterTest(redisTracking({ url, ...shortTimeouts }))
    await expect(bus.subscribe(() => {})).rejects.toMatchObject({
      code: 'ERR_CACHE_UNSUPPORTED',
      retryable: false,
      message: expect.stringContaining('redisBus'),
    })
  })

  test('subscribes once the server permits it; an existing subscription is restored by itself', async () => {
    const { url, port } = await startServer()
    const setPermission = (sign: '+' | '-') =>
      command(port, 'ACL', 'SETUSER', 'default', `${sign}client|tracking`)
    const wasRefused = async () => String(await command(port, 'ACL', 'LOG')).includes('tracking')
    await setPermission('-')
    const bus = closeAfterTest(redisTracking({ url, ...shortTimeouts }))
    await expect(bus.subscribe(() => {})).rejects.toHaveProperty('code', 'ERR_CACHE_UNSUPPORTED')
    await setPermission('+')
    const notifications = await recordNotifications(bus)
    await setPermission('-')
    await command(port, 'ACL', 'LOG', 'RESET')
    await command(port, 'CLIENT', 'KILL', 'TYPE', 'pubsub')
    await waitUntil('the server has refused tracking', wasRefused)
    expect(bus.connected).toBe(false)
    await setPermission('+')
    await waitUntil('the bus is connected', () => bus.connected)
    await command(port, 'SET', 'a', 'v')
    await waitUntil('the change is announced', () => notifications.flat().includes('a'))
  })

  test('rejects a cluster', () => {
    const options = { clusterNodes: ['127.0.0.1:7000'] }
    expect(() => redisTracking(options)).toThrow(/redisBus/)
  })
})
