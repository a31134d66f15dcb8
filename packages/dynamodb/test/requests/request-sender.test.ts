import { CacheError, tracing } from '@stowage/core'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { requestChannel } from '../../src/requests/capacity.ts'
import { RequestSender, type RequestSenderConfig } from '../../src/requests/request-sender.ts'

beforeEach(() => {
  vi.useFakeTimers()
  vi.advanceTimersByTime(5_000)
  vi.spyOn(Math, 'random').mockReturnValue(0)
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

interface Sent {
  readonly action: string
  readonly input: object
  readonly ms: number
}

/** A sender whose requests are answered by a function. */
function setup(
  reply: (sent: Sent, count: number) => unknown,
  changes: Partial<RequestSenderConfig> = {},
) {
  const sent: Sent[] = []
  const calls: string[] = []
  const sender = new RequestSender({
    target: { table: 't', region: 'eu-west-1', endpoint: undefined },
    timeoutMs: 1_000,
    requestTimeoutMs: 300,
    clock: { isKnown: true, itemTime: () => 41, now: () => 42 } as never,
    region: async () => undefined,
    createTransport: () => {
      calls.push('create')
      return {
        host: 'db:1',
        isInstrumented: false,
        send: async (action, input, ms) => {
          sent.push({ action, input, ms })
          return reply({ action, input, ms }, sent.length) as object
        },
        close: async () => void calls.push('close'),
      }
    },
    ...changes,
  })
  const get = (context = {}) =>
    sender.send('GetItem', { TableName: 't', Key: {} }, { operation: 'get', key: 'k', ...context })
  return { sender, sent, calls, get }
}

/** An exception of the server. */
const exception = (name: string, status = 400) =>
  Object.assign(new Error(name), { name, $metadata: { httpStatusCode: status } })
const throttling = () => exception('ThrottlingException')
const internal = () => exception('InternalServerError', 500)
const refused = () => Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
const lost = () => Object.assign(new Error('lost'), { code: 'ECONNRESET' })

/** Answers the first requests with failures, and later ones with a reply. */
const after = (...failures: Error[]) =>
  function answer(_: Sent, count: number) {
    const failure = failures[count - 1]
    if (failure !== undefined) throw failure
    return { Item: {} }
  }

/** A reply, and functions that settle it. */
function deferred() {
  let settle!: { resolve: (output: object) => void; reject: (error: Error) => void }
  const promise = new Promise<object>((resolve, reject) => {
    settle = { resolve, reject }
  })
  return { promise, ...settle }
}

/** Lets timers run until the call settles. */
async function settled<T>(call: Promise<T>): Promise<T | Error> {
  const outcome = call.catch((error: Error) => error)
  await vi.runAllTimersAsync()
  return outcome
}

describe('a request', () => {
  test('is sent with its timeout, over a transport that is created once', async () => {
    const { sent, calls, get } = setup(after())
    expect(await get()).toEqual({ Item: {} })
    await get({ deadline: performance.now() + 200 })
    await get({ deadline: performance.now() - 5 })
    const input = { TableName: 't', Key: {} }
    expect(sent).toEqual([300, 200, 1].map((ms) => ({ action: 'GetItem', input, ms })))
    expect(calls).toEqual(['create'])
  })

  test.each([
    ['was throttled', throttling()],
    ['was not sent', refused()],
    ['may have been carried out', internal()],
    ['got no reply', lost()],
  ])('is repeated if it %s', async (_, failure) => {
    const { sent, get } = setup(after(failure))
    expect(await settled(get())).toEqual({ Item: {} })
    expect(sent).toHaveLength(2)
  })

  test.each([
    [throttling(), 2],
    [refused(), 2],
    [internal(), 1],
    [lost(), 1],
  ])('that must not run twice and fails with %o is sent %d times', async (failure, count) => {
    const { sent, get } = setup(after(failure))
    await settled(get({ idempotent: false }))
    expect(sent).toHaveLength(count)
  })

  test('is not repeated if no time is left for a reply', async () => {
    const { sent, get } = setup(after(throttling()))
    await expect(get({ deadline: performance.now() + 20 })).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
    })
    expect(sent).toHaveLength(1)
  })

  test('adds to the budget of retries when it succeeds', async () => {
    const outcomes = [after(), after(throttling())].map(async (reply) => {
      const { sender, get } = setup(reply)
      const succeeded = vi.spyOn(sender.retries, 'succeeded')
      await settled(get())
      return succeeded.mock.calls
    })
    expect(await Promise.all(outcomes)).toEqual([[[false]], [[true]]])
  })

  test('notes in its context that the server may have carried it out', async () => {
    const contexts = [throttling(), internal()].map(async (failure) => {
      const context = { operation: 'get', outcomeUnknown: false }
      const { sender } = setup(after(failure))
      await settled(sender.send('GetItem', { TableName: 't', Key: {} }, context))
      return context.outcomeUnknown
    })
    expect(await Promise.all(contexts)).toEqual([false, true])
  })

  test('that is invalid fails at once, with the host of its transport', async () => {
    const { sent, get } = setup(after(exception('SerializationException')))
    await expect(get()).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      key: 'k',
      operation: 'get',
      message: 'dynamodb get failed: SerializationException (db:1).',
    })
    expect(sent).toHaveLength(1)
  })

  test.each([
    ['eu-west-1', undefined],
    ['us-east-1', 'us-east-1'],
  ])('for a missing table names the region %s', async (expected, resolved) => {
    const failure = exception('ResourceNotFoundException')
    const { get } = setup(after(failure), { region: async () => resolved })
    await expect(get()).rejects.toThrow(expected)
  })

  test('that shows nothing of the endpoint does not count as a reply', async () => {
    const credentials = Object.assign(new Error('none'), { name: 'CredentialsProviderError' })
    const { sent, get } = setup(after(lost(), credentials, lost()))
    for (let calls = 0; calls < 3; calls++)
      await expect(get({ idempotent: false })).rejects.toThrow(/lost|none/)
    await expect(get()).rejects.toThrow('the endpoint is unreachable')
    expect(sent).toHaveLength(3)
  })

  test('whose condition fails reports the exception itself', async () => {
    const failure = exception('ConditionalCheckFailedException')
    expect(await settled(setup(after(failure)).get())).toBe(failure)
  })

  test('reports the most specific failure of its attempts', async () => {
    const failures = [throttling(), ...Array.from({ length: 200 }, lost)]
    const { get } = setup(after(...failures))
    expect(await settled(get({ deadline: performance.now() + 100 }))).toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      retryable: true,
    })
  })

  test('is not sent while the endpoint is unreachable', async () => {
    const { sent, get } = setup(() => {
      throw lost()
    })
    await settled(get())
    const before = sent.length
    expect(await settled(get())).toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining('the endpoint is unreachable (lost)'),
    })
    expect(sent.length).toBeLessThanOrEqual(before + 1)
  })

  test('that got an error reply shows that the endpoint is reachable', async () => {
    let count = 0
    const { sent, get } = setup(() => {
      throw count++ % 2 === 0 ? lost() : exception('SerializationException')
    })
    for (let calls = 0; calls < 4; calls++) {
      await settled(get())
      await vi.advanceTimersByTimeAsync(1)
    }
    expect(sent).toHaveLength(8)
  })
})

