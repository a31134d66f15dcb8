import assert from 'node:assert/strict'
import { ManualClock } from '../../manual-clock.ts'
import { countTrue } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import type { AnyStore, Fixture } from '../support/fixture.ts'
import { strong } from '../support/processes.ts'

const rounds = 20

/** Creates a check that needs two stores on one backend, as two processes have them. */
function withSecondStore(
  check: (fixture: Fixture, first: AnyStore, second: AnyStore) => Promise<void>,
) {
  return async (fixture: Fixture) => {
    const second = await fixture.createSharedStore()
    if (second !== undefined) await check(fixture, fixture.store, second)
  }
}

/** Makes the same call on both stores, several times each. */
function onBoth<T>(
  stores: readonly AnyStore[],
  call: (store: AnyStore, index: number) => T,
): Promise<Awaited<T>[]> {
  const turns = [0, 1, 2, 3, 4].flatMap((turn) => stores.map((store) => [turn, store] as const))
  return Promise.all(turns.map(async ([turn, store]) => call(store, turn)))
}

export const sharing: readonly ConformanceCase[] = group('sharing', {
  'a strong read returns what another store has written': withSecondStore(
    async ({ newKey, item, textOf }, first, second) => {
      const key = newKey()
      for (let round = 0; round < rounds; round++) {
        const [writer, reader] = round % 2 === 0 ? [first, second] : [second, first]
        await writer.set(key, item(`${round}`))
        const found = textOf(await reader.get(key, strong))
        assert.equal(found, `${round}`, 'get returns what another store has set')
        const [inBatch] = await reader.getMany([key], strong)
        assert.equal(textOf(inBatch), `${round}`, 'getMany returns what another store has set')
      }
      await second.delete(key)
      assert.equal(await first.get(key, strong), undefined, 'another store has deleted the item')
      assert.equal(await first.add(key, item('x')), true, 'another store has deleted the item')
      assert.equal(await second.touch(key, 60_000), true, 'another store has added the item')
      assert.equal(await second.add(key, item('y')), false, 'another store has added the item')
    },
  ),

  'exactly one of the concurrent adds of two stores succeeds': withSecondStore(
    async ({ newKeys, item }, first, second) => {
      for (const key of newKeys(rounds)) {
        const added = await onBoth([first, second], (store, turn) =>
          store.add(key, item(`${turn}`)),
        )
        assert.equal(countTrue(added), 1, 'add is atomic across stores')
      }
    },
  ),

  'exactly one of the concurrent compareAndSet of two stores succeeds': withSecondStore(
    async ({ newKeys, item, isByteStore }, first, second) => {
      for (const [index, key] of newKeys(rounds).entries()) {
        const start = item('start')
        await first.set(key, start)
        const next = isByteStore && index % 2 === 1 ? () => undefined : (n: number) => item(`${n}`)
        const replaced = await onBoth([first, second], (store, turn) =>
          store.compareAndSet(key, start, next(turn)),
        )
        assert.equal(countTrue(replaced), 1, 'compareAndSet is atomic across stores')
      }
    },
  ),

  'the concurrent increments of two stores are all counted': withSecondStore(
    async ({ newKeys }, first, second) => {
      for (const key of newKeys(rounds)) {
        const sums = await onBoth([first, second], (store) => store.increment(key, 1))
        const expected = sums.map((_, index) => index + 1)
        assert.deepEqual(
          sums.sort((a, b) => a - b),
          expected,
          'increment is atomic across stores: each call returns another sum',
        )
      }
    },
  ),

  'exactly one of the concurrent deletes of two stores returns true': withSecondStore(
    async ({ newKeys, item }, first, second) => {
      for (const key of newKeys(rounds)) {
        await second.set(key, item('x'))
        const deleted = await onBoth([first, second], (store) => store.delete(key))
        assert.equal(countTrue(deleted), 1, 'delete is atomic across stores')
      }
    },
  ),

  'a strong read does not return what a cache on another store has cleared': withSecondStore(
    async ({ newKey, newCacheOn }, first, second) => {
      const prefix = newKey('cleared:')
      // A clock that stands still: what was read before the clear does not become outdated by waiting.
      const clock = new ManualClock()
      const caches = [first, second].map((store) => newCacheOn(store, { prefix, clock }))
      for (let round = 0; round < rounds; round++) {
        const [writer, reader] = round % 2 === 0 ? caches : caches.toReversed()
        await writer?.set('a', round)
        assert.equal(await reader?.get('a', strong), round, 'a strong read returns the value')
        await writer?.clear()
        assert.equal(await reader?.get('a', strong), undefined, 'a strong read notices the clear')
        const [found] = (await reader?.getMany(['a'], strong)) ?? []
        assert.equal(found, undefined, 'a strong getMany notices the clear')
      }
    },
  ),

  'every read notices the clear of another store within a second': withSecondStore(
    async ({ newKey, newCacheOn }, first, second) => {
      const prefix = newKey('cleared:')
      const clock = new ManualClock()
      const [one, two] = [first, second].map((store) => newCacheOn(store, { prefix, clock }))
      await one?.set('a', 1)
      assert.equal(await two?.get('a', strong), 1, 'stores share their entries')
      await one?.clear()
      await clock.advance(1_000)
      assert.equal(await two?.get('a'), undefined, 'a read notices the clear within a second')
      await two?.set('a', 2)
      assert.equal(await one?.get('a', strong), 2, 'stores share their entries after a clear')
    },
  ),

  'exactly one of the adds after a clear succeeds': withSecondStore(
    async ({ newKey, newCacheOn }, first, second) => {
      const prefix = newKey('locks:')
      const clock = new ManualClock()
      const caches = [first, second].map((store) => newCacheOn(store, { prefix, clock }))
      for (let round = 0; round < rounds; round++) {
        for (const cache of caches) await cache.get('lock')
        await caches[round % 2]?.clear()
        const added = await Promise.all(caches.map((cache) => cache.add('lock', round)))
        assert.equal(countTrue(added), 1, 'after a clear, add is atomic across stores')
      }
    },
  ),

  'close of a store does not affect another store': withSecondStore(
    async ({ newKey, item, textOf }, first, second) => {
      const key = newKey()
      await first.set(key, item('kept'))
      await second.close()
      assert.equal(textOf(await first.get(key, strong)), 'kept', 'the other store keeps its items')
      await first.set(key, item('new'))
      assert.equal(textOf(await first.get(key, strong)), 'new', 'the other store is still open')
    },
  ),
})
