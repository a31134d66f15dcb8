import assert from 'node:assert/strict'
import { asIs, type Codec, compressed, encrypted, json, structured } from '@stowage/core'
import type { Entry, EntryFacts } from '@stowage/core/driver'
import { toBytes } from '@stowage/core/driver'
import { msgpack } from '@stowage/msgpack'
import { isFullTier, propertySeed } from '@stowage/test-servers'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

fc.configureGlobal({ seed: propertySeed() })

const share = isFullTier ? 1 : 0.1
const runs = { numRuns: 400 * share }
const damagedRuns = { numRuns: 1_000 * share }
const keyOf = (id: string, byte: number) => `${id}:${Buffer.alloc(32, byte).toString('base64')}`

const tags = fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true })
const factsArbitrary: fc.Arbitrary<EntryFacts | undefined> = fc.option(
  fc.oneof(
    fc.record({ freshUntil: fc.nat(), tags }, { noNullPrototype: true }),
    fc.record({ freshUntil: fc.nat() }, { noNullPrototype: true }),
  ),
  { nil: undefined },
)
const bytes = fc.uint8Array({ maxLength: 200 }).map((value) => Buffer.from(value))
const text = fc.string({ unit: 'grapheme' })
/** Values that begin with the bytes of frames are rare otherwise. */
const framed = fc
  .tuple(fc.constantFrom('\x01', '\x01\x01', '\x01\x02', '\x01\x03', '\x01\x04'), text)
  .map((parts) => parts.join(''))
// Without -0.
const jsonValue = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown)
// Without invalid dates, which assert.deepStrictEqual() of Node 20 compares as different.
const structuredValue = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    ...[
      jsonValue,
      bytes,
      fc.double(),
      fc.bigInt(),
      fc.date({ noInvalidDate: true }),
      fc.constant(undefined),
      text,
    ],
    fc.array(tie('value')),
    fc.array(tie('value')).map((members) => new Set(members)),
    fc.array(fc.tuple(tie('value'), tie('value'))).map((pairs) => new Map(pairs)),
    fc.dictionary(fc.oneof(text, fc.constant('__proto__')), tie('value'), {
      noNullPrototype: true,
    }),
  ),
})).value

/** Each codec, and the values that it returns as they were. */
const codecs: Readonly<Record<string, readonly [Codec, fc.Arbitrary<unknown>]>> = {
  json: [json(), fc.oneof(jsonValue, bytes)],
  'asIs, bytes': [asIs(), fc.oneof(bytes, framed.map(toBytes))],
  'asIs, text': [asIs({ returns: 'text' }), fc.oneof(text, framed)],
  structured: [structured(), structuredValue.filter((value) => value !== undefined)],
  msgpack: [msgpack(), fc.oneof(bytes, text, fc.array(fc.integer()))],
}
const wrappers: Readonly<Record<string, (codec: Codec) => Codec>> = {
  plain: (codec) => codec,
  compressed: (codec) => compressed(codec, { from: 20 }),
  encrypted: (codec) => encrypted(codec, { keys: [keyOf('a', 1)] }),
  both: (codec) => encrypted(compressed(codec, { from: 20 }), { keys: [keyOf('a', 1)] }),
}
const combinations = Object.entries(codecs).flatMap(([name, [codec, values]]) =>
  Object.entries(wrappers).map(
    ([wrapper, wrap]) => [`${name}, ${wrapper}`, wrap(codec), values] as const,
  ),
)

function entryOf(value: unknown, facts: EntryFacts | undefined): Entry {
  return facts === undefined ? { value } : { value, facts }
}

describe.each(combinations)('%s', (_, codec, values) => {
  test('returns values and facts as they were', () => {
    fc.assert(
      fc.property(values, factsArbitrary, fc.string(), (value, facts, key) => {
        const entry = entryOf(value, facts)
        const payload = codec.encode(entry, key)
        // Not expect(), which ignores members named __proto__.
        assert.deepStrictEqual(codec.decode(payload, key), entry)
        assert.deepStrictEqual(codec.decode(toBytes(payload), key), entry)
      }),
      runs,
    )
  })

  test('never returns the first bytes of a mark', () => {
    fc.assert(
      fc.property(values, factsArbitrary, (value, facts) => {
        const payload = toBytes(codec.encode(entryOf(value, facts), 'k'))
        expect(payload[0] === 0x01 && payload[1] === 0x02).toBe(false)
      }),
      runs,
    )
  })

  test('decodes any bytes without an error', () => {
    const payloads = fc.oneof(bytes, framed.map(toBytes))
    fc.assert(
      fc.property(payloads, (payload) => {
        codec.decode(payload, 'k')
        codec.decode(payload.toString(), 'k')
      }),
      damagedRuns,
    )
  })

  test('decodes damaged payloads without an error; with encryption, never to another value', () => {
    const isEncrypted = codec.counters === false
    const damage = fc.record({ at: fc.nat(), xor: fc.integer({ min: 1, max: 255 }), cut: fc.nat() })
    fc.assert(
      fc.property(values, fc.array(damage, { minLength: 1, maxLength: 4 }), (value, changes) => {
        const payload = toBytes(codec.encode({ value }, 'k'))
        const damaged = changes.reduce(applyDamage, payload)
        const decoded = codec.decode(damaged, 'k')
        if (isEncrypted && !damaged.equals(payload)) expect(decoded).toBeUndefined()
      }),
      damagedRuns,
    )
  })
})

test('asIs() has a payload of its own for every value', () => {
  const values = fc.oneof(bytes, framed.map(toBytes))
  // The payload of a value, as a value itself, is the most likely one to collide with it.
  const valueOrPayload = fc.tuple(values, fc.nat(2)).map(([value, times]) => {
    let result = value
    for (let i = 0; i < times; i++) result = toBytes(asIs().encode({ value: result }, 'k'))
    return result
  })
  fc.assert(
    fc.property(valueOrPayload, valueOrPayload, factsArbitrary, (a, b, facts) => {
      const [one, two] = [entryOf(a, facts), { value: b }]
      const payloads = [one, two].map((entry) => toBytes(asIs().encode(entry, 'k')))
      const isSame = a.equals(b) && facts === undefined
      expect(payloads[0]?.equals(payloads[1] as Buffer)).toBe(isSame)
    }),
    { numRuns: 5_000 * share },
  )
})

test('encrypted() decodes no payload of another key name or master key', () => {
  const codec = encrypted(json(), { keys: [keyOf('a', 1)] })
  const other = encrypted(json(), { keys: [keyOf('a', 2), keyOf('b', 1)] })
  fc.assert(
    fc.property(jsonValue, text, text, (value, key, otherKey) => {
      const payload = codec.encode({ value }, key)
      const found = codec.decode(payload, otherKey)
      assert.deepStrictEqual(found, key === otherKey ? { value } : undefined)
      expect(other.decode(payload, key)).toBeUndefined()
    }),
    runs,
  )
})

function applyDamage(
  payload: Buffer,
  { at, xor, cut }: { at: number; xor: number; cut: number },
): Buffer {
  if (payload.length === 0) return Buffer.from([xor])
  if (cut % 4 === 0) return payload.subarray(0, cut % payload.length)
  const copy = Buffer.from(payload)
  const index = at % copy.length
  copy[index] = (copy[index] ?? 0) ^ xor
  return copy
}
