import { gunzipSync } from 'node:zlib'
import { Cache, type CacheStore } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import { CacheDeadlineError } from '../../src/storage/deadlines.ts'
import {
  createFillId,
  encodeRecord,
  type ResponseRecord,
  type StoredItem,
  type VaryRecord,
} from '../../src/storage/record.ts'
import {
  type FoundResponse,
  type Hint,
  ResponseStore,
  variantKey,
  type Wanted,
} from '../../src/storage/response-store.ts'
import { ShortKeyMap } from '../../src/storage/short-key-map.ts'
import { recordWith } from './record-with.ts'

const plain: Wanted = { body: true, encoding: 'identity' }
const gzip: Wanted = { body: true, encoding: 'gzip' }
const body = Buffer.from('body')
const asText = { accept: 'text' }
const encodable = recordWith({ isEncodable: true })
const apart = recordWith({ bodyKey: 'k/part' })
const vary: VaryRecord = { kind: 'vary', fill: createFillId(), names: ['accept'] }
const variant = variantKey('k', vary, asText)
const encodedKey = (record: ResponseRecord) => `http:encoded:${record.fill}:gzip`

/** What is stored of a record. */
function itemOf(record: ResponseRecord | VaryRecord): Buffer {
  const isInline = record.kind === 'response' && record.bodyKey === undefined
  return encodeRecord(record, isInline ? body : undefined)
}

const storedOf = (record: ResponseRecord): StoredItem<ResponseRecord> => ({
  record,
  body: record.bodyKey === undefined ? body : undefined,
})

/** Matches a stored response. */
const storedAs = ({ fill }: ResponseRecord) => ({ record: { fill }, body })

/** Responses in the memory of this process, whose reads return no promise. */
async function setupLocal(items: Record<string, Buffer> = {}) {
  const clock = new ManualClock()
  const backend = memory({ clock })
  const cache = new Cache(backend, { clock })
  const put = (key: string, item: Buffer) => cache.set(key, item, { ttl: '1h' })
  for (const [key, item] of Object.entries(items)) await put(key, item)
  const hints = new ShortKeyMap<Hint>(100)
  const ttlOf = async (key: string) => {
    const [item] = (await backend.getWithTtl?.([key])) ?? []
    return item?.ttl
  }
  return { clock, backend, cache, put, hints, ttlOf, store: new ResponseStore(cache, 1_000, hints) }
}

/** Responses on another computer. */
async function setup(items: Record<string, Buffer> = {}) {
  const { backend, clock, put, ttlOf } = await setupLocal(items)
  const reads: string[] = []
  const replies: (() => void)[] = []
  const state = { isFailing: (_key: string) => false }
  const remote = wrapStore(backend, async (operation, call, [key]) => {
    if (operation !== 'get') return call() as never
    reads.push(key as string)
    await new Promise<void>((resolve) => replies.push(resolve))
    if (state.isFailing(key as string)) throw new Error('no reply')
    return call() as never
  })
  const cache = new Cache(remote as CacheStore, { clock })
  const hints = new ShortKeyMap<Hint>(100)
  const store = new ResponseStore(cache, 1_000, hints)
  /** Returns the result of a call, and the keys that were read in each turn. */
  async function inTurns<T>(call: () => T): Promise<{ result: Awaited<T>; turns: string[][] }> {
    let isSettled = false
    const turns: string[][] = []
    const result = (async () => await call())()
    const end = () => {
      isSettled = true
    }
    result.then(end, end)
    while (!isSettled || replies.length > 0) {
      // The call has done then what it does without a reply.
      await new Promise((resolve) => setImmediate(resolve))
      if (reads.length > 0) turns.push(reads.splice(0))
      for (const reply of replies.splice(0)) reply()
    }
    return { result: await result, turns }
  }
  const find = (key: string, wanted = plain, headers = asText) =>
    inTurns(() => store.find(key, headers, wanted))
  return { cache, clock, find, hints, inTurns, put, state, store, ttlOf }
}

