import { Socket } from 'node:net'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { ManagedConnection } from '../../src/connection/managed-connection.ts'
import type { RedisOptions, ResolvedOptions } from '../../src/redis-options.ts'
import { fixedReplicas, sentinelReplicas } from '../../src/topology/replica-discovery.ts'

afterEach(() => void vi.restoreAllMocks())

const resolved = {
  timeoutMs: 1_000,
  connectTimeoutMs: 1_000,
  replicaConnections: 2,
} as unknown as ResolvedOptions

describe('fixed replicas', () => {
  const source = fixedReplicas(['10.0.0.1:1', 'redis://replica:2'], {}, resolved)

  test('are connected as often as the option says', () => {
    const expected = ['10.0.0.1:1', '10.0.0.1:1', 'redis://replica:2', 'redis://replica:2']
    expect([source.fixed, source.addresses()]).toEqual([expected, expected])
  })

  test('have a host name, or the address of a server', () => {
    const addresses = ['10.0.0.1:1', '[::1]:1', 'replica:1', 'redis://replica:2', 'redis://[::1]:2']
    expect(addresses.map(source.isHostname)).toEqual([false, false, true, true, false])
  })

  test('are connected to by their own address', async () => {
    const connection = source.connect('redis://replica:2')
    expect(connection.address).toBe('replica:2')
    await connection.close()
  })

  test('have a part of the timeout, so that the primary can reply in the rest', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    const connection = source.connect('10.0.0.1:1') as ManagedConnection
    connection.beginCommand()
    const stream = new Socket().on('error', () => {})
    connection.client.stream = stream
    vi.advanceTimersByTime(399)
    expect(stream.destroyed).toBe(false)
    // At most an eighth later.
    vi.advanceTimersByTime(51)
    expect(stream.destroyed).toBe(true)
    connection.endCommand()
    await connection.close()
  })

  test('must have an address', () => {
    expect(() => fixedReplicas(['replica'], {}, resolved)).toThrow('replicas')
  })
})

describe('the replicas that Sentinels list', () => {
  interface Setting {
    /** What each Sentinel replies. */
    readonly replies: readonly unknown[]
    readonly name?: string
  }

  /** The source of replicas over Sentinels that do not exist. Records what they are asked, by their port. */
  function setUp({ replies, name }: Setting) {
    const calls: unknown[] = []
    const client = ManagedConnection.prototype
    const portOf = ({ address = '' }: ManagedConnection) => Number(address.split(':')[1])
    vi.spyOn(client, 'ready').mockImplementation(async function (this: ManagedConnection) {
      calls.push(`ready ${portOf(this)}`)
      await null
      this.client.call = (async (...args: unknown[]) => {
        calls.push(args.join(' '))
        const reply = replies[portOf(this) - 1]
        if (reply instanceof Error) throw reply
        return reply
      }) as never
    })
    vi.spyOn(client, 'beginCommand').mockImplementation(() => calls.push('beginCommand') as never)
    vi.spyOn(client, 'endCommand').mockImplementation(() => void calls.push('endCommand'))
    const closing: (() => void)[] = []
    vi.spyOn(client, 'close').mockImplementation(
      () =>
        new Promise((resolve) => {
          closing.push(resolve)
        }),
    )
    const sentinels = replies.map((_, index) => `127.0.0.1:${index + 1}`)
    const options: RedisOptions = { sentinels, ...(name !== undefined && { sentinelName: name }) }
    return { source: sentinelReplicas(options, resolved), calls, closing }
  }

  test('are those of the first Sentinel that replies', async () => {
    const { source, calls } = setUp({ replies: [new Error('down'), [], new Error('not asked')] })
    expect([await source.addresses(), source.fixed]).toEqual([[], []])
    const query = ['beginCommand', 'SENTINEL REPLICAS mymaster', 'endCommand']
    expect(calls).toEqual(['ready 1', ...query, 'ready 2', ...query])
  })

  test('are those of the primary with a name', async () => {
    const { source, calls } = setUp({ replies: [[]], name: 'other' })
    await source.addresses()
    expect(calls).toContain('SENTINEL REPLICAS other')
  })

  test('are not known if no Sentinel replies, for the reason of the last one', async () => {
    const { source } = setUp({ replies: [new Error('first'), new Error('last')] })
    await expect(source.addresses()).rejects.toMatchObject({ message: 'last' })
  })

  test('are those that are healthy, from replies of both protocols', async () => {
    const replica = (ip: string, flags?: string) => ({ ip, port: 1, flags })
    const listed = [
      replica('10.0.0.1', 'slave'),
      replica('10.0.0.2', 's_down,slave'),
      replica('10.0.0.3', 'slave,disconnected'),
      replica('10.0.0.4', 'master'),
      replica('::1', 'slave'),
      { ip: '10.0.0.5', port: 1 },
      { port: 1, flags: 'slave' },
    ]
    const expected = ['10.0.0.1:1', '[::1]:1', '10.0.0.5:1']
    // RESP2 has names and values in turn, RESP3 has maps.
    for (const replies of [[listed], [listed.map((each) => Object.entries(each).flat())]]) {
      expect(await setUp({ replies }).source.addresses()).toEqual(expected)
    }
  })

  test('are not asked for any more when all connections to Sentinels are closed', async () => {
    const { source, closing } = setUp({ replies: [[], []] })
    let hasClosed = false
    const closed = source.close?.().then(() => {
      hasClosed = true
    })
    closing[0]?.()
    await new Promise(setImmediate)
    expect([closing.length, hasClosed]).toEqual([2, false])
    closing[1]?.()
    await closed
  })
})
