import assert from 'node:assert/strict'
import { toBytes } from '@stowage/core/driver'
import { concurrently, countTrue } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'

/** Pairs of different items that an inexact comparison considers equal. */
const similarItems = [
  ['1', '01'],
  ['1', '1.0'],
  ['a', 'A'],
  ['a', ' a'],
  ['a', 'a '],
  ['a', 'ab'],
  ['ab', 'a'],
  ['\u00e9', 'e\u0301'],
  ['a', ''],
  ['', 'a'],
] as const

export const atomic: readonly ConformanceCase[] = group('atomic', {
  'add stores the item only if the key is missing': async ({ store, newKey, item, read }) => {
    const key = newKey()
    assert.equal(await store.add(key, item('first')), true, 'add of a missing key returns true')
    assert.equal(await read(key), 'first', 'add stores the item')
    assert.equal(await store.add(key, item('second')), false, 'add of an existing key is false')
    assert.equal(await read(key), 'first', 'add does not replace an existing item')
    await store.delete(key)
    assert.equal(await store.add(key, item('third')), true, 'add of a deleted key returns true')
    assert.equal(await read(key), 'third', 'add stores the item after a delete')
  },

  'add does not replace an item or a counter': async ({ store, newKey, item, read }) => {
    const [key, counter] = [newKey(), newKey()]
    await store.set(key, item('kept'))
    await store.increment(counter, 7)
    assert.equal(await store.add(key, item('x')), false, 'add returns false after a set')
    assert.equal(await store.add(counter, item('x')), false, 'add returns false for a counter')
    assert.equal(await read(key), 'kept', 'add does not replace an existing item')
    assert.equal(await read(counter), '7', 'add does not replace a counter')
  },

  'exactly one of 1000 concurrent adds succeeds': async ({ store, newKey, item, read }) => {
    const key = newKey()
    const added = await concurrently(1_000, (index) => store.add(key, item(String(index))))
    assert.equal(countTrue(added), 1, 'add is atomic: one concurrent call returns true')
    assert.equal(
      await read(key),
      String(added.indexOf(true)),
      'the stored item is that of the add that returned true',
    )
  },

  'compareAndSet replaces the expected item': async ({ store, newKey, item, read }) => {
    const key = newKey()
    const [first, second] = [item('first'), item('second')]
    await store.set(key, first)
    assert.equal(await store.compareAndSet(key, first, second), true, 'compareAndSet returns true')
    assert.equal(await read(key), 'second', 'compareAndSet stores the next item')
  },

  'compareAndSet accepts the item that get returned': async ({ store, newKey, item, read }) => {
    const key = newKey()
    await store.set(key, item('current'))
    const current = await store.get(key)
    assert.equal(
      await store.compareAndSet(key, current, item('next')),
      true,
      'the item that get returned equals the stored one',
    )
    assert.equal(await read(key), 'next', 'compareAndSet stores the next item')
  },

  'compareAndSet does not replace another item': async ({ store, newKey, item, read }) => {
    const key = newKey()
    const first = item('first')
    await store.set(key, first)
    await store.set(key, item('second'))
    assert.equal(
      await store.compareAndSet(key, first, item('third')),
      false,
      'compareAndSet returns false if the expected item was replaced',
    )
    assert.equal(await read(key), 'second', 'a failed compareAndSet changes nothing')
  },

  'compareAndSet compares items exactly': async ({ store, newKey, item, read }) => {
    const key = newKey()
    for (const [stored, expected] of similarItems) {
      await store.set(key, item(stored))
      const replaced = await store.compareAndSet(key, item(expected), item('x'))
      const pair = `${JSON.stringify(stored)} and ${JSON.stringify(expected)}`
      assert.equal(replaced, false, `compareAndSet compares exactly: ${pair} differ`)
      assert.equal(await read(key), stored, 'a failed compareAndSet changes nothing')
    }
  },

  'compareAndSet compares long items to their end': async (fixture) => {
    const { store, newKey, isByteStore, sameItem } = fixture
    if (!isByteStore) return
    const key = newKey()
    for (const size of [65, 1_025, 4_097, 65_537, 1_048_576]) {
      const stored = Buffer.alloc(Math.min(size, store.limits.valueBytes - 1), 'x')
      await store.set(key, stored)
      const changed = Buffer.from(stored)
      changed[changed.length - 1] = 0x79
      const longer = Buffer.concat([stored, Buffer.from('x')])
      for (const expected of [changed, stored.subarray(0, -1), longer]) {
        const replaced = await store.compareAndSet(key, expected, 'x')
        assert.equal(
          replaced,
          false,
          `items of ${stored.length} bytes that differ late are different`,
        )
      }
      assert.ok(sameItem(await store.get(key), stored), 'a failed compareAndSet changes nothing')
      const replaced = await store.compareAndSet(key, Buffer.from(stored), changed)
      assert.equal(replaced, true, `compareAndSet matches an item of ${stored.length} bytes`)
    }
  },

  'compareAndSet treats a string and its UTF-8 bytes as equal': async (fixture) => {
    const { store, newKey, read, isByteStore } = fixture
    if (!isByteStore) return
    const key = newKey()
    await store.set(key, 'caf\u00e9')
    const asBytes = toBytes('caf\u00e9')
    const rule = 'compareAndSet accepts a string and its UTF-8 bytes'
    assert.equal(await store.compareAndSet(key, asBytes, toBytes('na\u00efve')), true, rule)
    assert.equal(await store.compareAndSet(key, 'na\u00efve', 'x'), true, rule)
    assert.equal(await read(key), 'x', rule)
  },

  'compareAndSet compares bytes that are not text': async (fixture) => {
    const { store, newKey, isByteStore, sameItem } = fixture
    if (!isByteStore) return
    const key = newKey()
    const [stored, other] = [Uint8Array.of(0xff, 0xfe), Uint8Array.of(0xff, 0xfd)]
    await store.set(key, stored)
    const rule = 'compareAndSet compares bytes, not decoded text'
    assert.equal(await store.compareAndSet(key, other, 'x'), false, rule)
    assert.equal(await store.compareAndSet(key, '\ufffd\ufffd', 'x'), false, rule)
    assert.ok(sameItem(await store.get(key), stored), rule)
    assert.equal(await store.compareAndSet(key, stored, other), true, rule)
  },

  'compareAndSet compares entries by reference': async (fixture) => {
    const { store, newKey, isByteStore, sameItem } = fixture
    if (isByteStore) return
    const key = newKey()
    const [entry, copy] = [{ value: { n: 1 } }, { value: { n: 1 } }]
    await store.set(key, entry)
    const rule = 'an entry store compares references'
    assert.equal(await store.compareAndSet(key, copy, { value: 2 }), false, rule)
    assert.ok(sameItem(await store.get(key), entry), rule)
    assert.equal(await store.compareAndSet(key, entry, copy), true, rule)
  },

  'compareAndSet never creates an item': async ({ store, newKey, item, exists }) => {
    const key = newKey()
    for (const expected of ['', 'x', 'undefined', 'null']) {
      const replaced = await store.compareAndSet(key, item(expected), item('x'))
      assert.equal(replaced, false, 'compareAndSet of a missing key returns false')
      assert.equal(await exists(key), false, 'compareAndSet of a missing key stores nothing')
    }
  },

  'compareAndSet to undefined deletes the expected item': async (fixture) => {
    const { store, newKey, item, exists } = fixture
    const key = newKey()
    const [stored, other] = [item('first'), item('other')]
    await store.set(key, stored)
    assert.equal(
      await store.compareAndSet(key, other, undefined),
      false,
      'compareAndSet to undefined returns false for another item',
    )
    assert.equal(await exists(key), true, 'a failed compareAndSet deletes nothing')
    const deleted = await store.compareAndSet(key, stored, undefined)
    assert.equal(deleted, true, 'compareAndSet to undefined returns true if it deleted')
    assert.equal(await exists(key), false, 'compareAndSet to undefined deletes')
    const again = await store.compareAndSet(key, stored, undefined)
    assert.equal(again, false, 'compareAndSet to undefined returns false for a deleted key')
  },

  'exactly one of 100 concurrent compareAndSet succeeds': async (fixture) => {
    const { store, newKey, item, read } = fixture
    const key = newKey()
    const start = item('start')
    await store.set(key, start)
    const replaced = await concurrently(100, (index) =>
      store.compareAndSet(key, start, item(String(index))),
    )
    assert.equal(countTrue(replaced), 1, 'compareAndSet is atomic: one concurrent call succeeds')
    assert.equal(
      await read(key),
      String(replaced.indexOf(true)),
      'the stored item is that of the compareAndSet that returned true',
    )
  },

  'exactly one of 100 concurrent compareAndSet to undefined succeeds': async (fixture) => {
    const { store, newKey, item, exists } = fixture
    const key = newKey()
    const start = item('start')
    await store.set(key, start)
    const deleted = await concurrently(100, () => store.compareAndSet(key, start, undefined))
    assert.equal(countTrue(deleted), 1, 'compareAndSet to undefined is atomic')
    assert.equal(await exists(key), false, 'the call that returned true has deleted the item')
  },

  'exactly one of 100 concurrent deletes returns true': async ({ store, newKey, item }) => {
    const key = newKey()
    await store.set(key, item('x'))
    const deleted = await concurrently(100, () => store.delete(key))
    assert.equal(countTrue(deleted), 1, 'delete is atomic: one concurrent call returns true')
  },
})
