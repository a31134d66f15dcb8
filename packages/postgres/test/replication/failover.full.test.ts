import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { channels } from '@stowage/core'
import { ensureTable, type PostgresOptions, postgres, postgresBus } from '@stowage/postgres'
import {
  isFullTier,
  type PostgresServer,
  runningTimeOf,
  startPostgres,
  startPostgresStandby,
  startProxy,
} from '@stowage/test-servers'
import pg from 'pg'
import { afterEach, describe, expect, test, vi } from 'vitest'

const patient = { timeout: 60_000, interval: 50 }
const unavailable: readonly unknown[] = ['ERR_CACHE_UNAVAILABLE', 'ERR_CACHE_TIMEOUT']
const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startPrimary(settings: Record<string, string> = {}): Promise<PostgresServer> {
  const server = await startPostgres({ settings: { synchronous_commit: 'on', ...settings } })
  cleanups.push(() => server.stop())
  await ensureTable({ url: server.url, logged: true }, 'create')
  return server
}

async function startStandby(primary: PostgresServer, through = primary.port) {
  const server = await startPostgresStandby({ of: primary.port, through })
  cleanups.push(() => server.stop())
  return server
}

/** A primary whose commits wait for the standby. */
async function startSynchronous() {
  const primary = await startPrimary()
  const standby = await startStandby(primary)
  await query(primary, "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
  await query(primary, 'SELECT pg_reload_conf()')
  await vi.waitFor(async () => {
    const rows = await query(primary, 'SELECT sync_state FROM pg_stat_replication')
    expect(rows).toEqual([{ sync_state: 'sync' }])
  }, patient)
  return { primary, standby }
}

async function proxyTo(server: PostgresServer) {
  const proxy = await startProxy(server.port)
  cleanups.push(() => proxy.stop())
  return proxy
}

/** The address of several hosts. */
function urlOf(...ports: readonly number[]): string {
  const hosts = ports.map((port) => `127.0.0.1:${port}`)
  return `postgres://postgres@${hosts}/postgres?target_session_attrs=read-write`
}

function storeOn(url: string, options: PostgresOptions = {}) {
  const store = postgres({ url, logged: true, timeout: '4s', ...options })
  cleanups.push(() => store.close())
  return store
}

async function query(server: PostgresServer, text: string) {
  const client = new pg.Client(server.url)
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

const promote = (server: PostgresServer) => query(server, 'SELECT pg_promote()')

test('a failover to a synchronous standby loses nothing that was acknowledged', async () => {
  const { primary, standby } = await startSynchronous()

  const proxy = await proxyTo(standby)
  const url = urlOf(primary.port, proxy.port)
  const store = storeOn(url)
  const bus = postgresBus({ url, timeout: '4s' })
  cleanups.push(() => bus.close())
  const messages: unknown[] = []
  await bus.subscribe((keys) => void messages.push(keys))

  const acknowledged: string[] = []
  const codes = new Set<unknown>()
  let isRunning = true
  const write = async (worker: number) => {
    for (let count = 0; isRunning; count++) {
      const key = `${worker}:${count}`
      try {
        await store.set(key, key)
        acknowledged.push(key)
      } catch (error) {
        codes.add((error as { code?: unknown }).code)
      }
    }
  }
  const writers = Array.from({ length: 8 }, (_, worker) => write(worker))
  await vi.waitFor(() => expect(acknowledged.length).toBeGreaterThan(50), patient)
  await primary.crash()
  await promote(standby)
  const before = acknowledged.length
  await vi.waitFor(() => expect(acknowledged.length).toBeGreaterThan(before + 50), patient)
  isRunning = false
  await Promise.all(writers)
  expect([...codes].filter((code) => !unavailable.includes(code))).toEqual([])
  expect(await store.getMany(acknowledged)).toEqual(acknowledged)
  await vi.waitFor(() => expect(bus.connected).toBe(true), patient)

  // The old primary runs again, as one, with what it had. The store does not return to it.
  await primary.restart()
  await store.set('k', 'after')
  proxy.refuse(true)
  proxy.cut()
  for (let count = 0; count < 3; count++) {
    await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  }
  proxy.refuse(false)
  await vi.waitFor(() => store.ping(), patient)
  expect(await store.get('k')).toBe('after')
  await store.set('k', 'last')
  expect(await query(primary, "SELECT FROM stowage_cache WHERE key = 'k'")).toEqual([])
})

test('while a synchronous standby is frozen, writes reject at their deadline and occupy no connections', async () => {
  const { primary, standby } = await startSynchronous()
  const store = storeOn(primary.url, { timeout: '500ms', maxConnections: 2 })
  await vi.waitFor(() => store.set('k', 'old'), patient)
  standby.kill('SIGSTOP')
  cleanups.push(() => standby.kill('SIGCONT'))
  const waiting = `SELECT FROM pg_stat_activity
    WHERE application_name = 'stowage' AND wait_event = 'SyncRep'`
  for (let round = 0; round < 10; round++) {
    const keys = Array.from({ length: 4 }, (_, index) => `${round}:${index}`)
    const calls = Promise.allSettled(keys.map((key) => store.increment(key, 1)))
    expect(await runningTimeOf(() => calls)).toBeLessThan(5_000)
    for (const call of await calls) {
      expect(call).toMatchObject({ status: 'rejected', reason: { code: 'ERR_CACHE_TIMEOUT' } })
    }
    await vi.waitFor(() => store.get('k'), patient)
  }
  await vi.waitFor(async () => expect(await query(primary, waiting)).toEqual([]), patient)
  standby.kill('SIGCONT')
  await vi.waitFor(() => store.set('k', 'new'), patient)
  expect(await store.get('k')).toBe('new')
})

if (isFullTier) {
  test('a connection whose server freezes when it is asked for its role is not kept', async () => {
    const primary = await startPrimary()
    let frozen = 0
    const proxy = createServer((socket) => {
      const upstream = connect(primary.port, '127.0.0.1')
      socket.on('data', (bytes) => {
        if (frozen === 0 && bytes.includes('pg_is_in_recovery')) frozen++
        else upstream.write(bytes)
      })
      upstream.pipe(socket)
      for (const one of [socket, upstream]) one.on('error', () => {})
      socket.on('close', () => upstream.destroy())
    })
    await once(proxy.listen(0, '127.0.0.1'), 'listening')
    cleanups.push(() => proxy.close())
    const { port } = proxy.address() as AddressInfo
    const store = storeOn(urlOf(port), { maxConnections: 1 })
    await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    await vi.waitFor(() => store.set('k', 'v'), patient)
    expect(frozen).toBe(1)
  })

  test('a failover to an asynchronous standby loses what it had not received', async () => {
    const primary = await startPrimary()
    const link = await proxyTo(primary)
    const standby = await startStandby(primary, link.port)
    const store = storeOn(urlOf(primary.port, standby.port))
    await store.set('early', 'v')
    await vi.waitFor(async () => {
      const rows = await query(standby, "SELECT FROM stowage_cache WHERE key = 'early'")
      expect(rows).toHaveLength(1)
    }, patient)
    link.mute(true)
    await store.set('late', 'v')
    primary.kill('SIGSTOP')
    cleanups.push(() => primary.kill('SIGCONT'))
    const calls = Promise.allSettled([store.get('late'), store.set('x', 'v')])
    expect(await runningTimeOf(() => calls)).toBeLessThan(10_000)
    for (const call of await calls) {
      const { reason } = call as PromiseRejectedResult
      expect(unavailable).toContain(reason.code)
    }
    await promote(standby)
    await vi.waitFor(() => store.set('after', 'v'), patient)
    expect(await store.getMany(['early', 'late', 'after'])).toEqual(['v', undefined, 'v'])
    primary.kill('SIGCONT')
    for (let count = 0; count < 20; count++) expect(await store.get('after')).toBe('v')
  })

  describe('a standby that still replicates the old primary', () => {
    test('serves nothing, although it has received more than the new one has written', async () => {
      const primary = await startPrimary()
      const proxy = await proxyTo(primary)
      const [next, replica] = [await startStandby(primary), await startStandby(primary)]
      const store = storeOn(urlOf(proxy.port, next.port), {
        replicas: [`127.0.0.1:${replica.port}`],
      })
      await store.set('k', 'old')
      await vi.waitFor(async () => {
        const rows = await query(replica, "SELECT FROM stowage_cache WHERE key = 'k'")
        expect(rows).toHaveLength(1)
      }, patient)
      await vi.waitFor(async () => {
        await store.get('k')
        const connections = await query(
          replica,
          "SELECT FROM pg_stat_activity WHERE application_name = 'stowage'",
        )
        expect(connections).toHaveLength(1)
      }, patient)
      proxy.refuse(true)
      proxy.cut()
      await promote(next)
      await query(
        primary,
        `INSERT INTO stowage_cache SELECT 'x' || i, repeat('x', 1000), NULL, 'infinity' FROM generate_series(1, 20000) i`,
      )
      await vi.waitFor(() => store.set('k', 'new'), patient)
      // Its position and its health have been read several times meanwhile.
      let checks = 0
      const onCheck = () => void checks++
      channels.replica.subscribe(onCheck)
      try {
        while (checks < 5) expect(await store.get('k')).toBe('new')
      } finally {
        channels.replica.unsubscribe(onCheck)
      }
      expect(await store.get('k', { consistency: 'eventual' })).toBe('new')
    })
  })
}
