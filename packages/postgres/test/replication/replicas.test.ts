import { setTimeout as sleep } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { type PostgresBusOptions, postgresBus, within } from '@stowage/postgres'
import { isFullTier } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import pg from 'pg'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { longValue, replicatedServers, type Store } from './replicated-servers.ts'

const [oldValue, newValue] = [longValue('old'), longValue('new')]
const servers = replicatedServers()
const { createStore, createWarmStore, pauseReplay, waitUntilStandbyServes } = servers

describe('a primary and a standby', () => {
  conform(test, () => createStore({ timeout: '2m' }), {
    wait: async (ms) => sleep(ms),
    // All other calls are sent to the primary, as without a standby.
    groups: isFullTier ? undefined : ['read', 'batches'],
    sharedBackend: true,
  })
})

describe('a read after a write of the same process', () => {
  test.each([
    ['set', (store: Store) => store.set('k', newValue)],
    ['setMany', (store: Store) => store.setMany([['k', newValue]], 60_000)],
    ['compareAndSet', (store: Store) => store.compareAndSet('k', oldValue, newValue)],
  ])('is not older after %s while the standby applies nothing', async (_, write) => {
    const store = await createWarmStore()
    await pauseReplay()
    await write(store)
    for (let read = 0; read < 10; read++) expect(await store.get('k')).toBe(newValue)
    expect(await store.getMany(['k', 'other', 'k'])).toEqual([newValue, undefined, newValue])
    await store.delete('k')
    expect(await store.get('k')).toBeUndefined()
    await store.set('y', '1')
    await store.clear()
    expect(await store.getMany(['k', 'y'])).toEqual([undefined, undefined])
  })

  test('is served by the standby again once it has applied the write', async () => {
    const store = await createWarmStore()
    await pauseReplay()
    await store.set('k', newValue)
    expect(await store.get('k')).toBe(newValue)
    await servers.onStandby('SELECT pg_wal_replay_resume()')
    await waitUntilStandbyServes(async () => {
      expect(await store.get('k')).toBe(newValue)
    })
  })

  test('may be older with eventual consistency, and is not with strong', async () => {
    const store = await createWarmStore({ consistency: 'eventual' })
    await pauseReplay()
    await store.set('k', newValue)
    expect(await store.get('k')).toBe(oldValue)
    expect(await store.get('k', { consistency: 'strong' })).toBe(newValue)
    expect(await store.getMany(['k'], { consistency: 'strong' })).toEqual([newValue])
  })
})

describe('a token of another process', () => {
  test('makes its observer read what that process has written', async () => {
    const [writer, reader] = [await createWarmStore(), await createWarmStore()]
    await pauseReplay()
    await writer.set('k', newValue)
    expect(await reader.get('k')).toBe(oldValue)
    const token = (await writer.consistencyToken?.()) ?? ''
    expect(token).toMatch(/^p1:[0-9a-f]{12}\.\d+$/)
    reader.observe?.(token)
    expect(await reader.get('k')).toBe(newValue)
    await servers.onStandby('SELECT pg_wal_replay_resume()')
    await waitUntilStandbyServes(async () => {
      expect(await reader.get('k')).toBe(newValue)
    })
  })

  test('of another stream, or from far in the future, does not end reads from standbys', async () => {
    const store = await createWarmStore()
    store.observe?.('p1:0123456789ab.5')
    const token = (await store.consistencyToken?.()) ?? ''
    store.observe?.(token.replace(/\d+$/, '9007199254740991'))
    for (const text of ['', 'p1', 'r1:0123456789ab.5', 'x'.repeat(10_000)]) store.observe?.(text)
    await waitUntilStandbyServes(() => store.get('k'))
  })

  test('is empty without standbys, and a table that is not logged has none', async () => {
    expect(createStore({ logged: false, replicas: [] }).consistencyToken).toBeUndefined()
  })
})

