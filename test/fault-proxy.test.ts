import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type FaultProxy, startProxy } from '../scripts/lib/fault-proxy.mjs'
import { type RedisServer, startRedis } from '../scripts/lib/redis-server.mjs'
import { command } from '../scripts/lib/redis-topologies.mjs'

const mebibyte = 1024 * 1024
const patiently = { timeout: 20_000, interval: 5 }
let server: RedisServer
let proxy: FaultProxy
const clients: Client[] = []

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server?.stop())
beforeEach(async () => {
  await command(server.port, 'FLUSHALL')
  proxy = await startProxy(server.port)
})
afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy()
  await proxy?.stop()
})

/** A connection through the proxy that remembers what it received and how it ended. */
class Client {
  received = ''
  ended: string | undefined
  socket: Socket

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.socket.on('data', (chunk) => {
      this.received += chunk
    })
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.ended = error.code
    })
    this.socket.on('close', () => {
      this.ended ??= 'closed'
    })
    clients.push(this)
  }

  send(line: string): this {
    this.socket.write(`${line}\r\n`)
    return this
  }

  async receives(text: string): Promise<void> {
    await vi.waitFor(() => expect(this.received).toBe(text), patiently)
  }

  async ends(how: string): Promise<void> {
    await vi.waitFor(() => expect(this.ended).toBe(how), patiently)
  }
}

const client = () => new Client(proxy.port)

/** A client whose connection has proved to work. */
async function connectedClient(): Promise<Client> {
  const connected = client().send('PING')
  await connected.receives('+PONG\r\n')
  connected.received = ''
  return connected
}

/** Resolves when the server has certainly had the time to answer what was sent before. */
async function roundTrips(): Promise<void> {
  for (let trip = 0; trip < 20; trip++) await command(server.port, 'PING')
}

test('is transparent until told otherwise', async () => {
  expect(proxy.url).toBe(`redis://127.0.0.1:${proxy.port}`)
  expect(await command(proxy.port, 'SET', 'key', 'value')).toBe('OK')
  expect(await command(server.port, 'GET', 'key')).toBe('value')
})

test('counts connections, bytes and chunks', async () => {
  const first = await connectedClient()
  await connectedClient()
  expect(proxy.connections).toBe(2)
  expect(proxy.accepted).toBe(2)
  expect(proxy.bytes).toEqual({ requests: 12, replies: 14 })
  expect(proxy.chunks).toEqual({ requests: 2, replies: 2 })
  first.socket.end()
  await vi.waitFor(() => expect(proxy.connections).toBe(1), patiently)
})

test('carries large payloads on many connections', async () => {
  const large = 'x'.repeat(mebibyte)
  const keys = Array.from({ length: 40 }, (_, at) => `key${at}`)
  await Promise.all(keys.map((key) => command(proxy.port, 'SET', key, large + key)))
  const values = await Promise.all(keys.map((key) => command(proxy.port, 'GET', key)))
  for (const [at, key] of keys.entries()) expect(values[at] === large + key, key).toBe(true)
  await vi.waitFor(() => expect(proxy.connections).toBe(0), patiently)
})

test('keeps many idle connections open at once', async () => {
  await Promise.all(Array.from({ length: 200 }, connectedClient))
  expect(proxy.connections).toBe(200)
  proxy.cut()
  await vi.waitFor(() => expect(proxy.connections).toBe(0), patiently)
})

