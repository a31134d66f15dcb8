import { BatchError } from '@stowage/core/driver'
import { describe, expect, test } from 'vitest'
import { NearReads } from '../../src/near/near-reads.ts'
import type { Codec } from '../../src/values/codec.ts'
import { Mark } from '../../src/values/mark.ts'
import { DecodedItem } from '../../src/values/stored-entries.ts'

const codec = { encode: () => '', decode: () => undefined } as Codec
const lease = new Mark('lease', 'token', 0, 1_000).toString()
const primary = { consistency: 'strong', confirmGeneration: false }

interface Setting {
  readonly hasTtl?: boolean
  readonly isAsync?: boolean
  readonly hasBus?: boolean
  readonly hasLag?: boolean
  readonly isServing?: boolean
  readonly error?: unknown
}

/** Reads of a store that contains `a` and a mark, in front of which a near cache records what is kept. */
function setUp(setting: Setting = {}) {
  const { hasTtl = false, isAsync = false, hasBus = false, hasLag = false } = setting
  const { isServing = true, error } = setting
  const calls: unknown[] = []
  const kept: unknown[] = []
  const items: Record<string, unknown> = { a: 'of a', mark: lease }
  const reply = <T>(call: unknown[], result: T) => {
    calls.push(call)
    if (!isAsync && error !== undefined) throw error
    if (!isAsync) return result
    return error === undefined ? Promise.resolve(result) : Promise.reject(error)
  }
  const withTtl = (keys: readonly string[]) =>
    keys.map((key) => (key in items ? { item: items[key], ttl: 70 } : undefined))
  const store = {
    get: (key: string, options: unknown) => reply(['get', key, options], items[key]),
    getMany: (keys: readonly string[], options: unknown) => {
      return reply(
        ['getMany', keys, options],
        keys.map((key) => items[key]),
      )
    },
    getWithTtl: hasTtl
      ? (keys: readonly string[], options: unknown) => {
          return reply(['getWithTtl', keys, options], withTtl(keys))
        }
      : undefined,
    consistencyToken: hasLag ? () => 'token' : undefined,
  }
  const near = {
    hasBus,
    beginRead: (key: string) => (isServing ? { key } : undefined),
    endOfTtl: () => 99,
    endRead: (read: { key: string }, item: DecodedItem | undefined, end: number, ttl: unknown) => {
      kept.push([read.key, item?.payload, item?.size, item?.codec === codec, end, ttl])
    },
  }
  return { reads: new NearReads(store as never, near as never, 'p:', codec), calls, kept }
}

const ofA = (ttl?: number) => ['p:a', 'of a', 4, true, 99, ttl]
const ofNothing = (key: string, ttl?: number) => [`p:${key}`, undefined, undefined, false, 99, ttl]
const payloadOf = (item: unknown) => (item instanceof DecodedItem ? item.payload : item)

describe.each([false, true])('a read, async: %s', (isAsync) => {
  test('keeps what the store returns', async () => {
    const { reads, calls, kept } = setUp({ isAsync })
    const reading = reads.read('a')
    expect(reading instanceof Promise).toBe(isAsync)
    expect(await reading).toBeInstanceOf(DecodedItem)
    expect(payloadOf(await reading)).toBe('of a')
    expect([calls, kept]).toEqual([[['get', 'a', undefined]], [ofA()]])
  })

  test('keeps neither marks nor misses, and returns them', async () => {
    const { reads, kept } = setUp({ isAsync })
    expect([await reads.read('mark'), await reads.read('x')]).toEqual([lease, undefined])
    expect(kept).toEqual([ofNothing('mark'), ofNothing('x')])
  })

  test('keeps nothing if the near cache does not serve', async () => {
    const { reads, calls, kept } = setUp({ isAsync, isServing: false, hasLag: true, hasBus: true })
    expect(await reads.read('a')).toBe('of a')
    expect([calls, kept]).toEqual([[['get', 'a', undefined]], []])
    expect(await reads.readMany(['a'])).toMatchObject([{ value: { payload: 'of a' } }])
    expect([calls[1], kept]).toEqual([['getMany', ['a'], undefined], []])
  })

  test('ends with a failure', async () => {
    const error = new Error('no reply')
    const { reads, kept } = setUp({ isAsync, error })
    await expect((async () => reads.read('a'))()).rejects.toBe(error)
    expect(kept).toEqual([ofNothing('a')])
  })
})

test('reads of a callback are one call, if the store knows the ttls', async () => {
  const { reads, calls, kept } = setUp({ hasTtl: true, isAsync: true })
  const found = await Promise.all(['a', 'x', 'mark'].map((key) => reads.read(key)))
  expect(found.map(payloadOf)).toEqual(['of a', undefined, lease])
  expect(calls).toEqual([['getWithTtl', ['a', 'x', 'mark'], undefined]])
  expect(kept).toEqual([ofA(70), ofNothing('x'), ofNothing('mark', 70)])
})

test('reads of several keys have an outcome each', async () => {
  const { reads, calls, kept } = setUp({ isAsync: true })
  const outcomes = await reads.readMany(['a', 'mark', 'x'])
  expect(outcomes.map(({ status }) => status)).toEqual(Array(3).fill('fulfilled'))
  const values = outcomes.map((outcome) => payloadOf((outcome as { value: unknown }).value))
  expect(values).toEqual(['of a', lease, undefined])
  expect(calls).toEqual([['getMany', ['a', 'mark', 'x'], undefined]])
  expect(kept).toEqual([ofA(), ofNothing('mark'), ofNothing('x')])
})

test('what was read beside a failure is returned, and not kept for longer', async () => {
  const rejected = { status: 'rejected', reason: new Error('no reply') } as const
  const error = new BatchError([rejected, { status: 'fulfilled', value: 'of a' }])
  const { reads, kept } = setUp({ isAsync: true, error })
  const [failed, found] = await reads.readMany(['x', 'a'])
  expect(failed).toStrictEqual(rejected)
  expect(found).toMatchObject({ status: 'fulfilled', value: { payload: 'of a' } })
  expect(kept).toEqual([ofNothing('x'), ofA(0)])
})

test.each([
  [{ hasLag: true, hasBus: true }, primary],
  [{ hasLag: true }, undefined],
  [{ hasBus: true }, undefined],
])('what is kept until it is announced is read from the primary: %j', async (setting, options) => {
  const { reads, calls } = setUp(setting)
  await reads.read('a')
  await reads.readMany(['a'])
  const withTtl = setUp({ ...setting, hasTtl: true, isAsync: true })
  await withTtl.reads.read('a')
  expect([...calls, ...withTtl.calls]).toEqual([
    ['get', 'a', options],
    ['getMany', ['a'], options],
    ['getWithTtl', ['a'], options],
  ])
})
