import { expect, test } from 'vitest'
import { permitsRange } from '../../src/request/conditions.ts'

const now = Date.parse('2026-03-04T05:06:07Z')
const at = (seconds: number) => new Date(now + 1_000 * seconds).toUTCString()

test.each([
  ['no condition', undefined, true],
  ['the entity tag', '"a"', true],
  ['another one', '"b"', false],
  ['a weak one', 'W/"a"', false],
  ['the date of the last change', at(-1), true],
  ['a later date', at(0), false],
])('If-Range with %s', (_, ifRange, isPermitted) => {
  const selected = { status: 200, etag: '"a"', lastModified: at(-1), date: at(0) }
  expect(permitsRange(ifRange, selected)).toBe(isPermitted)
})

test('If-Range with a date is false if the response is of the same second', () => {
  const selected = { status: 200, etag: undefined, lastModified: at(0), date: at(0) }
  expect(permitsRange(at(0), selected)).toBe(false)
  expect(permitsRange(at(0), { ...selected, date: undefined })).toBe(false)
})