describe('a delay', () => {
  async function elapsed(work: () => Promise<unknown>): Promise<number> {
    const start = performance.now()
    await work()
    return performance.now() - start
  }

  test.each([
    ['both', 200],
    ['requests', 100],
    ['replies', 100],
  ] as const)('of 100 ms on %s takes at least %i ms', async (direction, least) => {
    proxy.delay(100, direction)
    const connected = client()
    await once(connected.socket, 'connect')
    const took = await elapsed(() => connected.send('PING').receives('+PONG\r\n'))
    expect(took).toBeGreaterThanOrEqual(least - 1)
  })

  test('on replies holds the answer only: the command is executed', async () => {
    const connected = await connectedClient()
    proxy.delay(600_000, 'replies')
    connected.send('SET key value')
    await vi.waitFor(
      async () => expect(await command(server.port, 'GET', 'key')).toBe('value'),
      patiently,
    )
    expect(connected.received).toBe('')
    proxy.delay(0)
    await connected.receives('+OK\r\n')
  })

  test('keeps the order of bytes, also while it changes', async () => {
    const connected = await connectedClient()
    const numbers = Array.from({ length: 100 }, (_, at) => `${at}`)
    for (const number of numbers) {
      proxy.delay(Math.floor(Math.random() * 20))
      connected.send(`RPUSH list ${number}`)
      await new Promise(setImmediate)
    }
    proxy.delay(5)
    await connected.receives(numbers.map((number) => `:${Number(number) + 1}\r\n`).join(''))
    expect(await command(server.port, 'LRANGE', 'list', 0, -1)).toEqual(numbers)
  })

  test('keeps large payloads whole, and the end behind them', async () => {
    proxy.delay(20)
    const large = `${'abcdefg'.repeat(mebibyte / 2)}`
    const connected = client()
    connected.socket.end(`*2\r\n$4\r\nECHO\r\n$${large.length}\r\n${large}\r\n`)
    await connected.ends('closed')
    expect(connected.received === `$${large.length}\r\n${large}\r\n`).toBe(true)
  })
})

test('makes a sender wait instead of holding without bounds', async () => {
  const connected = await connectedClient()
  proxy.mute(true)
  const before = process.memoryUsage().arrayBuffers
  // The kernel takes some megabytes for either side; what it does not take stays with the sender.
  const written = 64 * mebibyte
  connected.socket.write(Buffer.alloc(written, 'PING\r\n'))
  let last = -1
  await vi.waitFor(
    () => {
      const still = connected.socket.bytesWritten - connected.socket.writableLength === last
      last = connected.socket.bytesWritten - connected.socket.writableLength
      expect(still).toBe(true)
    },
    { ...patiently, interval: 200 },
  )
  const held = process.memoryUsage().arrayBuffers - before - written
  expect(held).toBeLessThan(16 * mebibyte)
  expect(connected.socket.writableLength).toBeGreaterThan(0)
})

test('makes a server wait for a client that does not read', async () => {
  await command(server.port, 'SET', 'large', 'x'.repeat(mebibyte))
  const connected = await connectedClient()
  connected.socket.pause()
  for (let reply = 0; reply < 64; reply++) connected.send('GET large')
  let last = -1
  const settle = () => {
    const before = last
    last = proxy.bytes.replies
    expect(before).toBe(last)
  }
  await vi.waitFor(settle, { ...patiently, interval: 200 })
  expect(last).toBeLessThan(32 * mebibyte)
  connected.socket.resume()
  const all = 64 * `$${mebibyte}\r\n${'x'.repeat(mebibyte)}\r\n`.length
  await vi.waitFor(() => expect(connected.received.length).toBe(all), patiently)
})

test('a cut resets all open connections, and new ones are served', async () => {
  const open = await Promise.all([connectedClient(), connectedClient()])
  proxy.cut()
  for (const one of open) await one.ends('ECONNRESET')
  await vi.waitFor(() => expect(proxy.connections).toBe(0), patiently)
  await connectedClient()
})

test('a refusal resets new connections and leaves the open ones alone', async () => {
  const open = await connectedClient()
  proxy.refuse(true)
  await client().ends('ECONNRESET')
  await open.send('PING').receives('+PONG\r\n')
  expect([proxy.accepted, proxy.refused, proxy.connections]).toEqual([1, 1, 1])
  proxy.refuse(false)
  await connectedClient()
})

