import { expect, test } from 'vitest'
import { ItemMapper } from '../../src/items/item-mapper.ts'
import { TtlAttribute } from '../../src/items/ttl-attribute.ts'

const names = { key: 'key', value: 'value', ttl: 'ttl' }

/** At a time in epoch milliseconds. */
function setupAt(ms: number) {
  const ttl = new TtlAttribute({ now: () => ms }, names)
  return { ttl, mapper: new ItemMapper(names, ttl) }
}

const expiringAt = (seconds: number, earlyMs?: number) => ({
  ttl: { N: `${seconds}` },
  ...(earlyMs !== undefined && { early_ms: { N: `${earlyMs}` } }),
})

test('an item expires at a full second that is rounded up, and the rest earlier', () => {
  const { ttl } = setupAt(10_250)
  expect(ttl.attributesFor(500)).toEqual(expiringAt(11, 250))
  expect(ttl.attributesFor(750)).toEqual(expiringAt(11, 0))
  expect(ttl.attributesFor(751)).toEqual(expiringAt(12, 999))
  expect(ttl.attributesFor(undefined)).toEqual({})
})

test('conditions compare the next full second, and the milliseconds until then', () => {
  expect(setupAt(10_000).ttl.now()).toEqual({ seconds: 11, earlyMs: 1_000 })
  expect(setupAt(10_001).ttl.now()).toEqual({ seconds: 11, earlyMs: 999 })
  expect(setupAt(10_999).ttl.now()).toEqual({ seconds: 11, earlyMs: 1 })
})

test('an item is expired from its exact time on', () => {
  const item = expiringAt(11, 250)
  expect(setupAt(10_749).ttl.isExpired(item)).toBe(false)
  expect(setupAt(10_750).ttl.isExpired(item)).toBe(true)
  expect(setupAt(11_000).ttl.isExpired(item)).toBe(true)
  expect(setupAt(9_999).ttl.isExpired(item)).toBe(false)
})

test('an item of another program expires at its full second, or never', () => {
  expect(setupAt(10_999).ttl.isExpired(expiringAt(11))).toBe(false)
  expect(setupAt(11_000).ttl.isExpired(expiringAt(11))).toBe(true)
  expect(setupAt(11_000).ttl.isExpired({})).toBe(false)
  expect(setupAt(11_000).ttl.isExpired({ ttl: { S: '1' } })).toBe(false)
})

test('the remaining ttl of an item is at least a millisecond', () => {
  const { ttl } = setupAt(10_250)
  expect(ttl.ttlOf(expiringAt(11, 250))).toBe(500)
  expect(ttl.ttlOf(expiringAt(11))).toBe(750)
  expect(ttl.ttlOf(expiringAt(10))).toBe(1)
  expect(ttl.ttlOf({})).toBeUndefined()
})

test('an item contains its key, its payload and its expiry', () => {
  const { mapper } = setupAt(10_250)
  const item = mapper.toItem('k', 'text', 500)
  expect(item).toEqual({ key: { S: 'k' }, value: { S: 'text' }, ...expiringAt(11, 250) })
  expect(mapper.toKey('k')).toEqual({ key: { S: 'k' } })
  expect([mapper.keyOf(item), mapper.keyOf({})]).toEqual(['k', ''])
})

test('a missing or expired item has no payload', () => {
  const { mapper } = setupAt(10_250)
  const value = { value: { S: 'text' } }
  const [fresh, expired] = [
    { ...value, ...expiringAt(11) },
    { ...value, ...expiringAt(10) },
  ]
  expect([fresh, expired, undefined].map((item) => mapper.payloadOf(item))).toEqual([
    'text',
    undefined,
    undefined,
  ])
  expect(mapper.storedPayloadOf(expired)).toBe('text')
  expect(mapper.withTtl(fresh)).toEqual({ item: 'text', ttl: 750 })
  expect(mapper.withTtl(value)).toEqual({ item: 'text', ttl: Infinity })
  expect([expired, undefined, {}].map((item) => mapper.withTtl(item))).toEqual([
    undefined,
    undefined,
    undefined,
  ])
})