test('what a transaction writes is read from the primary, also after its commit', async () => {
  const store = await createWarmStore()
  const cache = new Cache(store)
  await cache.set('row', oldValue)
  await waitUntilStandbyServes(() => cache.get('row'))
  await pauseReplay()
  const client = new pg.Client(servers.primary.url)
  await client.connect()
  await client.query('BEGIN')
  await within(cache, client).set('row', newValue)
  expect(await cache.get('row')).toBe(oldValue)
  await client.query('COMMIT')
  await client.end()
  expect(await cache.get('row')).toBe(newValue)
})

describe('a standby that fails', () => {
  test('fails no call: the primary serves the read', async () => {
    const store = await createWarmStore({ timeout: '2s' })
    servers.standby.kill('SIGSTOP')
    for (let read = 0; read < 10; read++) expect(await store.get('k')).toBe(oldValue)
    servers.standby.kill('SIGCONT')
    await waitUntilStandbyServes(() => store.get('k'))
  })
})

test('the primary of several hosts in the variables of libpq is used', async () => {
  const { primary, standby } = servers
  const user = { PGUSER: 'postgres', PGDATABASE: 'postgres' }
  const hosts = { PGHOST: '127.0.0.1,localhost', PGPORT: `${standby.port},${primary.port}` }
  for (const [name, value] of Object.entries({ ...hosts, ...user })) vi.stubEnv(name, value)
  onTestFinished(() => void vi.unstubAllEnvs())
  const store = createStore({ url: undefined, replicas: [] })
  await store.set('k', 'v')
  expect(await store.get('k')).toBe('v')
  const bus = postgresBus()
  onTestFinished(() => bus.close())
  await vi.waitFor(() => bus.subscribe(() => {}), { timeout: 60_000 })
  expect(bus.connected).toBe(true)
})

test('a role without privileges for monitoring reads from standbys too', async () => {
  const client = new pg.Client(servers.primary.url)
  await client.connect()
  await client.query('CREATE ROLE app LOGIN; GRANT ALL ON stowage_cache TO app')
  await client.end()
  const url = servers.primary.url.replace('postgres@', 'app@')
  const store = createStore({ url })
  await store.set('k', newValue)
  await waitUntilStandbyServes(() => store.get('k'))
})

test('thousands of writes and reads at once, on a standby that lags: none is older', async () => {
  const store = await createWarmStore()
  let stale = 0
  const work = async (worker: number) => {
    for (let request = 0; request < 30; request++) {
      const value = `${request}`
      await store.set(`key ${worker}`, value)
      if ((await store.get(`key ${worker}`)) !== value) stale++
      const page = await store.getMany([`key ${worker}`, 'k', `page ${request}`])
      if (page[0] !== value) stale++
      if (worker === 0)
        await servers.onStandby(`SELECT pg_wal_replay_${request % 2 ? 'resume' : 'pause'}()`)
    }
  }
  await Promise.all(Array.from({ length: 32 }, (_, worker) => work(worker)))
  expect(stale).toBe(0)
})

describe('a bus with several hosts', () => {
  function openBus(ports: readonly number[], options: PostgresBusOptions = {}) {
    const hosts = ports.map((port) => `127.0.0.1:${port}`)
    const url = `postgres://postgres@${hosts}/postgres`
    const bus = postgresBus({ url, timeout: '20s', ...options })
    onTestFinished(() => bus.close())
    return bus
  }

  async function expectMessages(bus: ReturnType<typeof openBus>): Promise<void> {
    const messages: unknown[] = []
    await bus.subscribe((keys) => messages.push(keys))
    messages.length = 0
    await openBus([servers.primary.port]).publish(['k'])
    await vi.waitFor(() => expect(messages).toEqual([['k']]), { timeout: 20_000 })
  }

  test('listens to the primary if a standby is the first one', async () => {
    await expectMessages(openBus([servers.standby.port, servers.primary.port]))
  })

  test('listens to the primary if the first one does not reply', async () => {
    servers.proxy.mute(true)
    await expectMessages(openBus([servers.proxy.port, servers.primary.port], { timeout: '8s' }))
  })

  test('rejects if all of them are standbys', async () => {
    const bus = openBus([servers.standby.port, servers.proxy.port])
    await expect(bus.subscribe(() => {})).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      message: expect.stringContaining('read-only'),
    })
  })
})
