import { Cache } from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import { propertySeed } from '@stowage/test-servers'
import { referenceStore } from '@stowage/testing'
import fc from 'fast-check'
import { expect, test } from 'vitest'

fc.configureGlobal({ seed: propertySeed() })

const prefix = 'app:'
const keys = ['a', 'b']

type Call =
  | { readonly op: 'set' | 'add' | 'setMany'; readonly key: string; readonly isTagged: boolean }
  | { readonly op: 'get' | 'delete' | 'touch'; readonly key: string }
  | { readonly op: 'getMany' | 'deleteMany' | 'clear' }

const key = fc.constantFrom(...keys)
const call: fc.Arbitrary<Call> = fc.oneof(
  fc.record({
    op: fc.constantFrom('set' as const, 'add' as const, 'setMany' as const),
    key,
    isTagged: fc.boolean(),
  }),
  fc.record({
    op: fc.constantFrom('get' as const, 'delete' as const, 'touch' as const),
    key,
  }),
  fc.record({ op: fc.constantFrom('getMany' as const, 'deleteMany' as const, 'clear' as const) }),
)

/** Makes a call. Its value is its number in the sequence. */
function run(cache: Cache, each: Call, value: number): Promise<unknown> {
  switch (each.op) {
    case 'set':
    case 'add':
      return cache[each.op](each.key, value, each.isTagged ? { tags: ['t'] } : {})
    case 'setMany':
      return cache.setMany([[each.key, value]], each.isTagged ? { tags: ['t', 'u'] } : {})
    case 'getMany':
    case 'deleteMany':
      return cache[each.op](keys)
    case 'clear':
      return cache.clear()
    default:
      return cache[each.op](each.key)
  }
}

const stores: Readonly<Record<string, () => ByteStore>> = {
  'synchronous calls': () => referenceStore(),
  'asynchronous calls': () => referenceStore({ async: true }),
}

test.each(Object.entries(stores))(
  'calls of one tick have the results of calls one after another, with %s',
  async (_, createStore) => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 8 }), async (calls) => {
        // A clear lists the keys before it deletes them, and so overlaps with later calls.
        const isClear = ({ op }: Call) => op === 'clear'
        const end = calls.findIndex(isClear)
        const sequence = end < 0 ? calls : calls.slice(0, end + 1)
        const concurrent = new Cache(createStore(), { prefix })
        const sequential = new Cache(createStore(), { prefix })
        const results = await Promise.all(sequence.map((each, i) => run(concurrent, each, i)))
        const expected: unknown[] = []
        for (const [i, each] of sequence.entries()) expected.push(await run(sequential, each, i))
        expect(results).toEqual(expected)
        expect(await concurrent.getMany(keys)).toEqual(await sequential.getMany(keys))
      }),
      { numRuns: 500, seed: 1 },
    )
  },
)

test('a tag that is invalidated after the call invalidates a value whose write has to wait', async () => {
  const cache = new Cache(referenceStore({ async: true }))
  await cache.set('other', 0, { tags: ['t'] })
  await Promise.all([
    cache.set('k', 1, { tags: ['a', 'b', 'c'] }),
    cache.set('k', 2, { tags: ['t'] }),
    cache.invalidateTags('t'),
  ])
  expect(await cache.get('k')).toBeUndefined()
})

test('a write whose tags cannot be read fails alone', async () => {
  const failing = referenceStore({ async: true })
  const get = failing.get.bind(failing)
  let isFailing = true
  failing.get = (name, options) => {
    if (isFailing && name.includes('~tag:')) throw new Error('unreachable')
    return get(name, options)
  }
  const cache = new Cache(failing)
  const outcomes = await Promise.allSettled([
    cache.set('k', 1, { tags: ['t'] }),
    cache.set('k', 2),
    cache.get('k'),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
  isFailing = false
  expect(await cache.get('k')).toBe(2)
})
