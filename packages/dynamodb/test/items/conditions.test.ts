import { expect, test } from 'vitest'
import { Conditions } from '../../src/items/conditions.ts'

const conditions = new Conditions({ key: 'k', value: 'v', ttl: 't' })
const now = { seconds: 11, earlyMs: 250 }
const times = { ':now': { N: '11' }, ':early': { N: '250' } }
const ttlNames = { '#t': 't', '#e': 'early_ms' }
const expired = '#t < :now OR #t = :now AND #e >= :early'

test('an item exists if it is stored and not expired', () => {
  expect(conditions.exists(now)).toEqual({
    ConditionExpression: `attribute_exists(#k) AND NOT (${expired})`,
    ExpressionAttributeNames: { '#k': 'k', ...ttlNames },
    ExpressionAttributeValues: times,
  })
  expect(conditions.notExists(now)).toEqual({
    ConditionExpression: `attribute_not_exists(#k) OR ${expired}`,
    ExpressionAttributeNames: { '#k': 'k', ...ttlNames },
    ExpressionAttributeValues: times,
  })
})

test('a value is equal to one of several attributes', () => {
  expect(conditions.equals(now, [{ S: '1' }, { N: '1' }])).toEqual({
    ConditionExpression: `(#v = :v0 OR #v = :v1) AND NOT (${expired})`,
    ExpressionAttributeNames: { '#v': 'v', ...ttlNames },
    ExpressionAttributeValues: { ...times, ':v0': { S: '1' }, ':v1': { N: '1' } },
  })
})

test('a number is in a range, or its key is missing if that is permitted', () => {
  const inRange = `#v BETWEEN :min AND :max AND NOT (${expired})`
  const bounds = { ':min': { N: '-1' }, ':max': { N: '2' } }
  expect(conditions.inRange(now, -1, 2, false)).toEqual({
    ConditionExpression: inRange,
    ExpressionAttributeNames: { '#v': 'v', ...ttlNames },
    ExpressionAttributeValues: { ...times, ...bounds },
  })
  expect(conditions.inRange(now, -1, 2, true)).toEqual({
    ConditionExpression: `attribute_not_exists(#k) OR ${inRange}`,
    ExpressionAttributeNames: { '#k': 'k', '#v': 'v', ...ttlNames },
    ExpressionAttributeValues: { ...times, ...bounds },
  })
})