describe('while 128 requests are in flight', () => {
  /** Calls that must not run twice, and functions that settle their requests. */
  function setupBusy() {
    const requests: ReturnType<typeof deferred>[] = []
    const { sent, get } = setup(() => {
      const request = deferred()
      requests.push(request)
      return request.promise
    })
    const call = (context = {}) => get({ idempotent: false, ...context })
    return { sent, requests, call, calls: Array.from({ length: 128 }, () => call()) }
  }

  test('others wait', async () => {
    const { sent, requests, call, calls } = setupBusy()
    calls.push(call(), call())
    for (const count of [128, 129, 130]) {
      await vi.advanceTimersByTimeAsync(0)
      expect(sent).toHaveLength(count)
      requests[count - 128]?.resolve({})
    }
    for (const { resolve } of requests) resolve({})
    expect(await Promise.all(calls)).toHaveLength(130)
  })

  test('others wait although somebody observes requests', async () => {
    const listener = () => {}
    requestChannel.subscribe(listener)
    onTestFinished(() => void requestChannel.unsubscribe(listener))
    const { sent, requests, call, calls } = setupBusy()
    const waiting = call()
    await vi.advanceTimersByTimeAsync(0)
    expect(sent).toHaveLength(128)
    requests[0]?.resolve({})
    await vi.advanceTimersByTimeAsync(0)
    for (const { resolve } of requests) resolve({})
    expect(await Promise.all([...calls, waiting])).toHaveLength(129)
  })

  test('another one gives up while a reply would still be possible', async () => {
    const { requests, call, calls } = setupBusy()
    let failure: unknown
    const waiting = call({ deadline: performance.now() + 50 }).catch((error) => {
      failure = error
    })
    await vi.advanceTimersByTimeAsync(29)
    expect(failure).toBeUndefined()
    await vi.advanceTimersByTimeAsync(1)
    expect(failure).toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    for (const { resolve } of requests) resolve({})
    await Promise.all([...calls, waiting])
  })

  test('another one fails as they do if the endpoint becomes unreachable', async () => {
    const { sent, requests, call, calls } = setupBusy()
    const waiting = call()
    const outcome = expect(waiting).rejects.toThrow('dynamodb get failed: lost')
    const outcomes = Promise.allSettled(calls)
    await vi.advanceTimersByTimeAsync(0)
    for (const { reject } of requests) reject(lost())
    await outcome
    await outcomes
    expect(sent).toHaveLength(128)
  })
})

