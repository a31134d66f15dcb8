import assert from 'node:assert/strict'
import type { Awaitable } from '@stowage/core'
import { type ConformanceCase, group } from '../support/case.ts'

/** Which side may modify bytes, and when. */
export const buffers: readonly ConformanceCase[] = group('values', {
  'a store does not modify the bytes of the caller': async ({ store, newKey, isByteStore }) => {
    if (!isByteStore) return
    const key = newKey()
    const payload = Uint8Array.of(1, 2, 3)
    await store.set(key, payload)
    await store.compareAndSet(key, payload, payload)
    await store.setMany([[key, payload]])
    assert.deepEqual(payload, Uint8Array.of(1, 2, 3), 'the payload of a write is read-only')
  },

  'a store keeps no reference to the bytes of the caller': async (fixture) => {
    const { store, newKey, isByteStore, sameItem } = fixture
    if (!isByteStore) return
    const writes: Record<string, (key: string, payload: Buffer) => Awaitable<unknown>> = {
      set: (key, payload) => store.set(key, payload),
      setMany: (key, payload) => store.setMany([[key, payload]]),
      add: (key, payload) => store.add(key, payload),
      compareAndSet: async (key, payload) => {
        await store.set(key, 'before')
        await store.compareAndSet(key, 'before', payload)
      },
    }
    for (const [name, write] of Object.entries(writes)) {
      for (const size of [3, Math.min(20_000, store.limits.valueBytes)]) {
        const key = newKey()
        const payload = Buffer.alloc(size, 'a')
        await write(key, payload)
        payload.fill('z')
        const rule = `${name}: the caller may reuse its buffer after the call`
        assert.ok(sameItem(await store.get(key), 'a'.repeat(size)), rule)
      }
    }
  },

  'later calls do not modify bytes that a read returned': async (fixture) => {
    const { store, newKeys, isByteStore, sameItem } = fixture
    if (!isByteStore) return
    const keys = newKeys(4) as [string, string, string, string]
    const [one, two, counter, deleted] = keys
    const texts = ['first', 'other', '12345', 'fifth']
    await store.setMany(keys.map((key, index) => [key, texts[index] as string] as const))
    const found = [await store.get(one), await store.get(counter), await store.get(deleted)]
    found.push(...(await store.getMany(keys)))
    await store.set(one, 'FIRST')
    await store.get(two)
    await store.getMany([two, two, one])
    await store.compareAndSet(two, 'other', 'OTHER')
    await store.increment(counter, 1)
    await store.delete(deleted)
    await store.set(deleted, 'FIFTH')
    for (const [index, text] of ['first', '12345', 'fifth', ...texts].entries()) {
      assert.ok(sameItem(found[index], text), 'bytes that a read returned do not change')
    }
  },

  'the memory of bytes that a read returned is not used again': async (fixture) => {
    const { store, newKeys, isByteStore, sameItem } = fixture
    if (!isByteStore) return
    for (const size of [3, Math.min(20_000, store.limits.valueBytes)]) {
      const [one, two] = newKeys(2) as [string, string]
      await store.set(one, Buffer.alloc(size, 0xc8))
      await store.set(two, Buffer.alloc(size, 0xc9))
      const found = await store.get(one)
      await store.get(two)
      await store.getMany([two, two])
      await store.set(one, Buffer.alloc(size, 0xca))
      assert.ok(sameItem(found, Buffer.alloc(size, 0xc8)), 'a cache passes them on without a copy')
    }
  },

  'a later write does not modify bytes that get returned': async (fixture) => {
    const { store, newKey, isByteStore, sameItem } = fixture
    if (!isByteStore) return
    const key = newKey()
    await store.set(key, Uint8Array.of(1, 2, 3))
    const found = await store.get(key)
    await store.set(key, Uint8Array.of(9, 9, 9))
    assert.ok(sameItem(found, Uint8Array.of(1, 2, 3)), 'a later write does not modify them')
  },
})
