import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { knownResponsesOf } from '../../src/filling/known-responses.ts'

function setup() {
  const clock = new ManualClock()
  const cache = new Cache(memory({ clock }), { clock })
  return { clock, cache, ...knownResponsesOf(cache) }
}

test('all routes over one cache share what is known of its responses', () => {
  const { cache } = setup()
  expect(knownResponsesOf(cache)).toBe(knownResponsesOf(cache))
  expect(knownResponsesOf(cache)).not.toBe(knownResponsesOf(setup().cache))
})

describe('the headers that variants of a key depend on', () => {
  test('are those of all its responses in order, and not those of other keys', () => {
    const { variants } = setup()
    expect(variants.union('k', ['b'])).toEqual(['b'])
    expect(variants.union('k', ['c', 'a'])).toEqual(['a', 'b', 'c'])
    expect(variants.union('k', ['b'])).toEqual(['a', 'b', 'c'])
    expect(variants.union('other', ['d'])).toEqual(['d'])
  })

  test('are those of the last response if there would be more than ten', () => {
    const { variants } = setup()
    const ten = Array.from('abcdefghij')
    variants.union('k', ten.slice(1))
    expect(variants.union('k', ['a'])).toEqual(ten)
    expect(variants.union('k', ['k'])).toEqual(['k'])
    expect(variants.union('k', ['a'])).toEqual(['a', 'k'])
  })

  test('are covered by a record that contains all of them', () => {
    const { variants } = setup()
    const record = { kind: 'vary', fill: 'f', names: ['a', 'b'] } as const
    expect(variants.cover('k', record, ['b'])).toBe(true)
    expect(variants.union('k', [])).toEqual([])
    expect(variants.cover('k', record, ['b', 'c'])).toBe(false)
    expect(variants.union('k', [])).toEqual(['a', 'b', 'c'])
  })
})

describe('of a record with room for two variants', () => {
  function setupRecord() {
    const { variants } = setup()
    return {
      admit: (key: string, now: number, keepUntil: number, record = 'record') =>
        variants.admit(record, key, 2, { now, keepUntil }),
      hasRoom: (key: string, now: number) => variants.hasRoom('record', key, 2, now),
    }
  }

  test('a third one is refused, and the first two are stored again', () => {
    const { admit, hasRoom } = setupRecord()
    expect(hasRoom('a', 0)).toBe(true)
    expect([admit('a', 0, 10), admit('b', 0, 10), admit('c', 0, 10)]).toEqual([true, true, false])
    expect([hasRoom('a', 0), hasRoom('b', 0), hasRoom('c', 0)]).toEqual([true, true, false])
    expect(admit('a', 0, 10)).toBe(true)
    expect(admit('c', 0, 10, 'other record')).toBe(true)
  })

  test('a variant makes room at its end, and not before', () => {
    const { admit, hasRoom } = setupRecord()
    admit('a', 0, 20)
    admit('b', 0, 10)
    expect(hasRoom('c', 9)).toBe(false)
    expect(hasRoom('c', 10)).toBe(true)
    expect(admit('c', 10, 30)).toBe(true)
    expect(hasRoom('d', 19)).toBe(false)
    expect(hasRoom('d', 20)).toBe(true)
    admit('d', 20, 25)
    expect(hasRoom('e', 24)).toBe(false)
    expect(hasRoom('e', 25)).toBe(true)
  })

  test('a variant that is stored again ends later', () => {
    const { admit, hasRoom } = setupRecord()
    admit('a', 0, 10)
    admit('b', 0, 30)
    admit('a', 5, 20)
    expect(hasRoom('c', 10)).toBe(false)
    expect(hasRoom('c', 19)).toBe(false)
    expect(hasRoom('c', 20)).toBe(true)
  })
})

test('a key is marked for its reason until the time is over', async () => {
  const { clock, unstored } = setup()
  unstored.add('k', 100)
  unstored.add('k', 50, 'failed')
  expect(unstored.has('k')).toBe(true)
  expect(unstored.has('k', 'failed')).toBe(true)
  expect(unstored.has('k', 'unlikely')).toBe(false)
  expect(unstored.has('other')).toBe(false)
  await clock.advance(50)
  expect(unstored.has('k', 'failed')).toBe(false)
  await clock.advance(49)
  expect(unstored.has('k', 'private')).toBe(true)
  await clock.advance(1)
  expect(unstored.has('k', 'private')).toBe(false)
})

test('a key whose response was stored has no marks', () => {
  const { unstored } = setup()
  const reasons = ['private', 'unlikely', 'failed'] as const
  for (const reason of reasons) unstored.add('k', 100, reason)
  unstored.add('other', 100)
  unstored.remove('k')
  expect(reasons.map((reason) => unstored.has('k', reason))).toEqual([false, false, false])
  expect(unstored.has('other')).toBe(true)
})

test('a mark ends also if the clock of the system is set back', async () => {
  const clock = new ManualClock()
  let setBackMs = 0
  const now = () => clock.now() - setBackMs
  const monotonic = () => clock.monotonic()
  const shifted = { now, monotonic, sleep: async () => {} }
  const { unstored } = knownResponsesOf(new Cache(memory(), { clock: shifted }))
  unstored.add('k', 100)
  setBackMs = 3_600_000
  await clock.advance(99)
  expect(unstored.has('k')).toBe(true)
  await clock.advance(1)
  expect(unstored.has('k')).toBe(false)
})
