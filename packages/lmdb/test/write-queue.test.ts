import { CacheError } from '@stowage/core'
import { Lifecycle } from '@stowage/core/driver'
import { expect, test } from 'vitest'
import { BusyError, translate } from '../src/lmdb-errors.ts'
import { WriteQueue } from '../src/writes/write-queue.ts'

/** A queue whose transactions have these outcomes, one after another. All later ones succeed. */
function createQueue(outcomes: ('busy' | 'fails' | 'succeeds')[], timeoutMs = 60_000) {
  const target = {
    transact<T>(work: () => T): T {
      const outcome = outcomes.shift()
      if (outcome === 'busy') throw new BusyError(42)
      const result = work()
      if (outcome === 'fails') throw new Error('The disk is full')
      return result
    },
    isLarge: () => false,
    onFailure: (error: unknown, operation: string) => translate(error, operation),
  }
  return new WriteQueue(target, new Lifecycle('lmdb'), timeoutMs)
}

test('writes wait while another process writes, and are executed once, in their order', async () => {
  const queue = createQueue(['busy', 'busy', 'fails', 'succeeds', 'busy', 'busy'])
  const executed: number[] = []
  const add = (number: number) => queue.add('set', [`key:${number}`], () => executed.push(number))
  const first = [add(1), add(2)]
  expect(queue.flush()).toBe(false)
  const later = add(3)
  expect(queue.has('key:1') && queue.has('key:3')).toBe(true)
  await Promise.all([...first, later])
  // The first transaction failed, so that its writes were executed again: the first one alone, then the others.
  expect(executed).toEqual([1, 2, 3, 1, 2, 3])
  expect(queue.isEmpty).toBe(true)
})

test('a write that waits too long rejects, is not executed, and later ones are', async () => {
  const busy = Array.from({ length: 10_000 }, () => 'busy' as const)
  const queue = createQueue(busy, 20)
  const executed: number[] = []
  const expired = queue.add('set', ['key'], () => executed.push(1))
  await expect(expired).rejects.toMatchObject({
    code: 'ERR_CACHE_TIMEOUT',
    message: expect.stringContaining('process 42 did not end its write'),
  })
  expect(queue.has('key')).toBe(false)
  await queue.idle()
  busy.length = 0
  await queue.add('set', ['key'], () => executed.push(2))
  expect(executed).toEqual([2])
})

test('idle resolves when the last write has been settled', async () => {
  const queue = createQueue(['busy', 'busy', 'busy'])
  let isSettled = false
  const write = queue
    .add('set', ['key'], () => {
      throw new CacheError('ERR_CACHE_LIMIT', 'too large')
    })
    .catch(() => {
      isSettled = true
    })
  await queue.idle()
  await write
  expect(isSettled).toBe(true)
  expect(queue.isEmpty).toBe(true)
})
