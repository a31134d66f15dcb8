import { expect, test } from 'vitest'
import { Journal } from '../../src/failover/recovery/journal.ts'

test('keeps a key that has changed again until that change is confirmed', () => {
  const journal = new Journal(10)
  journal.add('a')
  journal.add('b')
  const entries = journal.entries()
  journal.add('a')
  journal.confirm(entries)
  expect([journal.has('a'), journal.has('b'), journal.size]).toEqual([true, false, 1])
  journal.confirm(journal.entries())
  expect(journal.size).toBe(0)
})

test('reports an overflow until it is confirmed, unless further keys were dropped since', () => {
  const journal = new Journal(1)
  journal.add('a')
  journal.add('a')
  expect(journal.overflow).toBe(0)
  journal.add('b')
  const { overflow } = journal
  expect(overflow).toBeGreaterThan(0)
  journal.add('c')
  journal.confirmOverflow(overflow)
  expect(journal.overflow).toBeGreaterThan(0)
  journal.confirmOverflow(journal.overflow)
  expect([journal.overflow, journal.size]).toEqual([0, 1])
})
