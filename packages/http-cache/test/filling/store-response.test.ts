import { describe, expect, test } from 'vitest'
import { type Context, storeResponse } from '../../src/filling/store-response.ts'
import {
  createFillId,
  decodeRecord,
  type ResponseRecord,
  type VaryRecord,
} from '../../src/storage/record.ts'
import { variantKey } from '../../src/storage/response-store.ts'
import { recordWith } from '../storage/record-with.ts'
import { freshness, key, type Setting, setupFill } from './setup-fill.ts'

const day = 86_400_000
const headers = { 'x-a': '1', 'x-b': '2' }

/** Stores a response that is kept for five seconds. */
async function store(
  { names = [], size = 4, kept = 5_000, ...setting }: StoreSetting = {},
  all = setupFill(setting),
) {
  const { clock, context, scope, target } = all
  const body = Buffer.alloc(size, 'b')
  const record = recordWith({
    ...{ bodyBytes: size, keepUntil: clock.now() + kept, headers: { etag: '"e"' } },
    freshness: setting.freshness ?? freshness,
  })
  const storing = { target, headers, stored: { record, body }, names, tags: ['a', 'b'] }
  const item = await storeResponse(scope, { context: context as unknown as Context, ...storing })
  return { ...all, body, record, item, stored: decodeRecord(item) }
}

interface StoreSetting extends Setting {
  readonly names?: readonly string[]
  readonly size?: number
  readonly kept?: number
  readonly freshness?: ResponseRecord['freshness']
}

describe('a response that does not vary', () => {
  test('is stored until its end, with its tags, and an id', async () => {
    const { body, did, record, stored } = await store()
    expect(stored?.record).toMatchObject({ fill: record.fill })
    expect(stored?.body).toEqual(body)
    expect(did).toEqual([
      ['ttl', 5_000],
      ['tags', 'a', 'b'],
      ['validators', { etag: record.fill }],
    ])
  })

  test('is stored for a millisecond if its end is over', async () => {
    const { done } = await store({ kept: -1 })
    expect(done('ttl')).toEqual([['ttl', 1]])
  })

  test('is stored apart from its body if that is large', async () => {
    const small = await store({ size: 16_384 })
    expect(small.stored?.body).toEqual(small.body)
    const large = await store({ size: 16_385 })
    expect(large.done('part')).toEqual([['part', 'body', large.body]])
    expect(large.stored).toMatchObject({ body: undefined, record: { bodyKey: `${key}/part` } })
  })
})

describe('the first response that varies', () => {
  test('is stored beside a record of the headers that it varies by', async () => {
    const all = await store({ names: ['x-b'] })
    const { cache, body, record, stored, variants } = all
    const vary = stored?.record as VaryRecord
    expect(vary).toEqual({ kind: 'vary', fill: expect.stringMatching(/^.{16}$/), names: ['x-b'] })
    expect(all.did).toEqual([
      ['tags', 'a', 'b'],
      ['ttl', day],
    ])
    const variant = variantKey(key, vary, headers)
    expect(decodeRecord(await cache.get(variant))).toMatchObject({
      record: { fill: record.fill },
      body,
    })
    expect(variants.hasRoom(vary.fill, 'other', 1, all.clock.now())).toBe(false)
    await all.clock.advance(4_999)
    expect(await cache.get(variant)).toBeDefined()
    await all.clock.advance(1)
    expect(await cache.get(variant)).toBeUndefined()
    expect(variants.hasRoom(vary.fill, 'other', 1, all.clock.now())).toBe(true)
  })

  test('has a record that is kept longer than itself, but not for its validation', async () => {
    const { done } = await store({ names: ['x-a'], freshness: { ...freshness, lifetime: 200_000 } })
    expect(done('ttl')).toEqual([['ttl', 200_031_000]])
  })

  test('has a record with the headers of earlier ones', async () => {
    const all = setupFill()
    all.variants.union(key, ['x-b'])
    const { stored } = await store({ names: ['x-a'] }, all)
    expect(stored?.record).toMatchObject({ names: ['x-a', 'x-b'] })
  })
})

describe('another response that varies', () => {
  const vary: VaryRecord = { kind: 'vary', fill: createFillId(), names: ['x-a'] }
  const target = { key: 'variant', vary }

  test('is stored under its own key, and counts until its end', async () => {
    const { clock, done, record, stored, variants } = await store({ target, names: ['x-a'] })
    expect(stored?.record).toMatchObject({ fill: record.fill })
    expect(done('ttl')).toEqual([['ttl', 5_000]])
    await clock.advance(4_999)
    expect(variants.hasRoom(vary.fill, 'other', 1, clock.now())).toBe(false)
    await clock.advance(1)
    expect(variants.hasRoom(vary.fill, 'other', 1, clock.now())).toBe(true)
  })

  test('is not stored if there are as many as the route permits', async () => {
    const all = setupFill({ target, options: { maxVariants: 1 } })
    all.variants.admit(vary.fill, 'other', 1, { now: 0, keepUntil: Infinity })
    const { did, item } = await store({}, all)
    expect(item).toBeUndefined()
    expect(did).toEqual([['skip', { share: false }]])
  })

  test('deletes the record of Vary if it varies by more headers', async () => {
    const all = setupFill({ target })
    await all.cache.set(key, 'record')
    const { cache, did, item } = await store({ names: ['x-a', 'x-b'] }, all)
    expect(item).toBeUndefined()
    expect(did).toEqual([['skip', { share: false }]])
    expect(await cache.get(key)).toBeUndefined()
  })

  test('fails if it cannot delete that record', async () => {
    const all = setupFill({ target })
    const error = new Error('no reply')
    all.cache.delete = () => Promise.reject(error)
    await expect(store({ names: ['x-b'] }, all)).rejects.toBe(error)
  })
})
