import assert from 'node:assert/strict'
import { toBytes } from '@stowage/core/driver'
import { type ConformanceCase, group } from './case.ts'
import { together, winners } from './expect.ts'

/** Pairs that a loose comparison takes for equal. */
const nearlyEqual = [
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
  'add stores only where nothing lives': async ({ store, key, item, read }) => {
    const mine = key()
    assert.equal(await store.add(mine, item('first')), true, 'add says that it stored')
    assert.equal(await read(mine), 'first', 'add stores')
    assert.equal(await store.add(mine, item('second')), false, 'add says that it did not store')
    assert.equal(await read(mine), 'first', 'add leaves a living item alone')
    await store.delete(mine)
    assert.equal(await store.add(mine, item('third')), true, 'add stores after a delete')
    assert.equal(await read(mine), 'third', 'add stores after a delete')
  },

  'add does not replace what set or increment stored': async ({ store, key, item, read }) => {
    const [set, counted] = [key(), key()]
    await store.set(set, item('kept'))
    await store.increment(counted, 7)
    assert.equal(await store.add(set, item('x')), false, 'add respects what set stored')
    assert.equal(await store.add(counted, item('x')), false, 'add respects a counter')
    assert.equal(await read(set), 'kept', 'add leaves a living item alone')
    assert.equal(await read(counted), '7', 'add leaves a counter alone')
  },

  'of 1000 adds at once exactly one stores': async ({ store, key, item, read }) => {
    const mine = key()
    const added = await together(1_000, (index) => store.add(mine, item(String(index))))
    assert.equal(winners(added), 1, 'add is atomic: of many at once one wins')
    assert.equal(
      await read(mine),
      String(added.indexOf(true)),
      'what lives is what the winner added',
    )
  },

  'compareAndSet replaces what was expected': async ({ store, key, item, read }) => {
    const mine = key()
    const [first, second] = [item('first'), item('second')]
    await store.set(mine, first)
    assert.equal(await store.compareAndSet(mine, first, second), true, 'compareAndSet says it did')
    assert.equal(await read(mine), 'second', 'compareAndSet replaces')
  },

  'compareAndSet accepts what get answered': async ({ store, key, item, read }) => {
    const mine = key()
    await store.set(mine, item('seen'))
    const seen = await store.get(mine)
    assert.equal(
      await store.compareAndSet(mine, seen, item('next')),
      true,
      'what get answered is what is stored',
    )
    assert.equal(await read(mine), 'next', 'compareAndSet replaces')
  },

  'compareAndSet refuses what was not expected': async ({ store, key, item, read }) => {
    const mine = key()
    const first = item('first')
    await store.set(mine, first)
    await store.set(mine, item('second'))
    assert.equal(
      await store.compareAndSet(mine, first, item('third')),
      false,
      'compareAndSet of an item that was replaced is false',
    )
    assert.equal(await read(mine), 'second', 'a refused compareAndSet changes nothing')
  },

  'compareAndSet compares exactly': async ({ store, key, item, read }) => {
    const mine = key()
    for (const [stored, expected] of nearlyEqual) {
      await store.set(mine, item(stored))
      const swapped = await store.compareAndSet(mine, item(expected), item('x'))
      const pair = `${JSON.stringify(stored)} and ${JSON.stringify(expected)}`
      assert.equal(swapped, false, `compareAndSet compares exactly: ${pair} differ`)
      assert.equal(await read(mine), stored, 'a refused compareAndSet changes nothing')
    }
  },

  'compareAndSet compares bytes whatever their form': async ({ store, key, read, bytes }) => {
    if (!bytes) return
    const mine = key()
    await store.set(mine, 'caf\u00e9')
    const asBytes = toBytes('caf\u00e9')
    const rule = 'a string is its UTF-8 bytes: compareAndSet takes either form'
    assert.equal(await store.compareAndSet(mine, asBytes, toBytes('na\u00efve')), true, rule)
    assert.equal(await store.compareAndSet(mine, 'na\u00efve', 'x'), true, rule)
    assert.equal(await read(mine), 'x', rule)
  },

  'compareAndSet tells bytes apart that are no text': async ({ store, key, bytes, same }) => {
    if (!bytes) return
    const mine = key()
    const [one, other] = [Uint8Array.of(0xff, 0xfe), Uint8Array.of(0xff, 0xfd)]
    await store.set(mine, one)
    const rule = 'compareAndSet compares bytes, not decoded text'
    assert.equal(await store.compareAndSet(mine, other, 'x'), false, rule)
    assert.equal(await store.compareAndSet(mine, '\ufffd\ufffd', 'x'), false, rule)
    assert.ok(same(await store.get(mine), one), rule)
    assert.equal(await store.compareAndSet(mine, one, other), true, rule)
  },

  'compareAndSet of entries goes by reference': async ({ store, key, bytes, same }) => {
    if (bytes) return
    const mine = key()
    const [entry, twin] = [{ value: { n: 1 } }, { value: { n: 1 } }]
    await store.set(mine, entry)
    const rule = 'an entry store compares references'
    assert.equal(await store.compareAndSet(mine, twin, { value: 2 }), false, rule)
    assert.ok(same(await store.get(mine), entry), rule)
    assert.equal(await store.compareAndSet(mine, entry, twin), true, rule)
  },

  'compareAndSet never creates': async ({ store, key, item, lives }) => {
    const mine = key()
    for (const expected of ['', 'x', 'undefined', 'null']) {
      const swapped = await store.compareAndSet(mine, item(expected), item('x'))
      assert.equal(swapped, false, 'compareAndSet of a missing key is false')
      assert.equal(await lives(mine), false, 'compareAndSet never creates')
    }
  },

  'compareAndSet without a next item deletes': async ({ store, key, item, lives }) => {
    const mine = key()
    const [first, other] = [item('first'), item('other')]
    await store.set(mine, first)
    assert.equal(
      await store.compareAndSet(mine, other, undefined),
      false,
      'compareAndSet deletes what was expected only',
    )
    assert.equal(await lives(mine), true, 'a refused compareAndSet deletes nothing')
    assert.equal(await store.compareAndSet(mine, first, undefined), true, 'it says that it deleted')
    assert.equal(await lives(mine), false, 'compareAndSet without a next item deletes')
    assert.equal(await store.compareAndSet(mine, first, undefined), false, 'nothing is left')
  },

  'of 100 compareAndSet at once exactly one wins': async ({ store, key, item, read }) => {
    const mine = key()
    const start = item('start')
    await store.set(mine, start)
    const swapped = await together(100, (index) =>
      store.compareAndSet(mine, start, item(String(index))),
    )
    assert.equal(winners(swapped), 1, 'compareAndSet is atomic: of many at once one wins')
    assert.equal(await read(mine), String(swapped.indexOf(true)), 'the winner is what lives')
  },

  'of 100 compareAndSet that delete exactly one wins': async ({ store, key, item, lives }) => {
    const mine = key()
    const start = item('start')
    await store.set(mine, start)
    const swapped = await together(100, () => store.compareAndSet(mine, start, undefined))
    assert.equal(winners(swapped), 1, 'a deleting compareAndSet is atomic')
    assert.equal(await lives(mine), false, 'the winner deletes')
  },

  'of 100 deletes at once exactly one deletes': async ({ store, key, item }) => {
    const mine = key()
    await store.set(mine, item('x'))
    const deleted = await together(100, () => store.delete(mine))
    assert.equal(winners(deleted), 1, 'delete is atomic: one of many says that it was there')
  },
})
