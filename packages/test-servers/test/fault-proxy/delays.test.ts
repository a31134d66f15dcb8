import { once } from 'node:events'
import { command } from '@stowage/test-servers'
import { describe, expect, test, vi } from 'vitest'
import { proxiedRedis } from './proxied-redis.ts'
import { patiently } from './tcp-client.ts'

const mebibyte = 1024 * 1024
const redis = proxiedRedis()

/** Gives the server ample time to execute and answer a command that was sent before. */
async function roundTrips(): Promise<void> {
  for (let trip = 0; trip < 20; trip++) await command(redis.server.port, 'PING')
}

describe('delay', () => {
  async function elapsed(work: () => Promise<unknown>): Promise<number> {
    const start = performance.now()
    await work()
    return performance.now() - start
  }

  test.each([
    ['both', 200],
    ['requests', 100],
    ['replies', 100],
  ] as const)('of 100 ms in direction %s takes at least %i ms', async (direction, minMs) => {
    redis.proxy.delay(100, direction)
    const client = redis.openClient()
    await once(client.socket, 'connect')
    const tookMs = await elapsed(() => client.send('PING').expectReceived('+PONG\r\n'))
    expect(tookMs).toBeGreaterThanOrEqual(minMs - 1)
  })

  test('of replies does not delay the execution of the command', async () => {
    const client = await redis.connectedClient()
    redis.proxy.delay(600_000, 'replies')
    client.send('SET key value')
    await redis.expectStored('key', 'value')
    expect(client.received).toBe('')
    redis.proxy.delay(0)
    await client.expectReceived('+OK\r\n')
  })

  test('keeps bytes in order while it changes', async () => {
    const client = await redis.connectedClient()
    const numbers = Array.from({ length: 100 }, (_, index) => `${index}`)
    for (const number of numbers) {
      redis.proxy.delay(Math.floor(Math.random() * 20))
      client.send(`RPUSH list ${number}`)
      await new Promise(setImmediate)
    }
    redis.proxy.delay(5)
    await client.expectReceived(numbers.map((number) => `:${Number(number) + 1}\r\n`).join(''))
    expect(await command(redis.server.port, 'LRANGE', 'list', 0, -1)).toEqual(numbers)
  })

  test('delivers a large payload completely before the end of the stream', async () => {
    redis.proxy.delay(20)
    const large = 'abcdefg'.repeat(mebibyte / 2)
    const client = redis.openClient()
    client.socket.end(`*2\r\n$4\r\nECHO\r\n$${large.length}\r\n${large}\r\n`)
    await client.expectEnded('closed')
    expect(client.received === `$${large.length}\r\n${large}\r\n`).toBe(true)
  })
})

describe('back-pressure', () => {
  test('stops a client while the proxy is muted', async () => {
    const { socket } = await redis.connectedClient()
    redis.proxy.mute(true)
    const before = process.memoryUsage().arrayBuffers
    // The kernel buffers some megabytes on either side; the rest stays in the sender.
    const written = 64 * mebibyte
    socket.write(Buffer.alloc(written, 'PING\r\n'))
    let last = -1
    const expectNoProgress = () => {
      const previous = last
      last = socket.bytesWritten - socket.writableLength
      expect(last).toBe(previous)
    }
    await vi.waitFor(expectNoProgress, { ...patiently, interval: 200 })
    const held = process.memoryUsage().arrayBuffers - before - written
    expect(held).toBeLessThan(16 * mebibyte)
    expect(socket.writableLength).toBeGreaterThan(0)
  })

  test('stops a server while the client does not read', async () => {
    await command(redis.server.port, 'SET', 'large', 'x'.repeat(mebibyte))
    const client = await redis.connectedClient()
    client.socket.pause()
    for (let reply = 0; reply < 64; reply++) client.send('GET large')
    let last = -1
    const expectNoProgress = () => {
      const previous = last
      last = redis.proxy.bytes.replies
      expect(last).toBe(previous)
    }
    await vi.waitFor(expectNoProgress, { ...patiently, interval: 200 })
    expect(last).toBeLessThan(32 * mebibyte)
    client.socket.resume()
    const all = 64 * `$${mebibyte}\r\n${'x'.repeat(mebibyte)}\r\n`.length
    await vi.waitFor(() => expect(client.received.length).toBe(all), patiently)
  })
})

describe('mute', () => {
  test('keeps connections open and delivers all bytes when it ends', async () => {
    const open = await redis.connectedClient()
    redis.proxy.mute(true)
    open.send('SET key value')
    const late = redis.openClient().send('PING')
    await once(late.socket, 'connect')
    await roundTrips()
    expect(await command(redis.server.port, 'GET', 'key')).toBeNull()
    expect([open.received, late.received]).toEqual(['', ''])
    expect([open.ended, late.ended]).toEqual([undefined, undefined])
    redis.proxy.mute(false)
    await open.expectReceived('+OK\r\n')
    await late.expectReceived('+PONG\r\n')
  })

  test('of replies does not prevent the execution of commands', async () => {
    const client = await redis.connectedClient()
    redis.proxy.mute(true, 'replies')
    client.send('INCR count')
    await redis.expectStored('count', '1')
    await roundTrips()
    expect(client.received).toBe('')
    redis.proxy.mute(false, 'replies')
    await client.expectReceived(':1\r\n')
  })

  test('holds back the end of a connection until a cut', async () => {
    const client = await redis.connectedClient()
    redis.proxy.mute(true)
    client.socket.end()
    await roundTrips()
    expect(redis.proxy.connections).toBe(1)
    redis.proxy.cut()
    await redis.expectConnections(0)
  })

  test('closes a connection that is cut while its end is being delivered', async () => {
    const client = await redis.connectedClient()
    redis.proxy.mute(true)
    client.socket.end()
    await new Promise((resolve) => setTimeout(resolve, 50))
    redis.proxy.mute(false)
    redis.proxy.cut()
    await redis.expectConnections(0)
  })
})