describe('while somebody observes requests', () => {
  function observed() {
    const events: object[] = []
    const listener = (event: unknown) => events.push(event as object)
    requestChannel.subscribe(listener)
    onTestFinished(() => void requestChannel.unsubscribe(listener))
    return events
  }
  const durationMs = 0

  test('each says what it has consumed', async () => {
    const events = observed()
    const { sender, sent, get } = setup(({ action }) =>
      action === 'GetItem'
        ? { ConsumedCapacity: { CapacityUnits: 0.5 } }
        : {
            ConsumedCapacity: [{ CapacityUnits: 1 }, { CapacityUnits: 2 }, {}],
            UnprocessedItems: { t: [] },
          },
    )
    await get()
    await sender.send('BatchWriteItem', { RequestItems: {} }, { operation: 'setMany' })
    expect(sent[0]?.input).toMatchObject({ TableName: 't', ReturnConsumedCapacity: 'TOTAL' })
    const table = 't'
    expect(events).toEqual([
      {
        ...{ table, operation: 'get', request: 'GetItem', durationMs },
        ...{ readUnits: 0.5, writeUnits: 0, throttled: false },
      },
      {
        ...{ table, operation: 'setMany', request: 'BatchWriteItem', durationMs },
        ...{ readUnits: 0, writeUnits: 3, throttled: true },
      },
    ])
  })

  test('each that fails says why, and whether it was throttled', async () => {
    const events = observed()
    const invalid = exception('SerializationException')
    const failure = throttling()
    const { get } = setup(after(failure, invalid))
    await settled(get())
    expect(events).toMatchObject([
      { readUnits: 0, writeUnits: 0, throttled: true, durationMs, error: failure },
      { readUnits: 0, writeUnits: 0, throttled: false, error: invalid },
    ])
  })
})

test('what comes before the first request is done once, and again after a failure', async () => {
  let count = 0
  const prepare = async () => {
    if (++count === 1) throw new Error('not prepared')
  }
  const { sender } = setup(after(), { prepare })
  await expect(sender.run('get', async () => 1)).rejects.toThrow('not prepared')
  expect(await sender.run('get', async () => 2)).toBe(2)
  expect(await sender.run('get', async () => 3)).toBe(3)
  expect(count).toBe(2)
  expect(await setup(after()).sender.run('get', async () => 4)).toBe(4)
})

test('each attempt is traced with the number of its keys', async () => {
  const events: unknown[] = []
  const listener = (event: unknown) => events.push(event)
  tracing.store.start.subscribe(listener)
  onTestFinished(() => void tracing.store.start.unsubscribe(listener))
  const { get } = setup(after(throttling()))
  expect(await settled(get())).toEqual({ Item: {} })
  await get({ key: undefined })
  await get({ keyCount: 3 })
  const request = { store: 'dynamodb', operation: 'get', command: 'GetItem', server: 't' }
  expect(events).toMatchObject([
    { ...request, keyCount: 1, attempt: 1, isInstrumented: false },
    { ...request, keyCount: 1, attempt: 2 },
    { ...request, keyCount: 0, attempt: 1 },
    { ...request, keyCount: 3, attempt: 1 },
  ])
})

describe('the time by which items expire', () => {
  const context = { operation: 'set', key: 'k' }
  const request = async () => {}
  const clockOf = (learn: (...args: unknown[]) => Promise<void>) => ({ clock: { learn } as never })

  test('is learned within the timeout, a quarter of it from another store', async () => {
    const learn = vi.fn(async () => {})
    const { sender } = setup(after(), clockOf(learn))
    await sender.learnTime(request, context)
    expect(learn).toHaveBeenCalledWith(sender, request, 250)
    const { sender: waiting } = setup(
      after(),
      clockOf(() => new Promise(() => {})),
    )
    const learning = waiting.learnTime(request, context)
    const outcome = expect(learning).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    await vi.advanceTimersByTimeAsync(1_000)
    await outcome
  })

  test('fails the call that needs it, with the cause of the failure', async () => {
    const cause = throttling()
    const wrapped = new CacheError('ERR_CACHE_REJECTED', 'no', {
      ...{ store: 'dynamodb', operation: 'time', cause },
    })
    for (const error of [cause, wrapped]) {
      const { sender } = setup(
        after(),
        clockOf(() => Promise.reject(error)),
      )
      await expect(sender.learnTime(request, context)).rejects.toMatchObject({
        ...{ code: 'ERR_CACHE_REJECTED', operation: 'set', key: 'k', cause },
      })
    }
  })
})

test('the time of the server is known for a minute after a reply', async () => {
  const { sender, get } = setup(after())
  expect(sender.serverTime()).toBeUndefined()
  await get()
  expect(sender.serverTime()).toBe(42)
  vi.advanceTimersByTime(59_999)
  expect(sender.serverTime()).toBe(42)
  vi.advanceTimersByTime(1)
  expect(sender.serverTime()).toBeUndefined()
  expect(sender.itemClock.now()).toBe(41)
  const clock = { isKnown: false, now: () => 42 } as never
  const unknown = setup(after(), { clock })
  await unknown.get()
  expect(unknown.sender.serverTime()).toBeUndefined()
  expect(unknown.sender.isTimeKnown).toBe(false)
})

test('close waits for calls, and closes the transport', async () => {
  const { sender, calls, get } = setup(after())
  await get()
  await sender.close()
  expect(calls).toEqual(['create', 'close'])
  expect(() => sender.assertOpen('get')).toThrow('close() was called')
})
