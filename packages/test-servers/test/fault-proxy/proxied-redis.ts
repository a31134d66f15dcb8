import {
  command,
  type FaultProxy,
  type RedisServer,
  startProxy,
  startRedis,
} from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from 'vitest'
import { patiently, TcpClient } from './tcp-client.ts'

/** A Redis server for the tests of a file. Each test gets an empty database, and a new proxy in front of it. */
export function proxiedRedis() {
  let server: RedisServer
  let proxy: FaultProxy
  const clients: TcpClient[] = []

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

  function openClient(): TcpClient {
    const client = new TcpClient(proxy.port)
    clients.push(client)
    return client
  }

  /** A client that has received a reply through the proxy. */
  async function connectedClient(): Promise<TcpClient> {
    const client = openClient().send('PING')
    await client.expectReceived('+PONG\r\n')
    client.received = ''
    return client
  }

  async function expectConnections(count: number): Promise<void> {
    await vi.waitFor(() => expect(proxy.connections).toBe(count), patiently)
  }

  /** Waits until the server has that value. */
  async function expectStored(key: string, value: string): Promise<void> {
    await vi.waitFor(
      async () => expect(await command(server.port, 'GET', key)).toBe(value),
      patiently,
    )
  }

  return {
    openClient,
    connectedClient,
    expectConnections,
    expectStored,
    get server() {
      return server
    },
    get proxy() {
      return proxy
    },
  }
}
