import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { requestChannel } from '../../src/requests/capacity.ts'
import { RequestSender, type RequestSenderConfig } from '../../src/requests/request-sender.ts'

beforeEach(() => {
  vi.useFakeTimers()
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
    expect(await settled(get())).toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      key: 'k',
      operation: 'get',
      message: 'dynamodb get failed: SerializationException (db:1).',
    })
    expect(sent).toHaveLength(1)
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

test('128 requests are in flight, and others wait', async () => {
  const replies: (() => void)[] = []
  const { sent, get } = setup(() => new Promise((resolve) => replies.push(() => resolve({}))))
  const calls = Array.from({ length: 130 }, () => get())
  await vi.advanceTimersByTimeAsync(0)
  expect(sent).toHaveLength(128)
  replies[0]?.()
  await vi.advanceTimersByTimeAsync(0)
  expect(sent).toHaveLength(129)
  replies[1]?.()
  await vi.advanceTimersByTimeAsync(0)
  for (const reply of replies) reply()
  expect(await Promise.all(calls)).toHaveLength(130)
})

describe('while somebody observes requests', () => {
  function observed() {
    const events: object[] = []
    const listener = (event: unknown) => events.push(event as object)
    requestChannel.subscribe(listener)
    onTestFinished(() => void requestChannel.unsubscribe(listener))
    return events
  }
  const durationMs = expect.any(Number)

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
      { readUnits: 0, writeUnits: 0, throttled: true, error: failure },
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
