import { setTimeout as sleep } from 'node:timers/promises'
import { variantGroups } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { replicatedServers, type Store } from './replicated-servers.ts'

const servers = replicatedServers()
const { createStore, pauseReplay, waitUntilStandbyServes } = servers

/** Creates a store whose standby is connected, caught up and has `k`. */
async function createWarmStore(options: Parameters<typeof createStore>[0] = {}): Promise<Store> {
  const store = createStore(options)
  await store.set('k', 'old')
  await waitUntilStandbyServes(async () => {
    expect(await store.get('k')).toBe('old')
  })
  return store
}

describe('a primary and a standby', () => {
  conform(test, () => createStore({ timeout: '2m' }), {
    wait: async (ms) => sleep(ms),
    groups: variantGroups,
    sharedBackend: true,
  })
})

describe('a read after a write of the same process', () => {
  test.each([
    ['set', (store: Store) => store.set('k', 'new')],
    ['setMany', (store: Store) => store.setMany([['k', 'new']], 60_000)],
    ['compareAndSet', (store: Store) => store.compareAndSet('k', 'old', 'new')],
  ])('is not older after %s while the standby applies nothing', async (_, write) => {
    const store = await createWarmStore()
    await pauseReplay()
    await write(store)
    for (let read = 0; read < 10; read++) expect(await store.get('k')).toBe('new')
    expect(await store.getMany(['k', 'other', 'k'])).toEqual(['new', undefined, 'new'])
    await store.delete('k')
    expect(await store.get('k')).toBeUndefined()
    await store.set('y', '1')
    await store.clear()
    expect(await store.getMany(['k', 'y'])).toEqual([undefined, undefined])
  })

  test('is served by the standby again once it has applied the write', async () => {
    const store = await createWarmStore()
    await pauseReplay()
    await store.set('k', 'new')
    expect(await store.get('k')).toBe('new')
    await servers.onStandby('SELECT pg_wal_replay_resume()')
    await waitUntilStandbyServes(async () => {
      expect(await store.get('k')).toBe('new')
    })
  })

  test('may be older with eventual consistency, and is not with strong', async () => {
    const store = await createWarmStore({ consistency: 'eventual' })
    await pauseReplay()
    await store.set('k', 'new')
    expect(await store.get('k')).toBe('old')
    expect(await store.get('k', { consistency: 'strong' })).toBe('new')
    expect(await store.getMany(['k'], { consistency: 'strong' })).toEqual(['new'])
  })
})
