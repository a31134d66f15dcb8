import { asIs, Cache, type Codec, compressed, encrypted, json, structured } from '@stowage/core'
import { msgpack } from '@stowage/msgpack'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

const keyOf = (id: string, byte: number) => `${id}:${Buffer.alloc(32, byte).toString('base64')}`
const [old, next] = [keyOf('2025', 1), keyOf('2026', 2)]

const codecs: Readonly<Record<string, Codec>> = {
  json: json(),
  structured: structured(),
  msgpack: msgpack(),
  'asIs bytes': asIs(),
  'asIs text': asIs({ returns: 'text' }),
  'compressed json': compressed(json(), { from: 10 }),
  'compressed structured': compressed(structured(), { from: 10 }),
  'compressed asIs': compressed(asIs(), { from: 10 }),
  'encrypted with the old key': encrypted(json(), { keys: [old] }),
  'encrypted with the new key': encrypted(json(), { keys: [next] }),
  'encrypted, compressed': encrypted(compressed(json(), { from: 10 }), { keys: [old] }),
  'accepting plaintext': encrypted(json(), {
    keys: [old],
    acceptPlaintextUntil: new Date(Date.now() + 3_600_000),
  }),
}
const names = Object.keys(codecs)
const pairs = names.flatMap((first) => names.map((second) => [first, second] as const))

/** Values of every kind that the codec of this name can represent. */
function valuesFor(name: string): unknown[] {
  const common = ['short', 'a long text '.repeat(20), Buffer.from([1, 2, 3]), Buffer.alloc(500, 1)]
  if (name.includes('asIs')) return common
  return [
    ...common,
    42,
    null,
    { list: [1, 'x'.repeat(100)] },
    ...(/struct/.test(name) ? [[1n]] : []),
  ]
}

/** Two caches with these codecs over one store, as of two processes during a deployment. */
function cachesWith(first: Codec, second: Codec): [Cache, Cache] {
  const items = new Map()
  const cacheWith = (codec: Codec) =>
    new Cache(referenceStore({ items, async: true }), { prefix: 'app:', codec })
  return [cacheWith(first), cacheWith(second)]
}

describe('while the codec changes', () => {
  test.each(pairs)('from %s to %s, every call succeeds', async (first, second) => {
    const [before, after] = cachesWith(codecs[first] as Codec, codecs[second] as Codec)
    for (const value of valuesFor(first)) {
      await before.set('k', value)
      await after.get('k')
      await after.has('k')
      await after.getMany(['k', 'missing'])
      await after.pull('k')
      await before.set('k', value)
      await after.replace('k', 'replaced')
      await before.set('k', value)
      await after.update('k', () => 'updated')
      expect(String(await after.get('k'))).toBe('updated')
      await before.set('k', value)
      await after.add('k', 'added')
      await after.touch('k', { ttl: '1h' })
      await after.remember('k', {}, () => 'loaded')
      expect(await after.delete('k')).toBe(true)
    }
  })

  // asIs() reads everything but frames, so it cannot detect the text of another codec.
  test.each(pairs.filter(([, second]) => !second.includes('asIs')))(
    'from %s to %s, a read returns the value or a miss',
    async (first, second) => {
      const [before, after] = cachesWith(codecs[first] as Codec, codecs[second] as Codec)
      for (const value of valuesFor(first)) {
        await before.set('k', value)
        const found = await after.get('k')
        if (found !== undefined) expect(found).toEqual(value)
      }
    },
  )

  test.each([
    ['json', 'structured'],
    ['json', 'msgpack'],
    ['json', 'compressed json'],
    ['json', 'accepting plaintext'],
    ['structured', 'compressed structured'],
    ['encrypted with the old key', 'encrypted, compressed'],
    ['encrypted with the old key', 'accepting plaintext'],
  ])('from %s to %s, no value is lost', async (first, second) => {
    const [before, after] = cachesWith(codecs[first] as Codec, codecs[second] as Codec)
    for (const value of valuesFor(first)) {
      await before.set('k', value)
      expect(await after.get('k')).toEqual(value)
    }
  })
})

describe('a rotation of keys in a rolling deployment', () => {
  const steps = [[old], [old, next], [next, old], [next]] as const

  test('reads every value that either process wrote, in each step', async () => {
    const items = new Map()
    const processWith = (keys: readonly string[]) =>
      new Cache(referenceStore({ items, async: true }), { codec: encrypted(json(), { keys }) })
    for (const [index, keys] of steps.entries()) {
      const previous = steps[Math.max(index - 1, 0)] as readonly string[]
      const processes = [processWith(previous), processWith(keys)]
      for (const [writer, cache] of processes.entries()) await cache.set(`by-${writer}`, index)
      for (const cache of processes) {
        expect(await cache.getMany(['by-0', 'by-1'])).toEqual([index, index])
        expect(await cache.update<number>('count', (n = 0) => n + 1)).toBeGreaterThan(index * 2)
      }
    }
    expect(await processWith([next]).get('count')).toBe(steps.length * 2)
  })

  test('that moves the new key to the front at once has misses, and no errors', async () => {
    const [before, after] = cachesWith(
      encrypted(json(), { keys: [old] }),
      encrypted(json(), { keys: [next, old] }),
    )
    await after.set('k', 1)
    expect(await before.get('k')).toBeUndefined()
    expect(await before.remember('k', {}, () => 2)).toBe(2)
    expect(await after.get('k')).toBe(2)
  })
})
