import { decodeFrame } from '@stowage/core/driver'
import { propertySeed } from '@stowage/test-servers'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

fc.configureGlobal({ seed: propertySeed() })

const forms = {
  text: (header: string) => decodeFrame(`\x01\x01${header}\x00"value"`)?.facts,
  bytes: (header: string) => decodeFrame(Buffer.from(`\x01\x01${header}\x00"value"`))?.facts,
}

const valid =
  '{"freshUntil":1763000000000,"expiresAt":1763000060000,"tags":{"t":"v.v"},"id":"aB3_-x"}'

/** What the header means according to JSON. */
function expectedFacts(header: string): unknown {
  const { as, ...facts } = JSON.parse(header)
  return Object.keys(facts).length > 0 ? facts : undefined
}

const times = fc.oneof(
  fc.integer({ min: 1e12, max: 1e13 - 1 }),
  fc.constantFrom(0, -1, 1.5, 1e12, 1e12 - 1, 1e13, 999_999_999_999, 1_763_000_000_000),
)
const tags = fc.constantFrom(
  { a: 'v1' },
  { a: 'v2' },
  { a: 'v1', b: 'ä' },
  {},
  { ['__proto__']: 'v' },
)
const ids = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'aZ09-_'), minLength: 6, maxLength: 7 }),
  fc.constantFrom('', 'a b', 'a"b', 'a\\b', 'äöüäöü', '\x80\x81\x82\x80\x81\x82'),
)
const extra = fc.constantFrom(
  {},
  { etag: '"1"' },
  { as: 'bytes' },
  { freshUntil: 7 },
  { etag: 'abc' },
)
const headers = fc
  .record(
    { freshUntil: times, expiresAt: times, tags, id: ids, extra },
    { requiredKeys: ['extra'] },
  )
  .map(({ extra, ...header }) => JSON.stringify({ ...header, ...extra }))

describe.each(Object.entries(forms))('the header of a frame of %s', (_, factsOf) => {
  /** Decodes headers that differ from this one in their times and ids only. */
  function decodeSimilar(header = valid): void {
    for (let i = 0; i < 600; i++) {
      factsOf(header.replaceAll('1763', `${1_800 + i}`).replace('aB3', `${100 + i}`))
    }
  }

  test('is decoded as JSON, whichever headers were decoded before', () => {
    const sequences = fc.array(headers, { minLength: 1, maxLength: 100 })
    const check = (sequence: readonly string[]) => {
      for (const header of sequence) expect(factsOf(header)).toEqual(expectedFacts(header))
    }
    fc.assert(fc.property(sequences, check), { numRuns: 1_000 })
  })

  test.each([
    ['another time', valid.replaceAll('0000,', '0001,')],
    ['another id', valid.replace('aB3_-x', 'Zz9-_0')],
    ['a longer id', valid.replace('aB3_-x', 'aB3_-xy')],
    ['an id that is escaped', valid.replace('aB3_-x', 'aB3\\nx')],
    ['an id that is not ASCII', valid.replace('aB3_-x', 'aB3\x82-x')],
    ['the id of a tag', valid.replace('"t":"v.v"', '"id":"aB3_-x"')],
    ['a member that is repeated', valid.replace('"tags"', '"freshUntil":5,"tags"')],
    ['an id that is repeated', '{"id":"aB3_-x","id":"Zz9-_0","tags":{"t":"v.v"}}'],
    ['a fraction', valid.replace('1763000000000', '176300000000.5')],
    ['times in another order', '{"expiresAt":1763000060000,"freshUntil":1763000000000,"tags":{}}'],
    ['the format of the body', valid.replace('{"fresh', '{"as":"bytes","fresh')],
    ['many tags', JSON.stringify({ id: 'aB3_-x', tags: Object.fromEntries(manyTags()) })],
  ])('with %s is decoded as JSON', (_, header) => {
    decodeSimilar()
    expect(factsOf(header)).toEqual(expectedFacts(header))
    decodeSimilar(header)
    expect(factsOf(header)).toEqual(expectedFacts(header))
  })

  test('with times that are not JSON is damaged, also after a valid one', () => {
    decodeSimilar()
    expect(() => factsOf(valid.replace('1763000000000', '0763000000000'))).toThrow(SyntaxError)
    expect(() => factsOf(valid.replace('1763000000000', '17630000:0000'))).toThrow(SyntaxError)
    expect(() => factsOf(`${valid}}`)).toThrow(SyntaxError)
    expect(() => factsOf(valid.replace('aB3_-x', 'aB3"-x'))).toThrow(SyntaxError)
  })

  test('is not shared with other entries', () => {
    decodeSimilar()
    const [first, second] = [factsOf(valid), factsOf(valid.replaceAll('1763', '1764'))]
    expect(first).not.toEqual(second)
    expect(first?.freshUntil).toBe(1_763_000_000_000)
  })
})

function manyTags(): [string, string][] {
  return Array.from({ length: 200 }, (_, index) => [`tag-${index}`, 'v.v'])
}