describe('a lookup', () => {
  test('finds a response, or nothing', async () => {
    const record = recordWith()
    const { find } = await setup({ k: itemOf(record) })
    const { result, turns } = await find('k')
    expect(result).toMatchObject({ key: 'k', vary: undefined, stored: storedAs(record) })
    expect(turns).toEqual([['k']])
    const missing = await find('none')
    expect(missing.result).toEqual({
      ...{ key: 'none', vary: undefined, stored: undefined, parts: new Map() },
    })
  })

  test('reads a variant after its record of Vary, and together with it from then on', async () => {
    const record = recordWith()
    const { find, hints } = await setup({ k: itemOf(vary), [variant]: itemOf(record) })
    const found = { key: variant, vary, stored: storedAs(record) }
    const first = await find('k')
    expect(first.result).toMatchObject(found)
    expect(first.turns).toEqual([['k'], [variant]])
    expect(hints.get('k')).toEqual({ vary })
    const second = await find('k')
    expect(second.result).toMatchObject(found)
    expect(second.turns).toEqual([['k', variant]])
    const other = await find('k', plain, { accept: 'image' })
    expect(other.result).toMatchObject({ vary, stored: undefined })
    expect(other.result.key).toBe(variantKey('k', vary, { accept: 'image' }))
  })

  test('finds nothing below a record of Vary without the variant', async () => {
    const { find } = await setup({ k: itemOf(vary), [variant]: itemOf(vary) })
    const { result } = await find('k')
    expect(result).toMatchObject({ key: variant, vary, stored: undefined })
  })

  test('follows a newer record of Vary', async () => {
    const newer = { ...vary, fill: createFillId() }
    const key = variantKey('k', newer, asText)
    const record = recordWith()
    const { find, put } = await setup({ k: itemOf(vary), [variant]: itemOf(recordWith()) })
    await find('k')
    await put('k', itemOf(newer))
    await put(key, itemOf(record))
    const { result, turns } = await find('k')
    expect(result).toMatchObject({ key, vary: newer, stored: storedAs(record) })
    expect(turns).toEqual([['k', variant], [key]])
  })

  test('finds a response that has no variants any more', async () => {
    const record = recordWith()
    const { find, put } = await setup({ k: itemOf(vary), [variant]: itemOf(recordWith()) })
    await find('k')
    await put('k', itemOf(record))
    const { result } = await find('k')
    expect(result).toMatchObject({ key: 'k', vary: undefined, stored: storedAs(record) })
  })

  test('reads the body that it wants together with the record from the second time on', async () => {
    const { find, inTurns, store } = await setup({ k: itemOf(apart), 'k/part': body })
    expect((await find('k')).turns).toEqual([['k']])
    const { result, turns } = await find('k')
    expect(turns).toEqual([['k', 'k/part']])
    const read = await inTurns(() => store.bodyOf(storedOf(apart), 'identity', result.parts))
    expect(read).toEqual({ result: body, turns: [] })
    expect((await find('k', { ...plain, body: false })).turns).toEqual([['k']])
  })

  test('reads the encoded body of a variant together with it', async () => {
    const items = { k: itemOf(vary), [variant]: itemOf(encodable), [encodedKey(encodable)]: body }
    const { find, inTurns, store } = await setup(items)
    expect((await find('k', gzip)).turns).toEqual([['k'], [variant]])
    const { result, turns } = await find('k', gzip)
    expect(turns).toEqual([['k', variant, encodedKey(encodable)]])
    const read = await inTurns(() => store.bodyOf(storedOf(encodable), 'gzip', result.parts))
    expect(read).toEqual({ result: body, turns: [] })
    expect((await find('k')).turns).toEqual([['k', variant]])
  })

  test('reads the parts of a variant that is found by a record that is new to it', async () => {
    const { find, hints } = await setup({ k: itemOf(vary), [variant]: itemOf(encodable) })
    hints.set(variant, { fill: encodable.fill })
    const { result, turns } = await find('k', gzip)
    expect(turns).toEqual([['k'], [variant, encodedKey(encodable)]])
    expect([...result.parts.keys()]).toEqual([encodedKey(encodable)])
  })

  test('reads the parts of the response that was found last', async () => {
    const newer = recordWith({ isEncodable: true })
    const { find, hints, put } = await setup({ k: itemOf(encodable) })
    await find('k', gzip)
    const hint = hints.get('k')
    expect((await find('k', gzip)).turns).toEqual([['k', encodedKey(encodable)]])
    expect(hints.get('k')).toBe(hint)
    await put('k', itemOf(newer))
    expect((await find('k', gzip)).turns).toEqual([['k', encodedKey(encodable)]])
    expect((await find('k', gzip)).turns).toEqual([['k', encodedKey(newer)]])
    await put('k', itemOf(recordWith()))
    await find('k', gzip)
    expect((await find('k', gzip)).turns).toEqual([['k']])
  })

  test('reads the parts of a variant that was found last', async () => {
    const newer = recordWith({ isEncodable: true })
    const { find, put } = await setup({ k: itemOf(vary), [variant]: itemOf(encodable) })
    await find('k', gzip)
    await put(variant, itemOf(newer))
    expect((await find('k', gzip)).turns).toEqual([['k', variant, encodedKey(encodable)]])
    expect((await find('k', gzip)).turns).toEqual([['k', variant, encodedKey(newer)]])
  })

  test('does not read a body ahead whose key is not below its own', async () => {
    const elsewhere = recordWith({ bodyKey: 'part' })
    const { find, hints } = await setup({ k: itemOf(elsewhere), part: body })
    await find('k')
    expect(hints.get('k')).toEqual({ fill: elsewhere.fill, bodySuffix: undefined })
    expect((await find('k')).turns).toEqual([['k']])
  })

  test('finds nothing once the response is deleted', async () => {
    const { cache, find } = await setup({ k: itemOf(encodable) })
    await find('k')
    await cache.delete('k')
    expect((await find('k')).result).toMatchObject({ key: 'k', vary: undefined, stored: undefined })
  })

  test('reads no parts of a key that was forgotten', async () => {
    const { find, store } = await setup({ k: itemOf(encodable) })
    await find('k', gzip)
    store.forget('k')
    expect((await find('k', gzip)).turns).toEqual([['k']])
  })

  test('fails with the record, and not with a part that may not be needed', async () => {
    const { find, inTurns, state, store } = await setup({ k: itemOf(apart), 'k/part': body })
    await find('k')
    state.isFailing = (key) => key === 'k/part'
    const { result } = await find('k')
    expect(result.stored?.record).toEqual(apart)
    const lost = await inTurns(() => store.bodyOf(storedOf(apart), 'identity', result.parts))
    expect(lost.result).toBeUndefined()
    state.isFailing = (key) => key === 'k'
    await expect(find('k')).rejects.toThrow('no reply')
  })

  test('fails after its timeout', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      const { store } = await setup()
      const finding = expect(store.find('k', {}, plain)).rejects.toThrow(CacheDeadlineError)
      await vi.advanceTimersByTimeAsync(1_125)
      await finding
    } finally {
      vi.useRealTimers()
    }
  })

  test('fails with a promise for a key that the cache refuses', async () => {
    const { store } = await setupLocal()
    await expect(store.find('', {}, plain)).rejects.toThrow('must be a non-empty string')
  })
})

