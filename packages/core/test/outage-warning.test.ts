import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Cache, CacheError, type CacheErrorCode } from '@stowage/core'
import { memory } from '@stowage/memory'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

let now: number
let code: CacheErrorCode | undefined
const warnings: { readonly text: string; readonly options: unknown }[] = []
const minute = 60_000

beforeEach(() => {
  now = 0
  warnings.length = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  vi.spyOn(process, 'emitWarning').mockImplementation((text, options) => {
    warnings.push({ text: String(text), options })
  })
})
afterEach(() => {
  vi.restoreAllMocks()
})

/** A cache over a store of this name, whose reads and writes fail with `code`. */
function cacheOver(name: string): Cache {
  const fail = () => {
    if (code === undefined) return undefined
    throw new CacheError(code, `${name} get failed: connect ECONNREFUSED.`, { store: name })
  }
  const store = Object.assign(memory(), { name })
  const { get, set } = store
  store.get = (...args) => fail() ?? get.apply(store, args)
  store.set = (...args) => fail() ?? set.apply(store, args)
  return new Cache(store)
}

const load = (cache: Cache) => cache.remember('k', { ttl: '1s', lease: false }, () => 'v')

test('an outage that no call rejects with is a warning, once per store', async () => {
  const [first, second] = [cacheOver('first'), cacheOver('second')]
  code = 'ERR_CACHE_UNAVAILABLE'
  for (let call = 0; call < 3; call++) expect(await load(first)).toBe('v')
  await load(second)
  expect(warnings).toMatchObject([
    {
      text: expect.stringMatching(
        /^first get failed: connect ECONNREFUSED \(ERR_CACHE_UNAVAILABLE\)\. .*stowage:error/,
      ),
      options: { type: 'StowageWarning', code: 'STOWAGE_STORE_OUTAGE' },
    },
    { text: expect.stringContaining('second get failed') },
  ])
})

test('the next outage is another warning', async () => {
  const cache = cacheOver('third')
  code = 'ERR_CACHE_TIMEOUT'
  for (now = 0; now < 10 * minute; now += minute / 2) await load(cache)
  expect(warnings).toHaveLength(1)
  now += minute
  await load(cache)
  expect(warnings).toHaveLength(2)
})

test.each(['ERR_CACHE_REJECTED', 'ERR_CACHE_CONFIG'] as const)(
  'a store that refuses each call with %s is a warning as well',
  async (refusal) => {
    code = refusal
    expect(await load(cacheOver(refusal))).toBe('v')
    expect(warnings).toMatchObject([{ text: expect.stringContaining(refusal) }])
  },
)

test('other failures, and those that a subscriber receives, are none', async () => {
  const cache = cacheOver('fourth')
  code = 'ERR_CACHE_LIMIT'
  await load(cache)
  code = 'ERR_CACHE_UNAVAILABLE'
  const errors: unknown[] = []
  const listener = (event: unknown) => void errors.push(event)
  subscribe('stowage:error', listener)
  await load(cache)
  unsubscribe('stowage:error', listener)
  expect(errors).not.toEqual([])
  expect(warnings).toEqual([])
})