test('muted, it keeps connections open and lets nothing through, then delivers all', async () => {
  const open = await connectedClient()
  proxy.mute(true)
  open.send('SET key value')
  const late = client().send('PING')
  await once(late.socket, 'connect')
  await roundTrips()
  expect(await command(server.port, 'GET', 'key')).toBeNull()
  expect([open.received, open.ended, late.received, late.ended]).toEqual([
    '',
    undefined,
    '',
    undefined,
  ])
  proxy.mute(false)
  await open.receives('+OK\r\n')
  await late.receives('+PONG\r\n')
})

test('muted for replies only, commands are executed', async () => {
  const open = await connectedClient()
  proxy.mute(true, 'replies')
  open.send('INCR count')
  await vi.waitFor(
    async () => expect(await command(server.port, 'GET', 'count')).toBe('1'),
    patiently,
  )
  await roundTrips()
  expect(open.received).toBe('')
  proxy.mute(false, 'replies')
  await open.receives(':1\r\n')
})

test('muted, it does not pass the end of a connection on until it is cut', async () => {
  const open = await connectedClient()
  proxy.mute(true)
  open.socket.end()
  await roundTrips()
  expect(proxy.connections).toBe(1)
  proxy.cut()
  await vi.waitFor(() => expect(proxy.connections).toBe(0), patiently)
})

test('a connection that is cut while its end is passed on is closed', async () => {
  const open = await connectedClient()
  proxy.mute(true)
  open.socket.end()
  await new Promise((resolve) => setTimeout(resolve, 50))
  proxy.mute(false)
  proxy.cut()
  await vi.waitFor(() => expect(proxy.connections).toBe(0), patiently)
})

test('a lost reply belongs to a command that was executed, and is lost once', async () => {
  const [first, other] = [await connectedClient(), await connectedClient()]
  const lost = proxy.cutReplies()
  first.send('INCR count')
  await first.ends('ECONNRESET')
  await lost
  expect(first.received).toBe('')
  expect(await command(server.port, 'GET', 'count')).toBe('1')
  await other.send('INCR count').receives(':2\r\n')
})

test('a reply can be lost in its middle', async () => {
  const first = await connectedClient()
  await command(server.port, 'SET', 'key', 'value')
  const lost = proxy.cutReplies({ after: 9 })
  await first.send('PING').receives('+PONG\r\n')
  first.received = ''
  first.send('GET key')
  await lost
  await first.ends('closed')
  expect(first.received).toBe('$5')
  await vi.waitFor(() => expect(proxy.connections).toBe(0), patiently)
})

test('leads new connections to another server, and leaves the open ones', async () => {
  const other = await startRedis()
  try {
    await command(other.port, 'SET', 'name', 'other')
    const open = await connectedClient()
    proxy.retarget(other.port)
    await open.send('EXISTS name').receives(':0\r\n')
    expect(await command(proxy.port, 'GET', 'name')).toBe('other')
    let current = server.port
    proxy.retarget(() => current)
    expect(await command(proxy.port, 'GET', 'name')).toBeNull()
    current = other.port
    expect(await command(proxy.port, 'GET', 'name')).toBe('other')
  } finally {
    await other.stop()
  }
})

test('resets a connection whose server is not there or ends', async () => {
  const other = await startRedis()
  proxy.retarget(other.port)
  const open = await connectedClient()
  await other.stop()
  await vi.waitFor(() => expect(open.ended).toBeDefined(), patiently)
  await client().ends('ECONNRESET')
  await vi.waitFor(() => expect(proxy.connections).toBe(0), patiently)
})

test('stops with connections open, and more than once', async () => {
  const open = await connectedClient()
  proxy.delay(600_000)
  open.send('PING')
  await Promise.all([proxy.stop(), proxy.stop()])
  await open.ends('ECONNRESET')
  expect(proxy.connections).toBe(0)
  await client().ends('ECONNREFUSED')
})