describe('a lookup in the memory of this process', () => {
  test('returns no promise, and decodes what it has read once', async () => {
    const record = recordWith()
    const { store, hints } = await setupLocal({
      ...{ k: itemOf(record), v: itemOf(vary), [variantKey('v', vary, asText)]: itemOf(record) },
    })
    const find = (key: string) => store.find(key, asText, plain) as FoundResponse
    expect(find('k')).toMatchObject({ key: 'k', vary: undefined, stored: storedAs(record) })
    expect(find('k').stored).toBe(find('k').stored)
    expect(find('v')).toMatchObject({
      ...{ key: variantKey('v', vary, asText), vary, stored: storedAs(record) },
    })
    expect(find('none')).toMatchObject({ key: 'none', stored: undefined })
    expect([hints.get('k'), hints.get('v')]).toEqual([undefined, undefined])
  })

  test.each([null, 7, { a: 1 }])('finds nothing below a key with %o', async (value) => {
    const { cache, store } = await setupLocal()
    await cache.set('k', value)
    expect(store.find('k', {}, plain)).toMatchObject({ stored: undefined })
    expect(store.find('k', {}, plain)).toMatchObject({ stored: undefined })
  })
})

describe('a body', () => {
  test('is that of the item, or is read', async () => {
    const { inTurns, store } = await setup({ 'k/part': body })
    expect(store.bodyOf(storedOf(recordWith()), 'identity')).toBe(body)
    const read = await inTurns(() => store.bodyOf(storedOf(apart), 'identity'))
    expect(read).toEqual({ result: body, turns: [['k/part']] })
  })

  test('is lost if it is missing, not bytes, or has another size', async () => {
    const { cache, inTurns, put, store } = await setup()
    const read = async () => {
      const { result } = await inTurns(() => store.bodyOf(storedOf(apart), 'identity'))
      return result
    }
    expect(await read()).toBeUndefined()
    await put('k/part', Buffer.from('bodies'))
    expect(await read()).toBeUndefined()
    await cache.set('k/part', 'body')
    expect(await read()).toBeUndefined()
    const none = { record: recordWith(), body: undefined }
    expect(await store.bodyOf(none, 'identity')).toBeUndefined()
  })

  test('is encoded once, and stored as long as its response', async () => {
    const { clock, inTurns, store, ttlOf } = await setup()
    const record = recordWith({ isEncodable: true, keepUntil: clock.now() + 5_000 })
    const encode = () => inTurns(() => store.bodyOf(storedOf(record), 'gzip'))
    const { result } = await encode()
    expect(gunzipSync(result as Buffer)).toEqual(body)
    expect(await ttlOf(encodedKey(record))).toBe(5_000)
    expect(await encode()).toEqual({ result, turns: [[encodedKey(record)]] })
  })

  test('that has ended is stored for a millisecond, for the clients that wait for it', async () => {
    const { inTurns, store, ttlOf } = await setup()
    const record = recordWith({ isEncodable: true, keepUntil: 0 })
    await inTurns(() => store.bodyOf(storedOf(record), 'gzip'))
    expect(await ttlOf(encodedKey(record))).toBe(1)
  })

  test('is encoded from one that is stored apart, or is lost with it', async () => {
    const { inTurns, put, store } = await setup()
    const encode = (parts?: FoundResponse['parts']) =>
      inTurns(() => store.bodyOf(storedOf(apart), 'gzip', parts))
    expect((await encode()).result).toBeUndefined()
    const parts = new Map([['k/part', Promise.resolve(body)]])
    const { result, turns } = await encode(parts)
    expect(gunzipSync(result as Buffer)).toEqual(body)
    expect(turns.flat()).not.toContain('k/part')
    await put('k/part', body)
    const other = { record: { ...apart, fill: createFillId() }, body: undefined }
    const encoded = await inTurns(() => store.bodyOf(other, 'gzip'))
    expect(gunzipSync(encoded.result as Buffer)).toEqual(body)
  })

  test('is returned without a promise by the memory of this process', async () => {
    const { store } = await setupLocal({ [encodedKey(encodable)]: body })
    expect(store.bodyOf(storedOf(encodable), 'gzip')).toEqual(body)
  })
})

test('the key of a variant has the id of its record, and the values of the headers', () => {
  const record = { fill: 'f', names: ['accept', 'x-a', 'x-b'] }
  const headers = { accept: 'a/b, c', 'x-a': ['1', '2'], other: 'no' }
  expect(variantKey('k', record, headers)).toBe('k|f|a%2Fb%2Cc,1%2C2,%00')
})
