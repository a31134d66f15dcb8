import { CacheError } from '@stowage/core'
import { BatchError } from '@stowage/core/driver'
import { expect, test } from 'vitest'
import { repliesOf } from '../../src/topology/key-groups.ts'

const down = new CacheError('ERR_CACHE_UNAVAILABLE', 'no reply', { store: 'redis' })
const full = new CacheError('ERR_CACHE_REJECTED', 'OOM', { store: 'redis' })
const settled = (value: unknown) => ({ status: 'fulfilled', value }) as const
const failed = (code: string, key: string) => ({
  status: 'rejected',
  reason: expect.objectContaining({ code, key }),
})
const failing = (error: Error) => Promise.reject<string[]>(error)
const itemOf = (reply: readonly string[], index: number) => reply[index]

/** What the call rejects with. */
function errorOf(keys: string[], groups: { keys: string[]; reply: Promise<string[]> }[]) {
  return repliesOf(keys, groups, itemOf).then(
    () => expect.unreachable(),
    (error) => error,
  )
}

test('resolves to the replies, in the order of the groups', async () => {
  const groups = [
    { keys: ['b'], reply: Promise.resolve(['B']) },
    { keys: ['a'], reply: Promise.resolve(['A']) },
  ]
  expect(await repliesOf(['a', 'b'], groups)).toEqual([['B'], ['A']])
})

test('rejects with the failure of the only group, which concerns all keys', async () => {
  expect(await errorOf(['a', 'b'], [{ keys: ['a', 'b'], reply: failing(down) }])).toBe(down)
})

test('rejects with the outcome of each key if one of several groups fails', async () => {
  const error = await errorOf(
    ['a', 'b', 'c'],
    [
      { keys: ['a', 'c'], reply: Promise.resolve(['A', 'C']) },
      { keys: ['b'], reply: failing(down) },
    ],
  )
  expect(error).toBeInstanceOf(BatchError)
  expect(error.outcomes).toEqual([settled('A'), failed('ERR_CACHE_UNAVAILABLE', 'b'), settled('C')])
})

test('keeps the outcomes that a group has, also that of the only one', async () => {
  const outcomes = [settled('A'), { status: 'rejected', reason: full } as const]
  const error = await errorOf(
    ['b', 'a'],
    [{ keys: ['a', 'b'], reply: failing(new BatchError(outcomes)) }],
  )
  expect(error.outcomes).toEqual([failed('ERR_CACHE_REJECTED', 'b'), settled('A')])
})

test('has no results of keys for commands that return none', async () => {
  const groups = [
    { keys: ['a'], reply: Promise.resolve('OK') },
    { keys: ['b'], reply: Promise.reject<string>(down) },
  ]
  const error = await repliesOf(['a', 'b'], groups).catch((reason) => reason)
  expect(error.outcomes[0]).toEqual(settled(undefined))
})
