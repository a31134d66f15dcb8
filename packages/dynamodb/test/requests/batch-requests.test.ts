import { CacheError } from '@stowage/core'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { BatchRequests } from '../../src/requests/batch-requests.ts'
import type { RequestContext, RequestSender } from '../../src/requests/request-sender.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

// biome-ignore lint/suspicious/noExplicitAny: outputs and inputs of several actions
type Any = any
type Reply = (input: Any, context: RequestContext, action: string) => Any

/** More than any test needs, so that a batch that never ends fails. */
const maxWaits = 20

/** Batches whose requests are answered by a function. `retries` says whether another attempt may be made. */
function setup(reply: Reply, { mayRetry = true } = {}) {
  const requests: { action: string; table: Any; context: RequestContext }[] = []
  const waits: (number | 'rest')[] = []
  const sender = {
    target: { table: 't' },
    timeoutMs: 1_000,
    retries: {
      wait: async (failures: number) => waits.push(failures) <= maxWaits && mayRetry,
      waitForRest: async () => waits.push('rest') <= maxWaits && mayRetry,
    },
    send: async (action: string, input: Any, context: RequestContext) => {
      requests.push({ action, table: input.RequestItems.t, context })
      return reply(input.RequestItems.t, context, action)
    },
  }
  const batches = new BatchRequests(sender as unknown as RequestSender, 'k')
  return { batches, requests, waits }
}

const keysTo = (count: number) => Array.from({ length: count }, (_, index) => `k${index}`)
const itemOf = (key: string) => ({ k: { S: key } })
const put = (key: string) => ({ key, request: { PutRequest: { Item: itemOf(key) } } })
const remove = (key: string) => ({ key, request: { DeleteRequest: { Key: itemOf(key) } } })
const keyIn = ({ k }: { k: { S: string } }) => k.S
const found: Reply = ({ Keys }) => ({ Responses: { t: Keys } })
const weak = { operation: 'getMany', isStrong: () => false }

describe('reads of a batch', () => {
  test('ask for each key once, and up to 100 in a request', async () => {
    const { batches, requests } = setup(found)
    vi.advanceTimersByTime(5)
    const { results, errors } = await batches.get([...keysTo(101), 'k0'], weak)
    expect(requests.map(({ table }) => table.Keys.length)).toEqual([100, 1])
    expect([...results.keys()]).toEqual(keysTo(101))
    expect(results.get('k3')).toEqual(itemOf('k3'))
    expect(errors.size).toBe(0)
    expect(requests[0]).toMatchObject({
      action: 'BatchGetItem',
      context: { operation: 'getMany', keyCount: 100, deadline: 1_005 },
    })
  })

  test('that must be strong have requests of their own', async () => {
    const { batches, requests } = setup(found)
    const projection = { ProjectionExpression: 'k' }
    await batches.get(['a', 'b', 'c'], { ...weak, isStrong: (key) => key === 'b', projection })
    expect(requests.map(({ table }) => table)).toEqual([
      { Keys: [itemOf('b')], ConsistentRead: true, ...projection },
      { Keys: ['a', 'c'].map(itemOf), ConsistentRead: false, ...projection },
    ])
  })

  test('of no keys send no request', async () => {
    const { batches, requests } = setup(found)
    expect((await batches.get([], weak)).results.size).toBe(0)
    expect(requests).toEqual([])
  })

  test('of keys that do not exist find nothing', async () => {
    const { batches } = setup(() => ({ Responses: {} }))
    const { results, errors } = await batches.get(['a'], weak)
    expect([results.size, errors.size]).toEqual([0, 0])
  })

  test('ask again for what was not processed', async () => {
    const { batches, requests, waits } = setup(({ Keys: [first, ...rest] }) => ({
      Responses: { t: [first] },
      UnprocessedKeys: { t: { Keys: rest } },
    }))
    const { results } = await batches.get(['a', 'b', 'c'], weak)
    expect(requests.map(({ table }) => table.Keys.map(keyIn).join(''))).toEqual(['abc', 'bc', 'c'])
    expect(requests.map(({ context }) => context.keyCount)).toEqual([3, 2, 1])
    expect([...results.keys()]).toEqual(['a', 'b', 'c'])
    expect(waits).toEqual(['rest', 'rest'])
  })
})

