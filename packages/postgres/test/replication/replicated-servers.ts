import { ensureTable, type PostgresOptions, postgres } from '@stowage/postgres'
import {
  type FaultProxy,
  type PostgresServer,
  startPostgres,
  startPostgresStandby,
  startProxy,
} from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, vi } from 'vitest'

const valueBytes = 20_000

/** So long that the bytes of replies show which server has returned it. */
export const longValue = (text: string): string => text.padEnd(valueBytes, '.')

export type Store = ReturnType<typeof postgres>

/** A primary and a standby for the tests of a file. After each test the stores are closed and all faults removed. */
export function replicatedServers() {
  let primary: PostgresServer
  let standby: PostgresServer
  let proxy: FaultProxy
  let standbyPool: pg.Pool
  const stores: Store[] = []

  beforeAll(async () => {
    primary = await startPostgres({ settings: { synchronous_commit: 'on' } })
    await ensureTable({ url: primary.url, logged: true })
    standby = await startPostgresStandby({ of: primary.port })
    proxy = await startProxy(standby.port)
    standbyPool = new pg.Pool({ connectionString: standby.url }).on('error', () => {})
  })
  afterEach(async () => {
    standby.kill('SIGCONT')
    proxy.mute(false)
    proxy.retarget(standby.port)
    await standbyPool.query('SELECT pg_wal_replay_resume()').catch(() => {})
    await Promise.all(stores.splice(0).map((store) => store.close()))
  })
  afterAll(async () => {
    await standbyPool.end()
    await proxy.stop()
    await standby.stop()
    await primary.stop()
  })

  const onStandby = async (text: string) => (await standbyPool.query(text)).rows

  const createStore = (options: PostgresOptions = {}): Store => {
    const store = postgres({
      url: primary.url,
      replicas: [`127.0.0.1:${proxy.port}`],
      logged: true,
      timeout: '20s',
      ...options,
    })
    stores.push(store)
    return store
  }

  /** Waits until the standby, and not the primary, returns a {@link longValue}. */
  const waitUntilStandbyServes = async (read: () => unknown): Promise<void> => {
    await vi.waitFor(
      async () => {
        const before = proxy.bytes.replies
        await read()
        expect(proxy.bytes.replies - before).toBeGreaterThan(valueBytes)
      },
      { timeout: 60_000, interval: 20 },
    )
  }

  return {
    get primary() {
      return primary
    },
    get standby() {
      return standby
    },
    /** Between the stores and the standby. */
    get proxy() {
      return proxy
    },
    onStandby,
    createStore,
    /** Creates a store whose standby is connected, caught up and has `k`: the {@link longValue} of 'old'. */
    async createWarmStore(options: PostgresOptions = {}): Promise<Store> {
      const store = createStore(options)
      await store.set('k', longValue('old'))
      await waitUntilStandbyServes(async () => {
        expect(await store.get('k')).toBe(longValue('old'))
      })
      return store
    },
    /** The standby applies nothing more, until the end of the test. */
    async pauseReplay(): Promise<void> {
      await onStandby('SELECT pg_wal_replay_pause()')
      const state = 'SELECT pg_get_wal_replay_pause_state() AS state'
      await expect.poll(() => onStandby(state)).toEqual([{ state: 'paused' }])
    },
    waitUntilStandbyServes,
  }
}
