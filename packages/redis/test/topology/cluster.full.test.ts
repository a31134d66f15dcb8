import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@stowage/core'
import { BatchError } from '@stowage/core/driver'
import { startCluster } from '@stowage/test-servers'
import slotOf from 'cluster-key-slot'
import { afterEach, describe, expect, test } from 'vitest'
import { waitUntilServed } from '../helpers.ts'
import { closeStores, createStore } from './cluster-stores.ts'

afterEach(closeStores)

describe('a master that is killed', () => {
  test('has replicas that serve its keys until one of them is promoted', async () => {
    const args = ['--cluster-require-full-coverage', 'no', '--cluster-allow-reads-when-down', 'yes']
    const cluster = await startCluster({ replicasPerPrimary: 1, nodeTimeoutMs: 10_000, args })
    try {
      const store = createStore(cluster, { readFrom: 'replicaPreferred' })
      const [master, replica] = [cluster.nodes[0], cluster.nodes[3]]
      const key = Array.from({ length: 30 }, (_, i) => `key ${i}`).find((k) => slotOf(k) < 5_000)
      await store.set(key ?? '', 'v')
      await waitUntilServed([replica?.port ?? 0], () => store.get(key ?? ''))
      master?.kill('SIGKILL')
      const end = Date.now() + 3_000
      while (Date.now() < end) {
        expect(String(await store.get(key ?? ''))).toBe('v')
        await sleep(20)
      }
      const missing = Array.from({ length: 30 }, (_, i) => `no ${i}`).find((k) => slotOf(k) < 5_000)
      expect(await store.get(missing ?? '')).toBeUndefined()
    } finally {
      await cluster.stop()
    }
  })

  test('fails the calls of its own keys only', async () => {
    const cluster = await startCluster()
    try {
      const store = createStore(cluster)
      const keys = Array.from({ length: 60 }, (_, i) => `key ${i}`)
      await store.setMany(keys.map((key) => [key, 'v'] as const))
      cluster.nodes[0]?.kill('SIGKILL')
      const isOfKilled = (key: string) => slotOf(key) < 16_384 / 3
      const expectOwnOutcomes = (outcomes: readonly PromiseSettledResult<unknown>[]) => {
        for (const [index, outcome] of outcomes.entries()) {
          const key = keys[index] ?? ''
          expect([key, outcome.status]).toEqual([key, isOfKilled(key) ? 'rejected' : 'fulfilled'])
          if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ key })
        }
      }
      const outcomesOf = async (call: unknown) => {
        const failure = await Promise.resolve(call).catch((error: unknown) => error)
        expect(failure).toBeInstanceOf(BatchError)
        return (failure as BatchError).outcomes
      }
      expectOwnOutcomes(await Promise.allSettled(keys.map((key) => store.get(key))))
      expectOwnOutcomes(await Promise.allSettled(keys.map((key) => store.set(key, 'new'))))
      expectOwnOutcomes(await outcomesOf(store.getMany(keys)))
      const entries = keys.map((key) => [key, 'newer'] as const)
      expectOwnOutcomes(await outcomesOf(store.setMany(entries, 60_000)))
      const alive = keys.filter((key) => !isOfKilled(key))
      expect((await store.getMany(alive)).map(String)).toEqual(alive.map(() => 'newer'))
      expectOwnOutcomes(await outcomesOf(store.deleteMany(keys)))
      expect(await store.getMany(alive)).toEqual(alive.map(() => undefined))
    } finally {
      await cluster.stop()
    }
  })

  test('is replaced: no call hangs, each failed call rejects, and its keys can be written again', async () => {
    const cluster = await startCluster({ replicasPerPrimary: 1 })
    try {
      const store = createStore(cluster, { timeout: '300ms' })
      const keys = Array.from({ length: 30 }, (_, i) => `key ${i}`)
      await Promise.all(keys.map((key) => store.set(key, 'v')))
      cluster.nodes[0]?.kill('SIGKILL')
      const deadline = Date.now() + 40_000
      for (let failed = keys.length; failed > 0; ) {
        const outcomes = await Promise.allSettled(keys.map((key) => store.set(key, 'new')))
        failed = 0
        for (const outcome of outcomes) {
          if (outcome.status === 'fulfilled') continue
          expect(CacheError.is(outcome.reason)).toBe(true)
          failed++
        }
        if (Date.now() > deadline) throw new Error('not recovered within 40 s')
        if (failed > 0) await sleep(50)
      }
      expect((await store.getMany(keys)).map(String)).toEqual(keys.map(() => 'new'))
    } finally {
      await cluster.stop()
    }
  })
})