describe('writes of a batch', () => {
  const nothing: Reply = () => ({})

  test('are sent 25 in a request', async () => {
    const { batches, requests } = setup(nothing)
    const { errors } = await batches.write([...keysTo(25).map(put), remove('x')], 'setMany')
    expect(errors.size).toBe(0)
    expect(requests.map(({ table }) => table.length)).toEqual([25, 1])
    expect(requests[1]).toMatchObject({ action: 'BatchWriteItem', table: [remove('x').request] })
  })

  test('are sent again if they were not processed, and wait longer without progress', async () => {
    const rests = [
      [put('a'), remove('b')],
      [put('a'), remove('b')],
      [remove('b')],
      [remove('b')],
      [],
    ].map((writes) => writes.map(({ request }) => request))
    const { batches, requests, waits } = setup(() => ({ UnprocessedItems: { t: rests.shift() } }))
    const { errors } = await batches.write([put('a'), remove('b')], 'setMany')
    expect(errors.size).toBe(0)
    expect(requests.map(({ table }) => table.length)).toEqual([2, 2, 2, 1, 1])
    expect(requests[4]?.table).toEqual([remove('b').request])
    expect(waits).toEqual([1, 2, 'rest', 1])
  })

  test('fail if they were not processed and no retry is left', async () => {
    const { batches, requests } = setup((table) => ({ UnprocessedItems: { t: table.slice(1) } }), {
      mayRetry: false,
    })
    const { errors } = await batches.write([put('a'), put('b')], 'setMany')
    expect(requests).toHaveLength(1)
    expect([...errors.keys()]).toEqual(['b'])
    expect(errors.get('b')).toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      retryable: true,
      operation: 'setMany',
      message: expect.stringContaining(
        '1 items of a batch were still unprocessed at the deadline (1000 ms)',
      ),
    })
  })

  test('fail if none was processed and no retry is left', async () => {
    const reply: Reply = (table) => ({ UnprocessedItems: { t: table } })
    const { batches, requests } = setup(reply, { mayRetry: false })
    const { errors } = await batches.write([put('a'), put('b')], 'setMany')
    expect(requests).toHaveLength(1)
    expect([...errors.keys()]).toEqual(['a', 'b'])
  })

  const failure = (retryable: boolean) =>
    new CacheError('ERR_CACHE_REJECTED', 'no', {
      store: 'dynamodb',
      operation: 'setMany',
      retryable,
    })

  test('fail with the error of their request, and others are still sent', async () => {
    const error = failure(true)
    const { batches, requests } = setup((table) => {
      if (keyIn(table[0].PutRequest.Item) === 'k0') throw error
      return {}
    })
    const { errors } = await batches.write(keysTo(250).map(put), 'setMany')
    expect(requests).toHaveLength(10)
    expect([...errors.keys()]).toEqual(keysTo(25))
    expect(new Set(errors.values())).toEqual(new Set([error]))
  })

  test('are not sent any more after an error that concerns all', async () => {
    const error = failure(false)
    const { batches, requests } = setup(() => {
      throw error
    })
    const { errors, fatal } = await batches.write(keysTo(250).map(put), 'setMany')
    expect(requests).toHaveLength(8)
    expect([...errors.keys()].sort()).toEqual(keysTo(250).sort())
    expect(fatal).toBe(error)
  })

  test('have at most eight requests in flight', async () => {
    const replies: (() => void)[] = []
    const { batches, requests } = setup(
      () => new Promise((resolve) => replies.push(() => resolve({}))),
    )
    const writing = batches.write(keysTo(250).map(put), 'setMany')
    await vi.advanceTimersByTimeAsync(0)
    expect(requests).toHaveLength(8)
    replies.shift()?.()
    await vi.advanceTimersByTimeAsync(0)
    expect(requests).toHaveLength(9)
    while (replies.length > 0) {
      replies.shift()?.()
      await vi.advanceTimersByTimeAsync(0)
    }
    expect((await writing).errors.size).toBe(0)
    expect(requests).toHaveLength(10)
  })

  test.each([
    [959, 'no', undefined],
    [960, 'unprocessed', 'no'],
  ])('that fail %d ms after the rest was not processed say: %s', async (ms, message, cause) => {
    let isFirst = true
    const { batches } = setup(async (table) => {
      if (isFirst) {
        isFirst = false
        return { UnprocessedItems: { t: table.slice(1) } }
      }
      vi.advanceTimersByTime(ms)
      throw failure(true)
    })
    const { errors } = await batches.write([put('a'), put('b')], 'setMany')
    expect(errors.get('b')?.message).toContain(message)
    expect((errors.get('b')?.cause as Error | undefined)?.message).toBe(cause)
  })

  test('that fail at the deadline say why if all had been sent once only', async () => {
    const { batches } = setup(() => {
      vi.advanceTimersByTime(1_000)
      throw failure(true)
    })
    const { errors } = await batches.write([put('a')], 'setMany')
    expect(errors.get('a')?.message).toBe('no')
  })
})
