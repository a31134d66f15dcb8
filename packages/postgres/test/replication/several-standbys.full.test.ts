import { setImmediate as nextTurn } from 'node:timers/promises'
import { startPostgresStandby, startProxy } from '@stowage/test-servers'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { longValue, replicatedServers } from './replicated-servers.ts'

const [oldValue, newValue] = [longValue('old'), longValue('new')]
const servers = replicatedServers()
const { createStore, createWarmStore, pauseReplay, waitUntilStandbyServes } = servers

test('a standby that is replaced by another one at its address serves nothing before that has caught up', async () => {
  const delayed = { recovery_min_apply_delay: '1h' }
  const other = await startPostgresStandby({ of: servers.primary.port, settings: delayed })
  const store = await createWarmStore()
  await store.set('k', newValue)
  await waitUntilStandbyServes(async () => {
    expect(await store.get('k')).toBe(newValue)
  })
  servers.proxy.retarget(other.port)
  servers.proxy.cut()
  // The store has connected to the other one, and reads its position again and again.
  const connected = servers.proxy.bytes.replies
  while (servers.proxy.bytes.replies - connected < 5_000) {
    expect(await store.get('k')).toBe(newValue)
  }
  servers.proxy.retarget(servers.standby.port)
  servers.proxy.cut()
  await waitUntilStandbyServes(() => store.get('k'))
  await other.stop()
})

describe('two standbys', () => {
  test('both serve reads, and the other one does when one lags or ends', async () => {
    const other = await startPostgresStandby({ of: servers.primary.port })
    const proxy = await startProxy(other.port)
    onTestFinished(async () => {
      await proxy.stop()
      await other.stop()
    })
    const replicas = [servers.proxy, proxy].map(({ port }) => `127.0.0.1:${port}`)
    const store = createStore({ replicas })
    const bytesOf = () => [servers.proxy.bytes.replies, proxy.bytes.replies]
    /** Waits until reads that return `value` are served by these standbys in turn. */
    const waitUntilServed = (value: string, expected: readonly boolean[]) =>
      vi.waitFor(
        async () => {
          const before = bytesOf()
          for (let read = 0; read < 4; read++) expect(await store.get('k')).toBe(value)
          const served = bytesOf().map((bytes, index) => bytes - (before[index] as number))
          expect(served.map((bytes) => bytes > value.length)).toEqual(expected)
        },
        { timeout: 60_000, interval: 20 },
      )
    await store.set('k', oldValue)
    await waitUntilServed(oldValue, [true, true])
    await pauseReplay()
    await store.set('k', newValue)
    await waitUntilServed(newValue, [false, true])
    await servers.onStandby('SELECT pg_wal_replay_resume()')
    await waitUntilServed(newValue, [true, true])
    await other.crash()
    for (let read = 0; read < 10; read++) expect(await store.get('k')).toBe(newValue)
    await waitUntilServed(newValue, [true, false])
  })
})

test('a read that waits for a connection to a standby does not use one to another standby', async () => {
  const delayed = { recovery_min_apply_delay: '1h' }
  const other = await startPostgresStandby({ of: servers.primary.port, settings: delayed })
  const store = await createWarmStore()
  await store.set('k', newValue)
  await waitUntilStandbyServes(() => store.get('k'))
  servers.proxy.mute(true, 'replies')
  const sent = servers.proxy.bytes.requests
  const first = store.get('other')
  await expect.poll(() => servers.proxy.bytes.requests).toBeGreaterThan(sent)
  const second = store.get('k')
  // It is sent in a later turn.
  for (let turn = 0; turn < 20; turn++) await nextTurn()
  servers.proxy.retarget(other.port)
  servers.proxy.cut()
  servers.proxy.mute(false)
  await first
  expect(await second).toBe(newValue)
  await other.stop()
})
