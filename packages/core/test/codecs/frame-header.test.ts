import { decodeFrame } from '@stowage/core/driver'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const factsOf = (header: string) => decodeFrame(`\x01\x01${header}\x00"value"`)?.facts

const valid = '{"freshUntil":1763000000000,"expiresAt":1763000060000,"tags":{"t":"v.v"}}'

/** Decodes headers that differ from this one in their times only. */
function decodeSimilar(header = valid): void {
  for (let i = 0; i < 100; i++) factsOf(header.replaceAll('1763', `${1_800 + i}`))
}

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
const extra = fc.constantFrom({}, { etag: '"1"' }, { as: 'bytes' }, { freshUntil: 7 })
const headers = fc
  .record({ freshUntil: times, expiresAt: times, tags, extra })
  .map(({ extra, ...header }) => JSON.stringify({ ...header, ...extra }))

describe('the header of a frame', () => {
  test('is decoded as JSON, whichever headers were decoded before', () => {
    const sequences = fc.array(headers, { minLength: 1, maxLength: 100 })
    const check = (sequence: readonly string[]) => {
      for (const header of sequence) expect(factsOf(header)).toEqual(expectedFacts(header))
    }
    fc.assert(fc.property(sequences, check), { numRuns: 1_000 })
  })

  test.each([
    ['another time', '{"freshUntil":1763000000001,"expiresAt":1763000060001,"tags":{"t":"v.v"}}'],
    ['a repeated member', '{"freshUntil":1763000000001,"expiresAt":1763000060001,"freshUntil":5}'],
    ['a fraction', '{"freshUntil":176300000000.5,"expiresAt":1763000060000,"tags":{"t":"v.v"}}'],
    ['times in another order', '{"expiresAt":1763000060000,"freshUntil":1763000000000,"tags":{}}'],
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
  })
})
