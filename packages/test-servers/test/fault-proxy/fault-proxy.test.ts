import { command, startRedis } from '@stowage/test-servers'
import { describe, expect, test, vi } from 'vitest'
import { proxiedRedis } from './proxied-redis.ts'
import { patiently } from './tcp-client.ts'

const mebibyte = 1024 * 1024
const redis = proxiedRedis()

describe('without faults', () => {
  test('forwards commands and replies unchanged', async () => {
    expect(redis.proxy.url).toBe(`redis://127.0.0.1:${redis.proxy.port}`)
    expect(await command(redis.proxy.port, 'SET', 'key', 'value')).toBe('OK')
    expect(await command(redis.server.port, 'GET', 'key')).toBe('value')
  })

  test('counts connections, bytes and chunks', async () => {
    const first = await redis.connectedClient()
    await redis.connectedClient()
    expect(redis.proxy.connections).toBe(2)
    expect(redis.proxy.accepted).toBe(2)
    expect(redis.proxy.bytes).toEqual({ requests: 12, replies: 14 })
    expect(redis.proxy.chunks).toEqual({ requests: 2, replies: 2 })
    first.socket.end()
    await redis.expectConnections(1)
  })

  test('forwards large payloads on many connections', async () => {
    const large = 'x'.repeat(mebibyte)
    const keys = Array.from({ length: 40 }, (_, index) => `key${index}`)
    await Promise.all(keys.map((key) => command(redis.proxy.port, 'SET', key, large + key)))
    const values = await Promise.all(keys.map((key) => command(redis.proxy.port, 'GET', key)))
    for (const [index, key] of keys.entries()) expect(values[index] === large + key, key).toBe(true)
    await redis.expectConnections(0)
  })

  test('keeps many idle connections open', async () => {
    await Promise.all(Array.from({ length: 200 }, redis.connectedClient))
    expect(redis.proxy.connections).toBe(200)
    redis.proxy.cut()
    await redis.expectConnections(0)
  })

  test('resets a connection when its server is down or exits', async () => {
    const other = await startRedis()
    redis.proxy.retarget(other.port)
    const client = await redis.connectedClient()
    await other.stop()
    await vi.waitFor(() => expect(client.ended).toBeDefined(), patiently)
    await redis.openClient().expectEnded('ECONNRESET')
    await redis.expectConnections(0)
  })
})

describe('cut, refuse and stop', () => {
  test('cut resets all open connections and accepts new ones', async () => {
    const open = await Promise.all([redis.connectedClient(), redis.connectedClient()])
    redis.proxy.cut()
    for (const client of open) await client.expectEnded('ECONNRESET')
    await redis.expectConnections(0)
    await redis.connectedClient()
  })

  test('refuse resets new connections and keeps the open ones', async () => {
    const open = await redis.connectedClient()
    redis.proxy.refuse(true)
    await redis.openClient().expectEnded('ECONNRESET')
    await open.send('PING').expectReceived('+PONG\r\n')
    expect([redis.proxy.accepted, redis.proxy.refused, redis.proxy.connections]).toEqual([1, 1, 1])
    redis.proxy.refuse(false)
    await redis.connectedClient()
  })

  test('stop resets open connections and can be called twice', async () => {
    const open = await redis.connectedClient()
    redis.proxy.delay(600_000)
    open.send('PING')
    await Promise.all([redis.proxy.stop(), redis.proxy.stop()])
    await open.expectEnded('ECONNRESET')
    expect(redis.proxy.connections).toBe(0)
    await redis.openClient().expectEnded('ECONNREFUSED')
  })
})

describe('cutReplies', () => {
  test('drops one reply after the server has executed the command', async () => {
    const [first, other] = [await redis.connectedClient(), await redis.connectedClient()]
    const lost = redis.proxy.cutReplies()
    first.send('INCR count')
    await first.expectEnded('ECONNRESET')
    await lost
    expect(first.received).toBe('')
    expect(await command(redis.server.port, 'GET', 'count')).toBe('1')
    await other.send('INCR count').expectReceived(':2\r\n')
  })

  test('can truncate a reply in the middle', async () => {
    const client = await redis.connectedClient()
    await command(redis.server.port, 'SET', 'key', 'value')
    const lost = redis.proxy.cutReplies({ after: 9 })
    await client.send('PING').expectReceived('+PONG\r\n')
    client.received = ''
    client.send('GET key')
    await lost
    await client.expectEnded('closed')
    expect(client.received).toBe('$5')
    await redis.expectConnections(0)
  })
})

test('retarget forwards new connections to another server and keeps the open ones', async () => {
  const other = await startRedis()
  try {
    await command(other.port, 'SET', 'name', 'other')
    const open = await redis.connectedClient()
    redis.proxy.retarget(other.port)
    await open.send('EXISTS name').expectReceived(':0\r\n')
    expect(await command(redis.proxy.port, 'GET', 'name')).toBe('other')
    let current = redis.server.port
    redis.proxy.retarget(() => current)
    expect(await command(redis.proxy.port, 'GET', 'name')).toBeNull()
    current = other.port
    expect(await command(redis.proxy.port, 'GET', 'name')).toBe('other')
  } finally {
    await other.stop()
  }
})
