import { describe, expect, test } from 'vitest'
import { Conditions } from '../../src/items/conditions.ts'
import { Counters } from '../../src/items/counters.ts'
import { ItemMapper } from '../../src/items/item-mapper.ts'
import { ItemRequests } from '../../src/items/item-requests.ts'
import { TtlAttribute } from '../../src/items/ttl-attribute.ts'
import type { RequestContext, RequestSender } from '../../src/requests/request-sender.ts'

// biome-ignore lint/suspicious/noExplicitAny: inputs and outputs of several actions
type Any = any
type Sent = [action: string, input: Any, context: RequestContext]

/** Requests that are answered by a function. */
function setup(reply: (...sent: Sent) => Any = () => ({})) {
  const sent: Sent[] = []
  const sender = {
    target: { table: 't' },
    send: async (...request: Sent) => {
      sent.push(request)
      return reply(...request)
    },
  }
  const names = { key: 'k', value: 'v', ttl: 'x' }
  const ttl = new TtlAttribute({ now: () => 10_250 }, names)
  const conditions = new Conditions(names)
  const mapper = new ItemMapper(names, ttl)
  const items = new ItemRequests(sender as unknown as RequestSender, 'k')
  return { sent, items, counters: new Counters(items, mapper, ttl, conditions) }
}

/** The exception for a condition that failed, with the attempts of the client. */
function conditionFailure(attempts?: number): Error {
  const failure = new Error('The conditional request failed')
  const $metadata = { attempts }
  return Object.assign(failure, { name: 'ConditionalCheckFailedException', $metadata })
}

const fail = (error: Error) => () => {
  throw error
}
const lost = new Error('lost')
const key = { k: { S: 'a' } }
const located = { TableName: 't', Key: key }
const condition = {
  ConditionExpression: '#k = :k',
  ExpressionAttributeNames: { '#k': 'k' },
  ExpressionAttributeValues: { ':k': { S: 'a' } },
}

describe('an item', () => {
  test('is read with the consistency of the call', async () => {
    const { items, sent } = setup(() => ({ Item: key }))
    expect(await items.get('get', 'a', true)).toEqual(key)
    await items.get('get', 'a', false)
    const context = { operation: 'get', key: 'a' }
    expect(sent).toEqual([
      ['GetItem', { ...located, ConsistentRead: true }, context],
      ['GetItem', { ...located, ConsistentRead: false }, context],
    ])
  })

  test('is put, and the replaced one returned if that is wanted', async () => {
    const { items, sent } = setup(() => ({ Attributes: { v: { S: 'old' } } }))
    await items.put('set', 'a', key)
    expect(await items.getAndPut('getAndSet', 'a', key)).toEqual({ v: { S: 'old' } })
    const input = { TableName: 't', Item: key }
    expect(sent).toEqual([
      ['PutItem', input, { operation: 'set', key: 'a' }],
      ['PutItem', { ...input, ReturnValues: 'ALL_OLD' }, { operation: 'getAndSet', key: 'a' }],
    ])
  })

  test('is deleted once if the condition holds', async () => {
    const { items, sent } = setup(() => ({ Attributes: key }))
    expect(await items.deleteIf('delete', 'a', condition)).toBe(true)
    expect(await items.getAndDeleteIf('getAndDelete', 'a', condition)).toEqual(key)
    expect(await setup().items.getAndDeleteIf('getAndDelete', 'a', condition)).toEqual({})
    const input = { ...located, ...condition }
    const context = { key: 'a', idempotent: false }
    expect(sent).toEqual([
      ['DeleteItem', input, { ...context, operation: 'delete' }],
      [
        'DeleteItem',
        { ...input, ReturnValues: 'ALL_OLD' },
        { ...context, operation: 'getAndDelete' },
      ],
    ])
  })

  test('is updated with the values of the condition and of the expression', async () => {
    const { items, sent } = setup()
    const context = { operation: 'touch', key: 'a' }
    await items.update(context, 'SET #x = :x', condition, { ':x': { N: '1' } })
    await items.update(context, 'SET #x = 1', condition)
    const input = { ...located, ...condition, ReturnValues: 'UPDATED_NEW' }
    const { ExpressionAttributeValues: values } = condition
    expect(sent).toEqual([
      [
        'UpdateItem',
        {
          ...input,
          UpdateExpression: 'SET #x = :x',
          ExpressionAttributeValues: { ...values, ':x': { N: '1' } },
        },
        context,
      ],
      ['UpdateItem', { ...input, UpdateExpression: 'SET #x = 1' }, context],
    ])
  })

  const conditional = ({ items }: ReturnType<typeof setup>) => [
    () => items.deleteIf('delete', 'a', condition),
    () => items.getAndDeleteIf('delete', 'a', condition),
    () => items.update({ operation: 'touch', key: 'a' }, 'SET', condition),
    () => items.putIf('add', 'a', key, condition),
  ]

  test('is unchanged if the condition fails', async () => {
    const calls = conditional(setup(fail(conditionFailure(1))))
    expect(await Promise.all(calls.map((call) => call()))).toEqual([
      false,
      undefined,
      undefined,
      false,
    ])
  })

  test('reports other errors', async () => {
    const failing = setup(fail(lost))
    const put = () => failing.items.put('set', 'a', key)
    for (const call of [put, ...conditional(failing)]) await expect(call()).rejects.toBe(lost)
  })
})

describe('a conditional put', () => {
  test('has an id of its own', async () => {
    const { items, sent } = setup()
    expect(await items.putIf('add', 'a', key, condition)).toBe(true)
    expect(await items.putIf('add', 'a', key, condition)).toBe(true)
    const id = expect.stringMatching(/^[\w-]{13}$/)
    const Item = { ...key, write_id: { S: id } }
    expect(sent[0]).toEqual([
      'PutItem',
      { TableName: 't', Item, ...condition },
      { operation: 'add', key: 'a' },
    ])
    expect(sent).toHaveLength(2)
    expect(sent[0]?.[1].Item.write_id).not.toEqual(sent[1]?.[1].Item.write_id)
  })

  /** A put whose condition fails, where the item that is read then has the id of the put, or another one. */
  function setupRepeated(isOwn: boolean, outcomeUnknown: boolean, attempts?: number) {
    let id: Any
    return setup((action, { Item }, context) => {
      if (action === 'GetItem') return { Item: { write_id: isOwn ? id : { S: 'other' } } }
      id = Item.write_id
      context.outcomeUnknown = outcomeUnknown
      throw conditionFailure(attempts)
    })
  }

  test.each([
    ['an attempt of the store', true, 1],
    ['an attempt of the client', false, 2],
    ['an unknown number of attempts', false, undefined],
  ])('whose condition fails after %s has succeeded if the item has its id', async (...given) => {
    const [, outcomeUnknown, attempts] = given
    const { items, sent } = setupRepeated(true, outcomeUnknown, attempts)
    expect(await items.putIf('add', 'a', key, condition)).toBe(true)
    expect(sent[1]?.[1]).toEqual({ ...located, ConsistentRead: true })
    const other = setupRepeated(false, outcomeUnknown, attempts)
    expect(await other.items.putIf('add', 'a', key, condition)).toBe(false)
  })

  test('whose condition fails at the first attempt reads no item', async () => {
    const { items, sent } = setupRepeated(true, false, 1)
    expect(await items.putIf('add', 'a', key, condition)).toBe(false)
    expect(sent).toHaveLength(1)
  })

  test('has failed if its item is not there any more', async () => {
    const { items } = setup((action) => (action === 'GetItem' ? {} : fail(conditionFailure(2))()))
    expect(await items.putIf('add', 'a', key, condition)).toBe(false)
  })
})

describe('a counter', () => {
  const { MAX_SAFE_INTEGER: max, MIN_SAFE_INTEGER: min } = Number
  const sumOf = (sum: number) => ({ Attributes: { v: { N: `${sum}` } } })

  /** The stored item, where all conditions fail. */
  const setupItem = (item: Any) =>
    setup((action) => (action === 'GetItem' ? { Item: item } : fail(conditionFailure(1))()))

  test('without a ttl is added to, or created, in one request', async () => {
    const { counters, sent } = setup(() => sumOf(7))
    expect(await counters.increment('a', 2, undefined)).toBe(7)
    expect(sent).toHaveLength(1)
    expect(sent[0]).toMatchObject([
      'UpdateItem',
      {
        ...located,
        UpdateExpression: 'SET #v = if_not_exists(#v, :zero) + :by',
        ConditionExpression: expect.stringMatching(/^attribute_not_exists\(#k\) OR #v BETWEEN/),
        ExpressionAttributeValues: {
          ...{ ':by': { N: '2' }, ':zero': { N: '0' } },
          ...{ ':min': { N: `${min}` }, ':max': { N: `${max - 2}` } },
        },
      },
      { operation: 'increment', key: 'a', idempotent: false },
    ])
  })

  test('that becomes smaller stays in the range of safe integers', async () => {
    const { counters, sent } = setup(() => sumOf(7))
    await counters.increment('a', -3, undefined)
    expect(sent[0]?.[1].ExpressionAttributeValues).toMatchObject({
      ...{ ':min': { N: `${min + 3}` }, ':max': { N: `${max}` } },
    })
  })

  test('with a ttl is created if it is missing', async () => {
    const { counters, sent } = setup((action) =>
      action === 'UpdateItem' ? fail(conditionFailure(1))() : {},
    )
    expect(await counters.increment('a', 2, 500)).toBe(2)
    expect(sent[0]?.[1].UpdateExpression).toBe('SET #v = #v + :by')
    expect(sent[0]?.[1].ConditionExpression).toMatch(/^#v BETWEEN/)
    expect(sent[0]?.[1].ExpressionAttributeValues).not.toHaveProperty(':zero')
    const Item = { ...key, v: { N: '2' }, x: { N: '11' }, early_ms: { N: '250' } }
    expect(sent[1]).toMatchObject(['PutItem', { Item }, { operation: 'increment', key: 'a' }])
    expect(sent[1]?.[1].ConditionExpression).toMatch(/^attribute_not_exists/)
    expect(sent).toHaveLength(2)
    expect(Object.is(await counters.increment('a', -0, 500), 0)).toBe(true)
  })

  test.each([
    [{ v: { S: 'text' } }, 'the stored value is not an integer'],
    [{ v: { N: `${max}` } }, 'the sum is not a safe integer'],
    [{ v: { N: '1.5' } }, 'the stored value is not an integer'],
    [{ v: { S: '5' } }, 'another program has stored the integer as text'],
  ])('is not %o: %s', async (item, reason) => {
    const { counters, sent } = setupItem(item)
    await expect(counters.increment('a', 1, 500)).rejects.toThrow(reason)
    expect(sent.map(([action]) => action)).toEqual(['UpdateItem', 'PutItem', 'GetItem'])
    expect(sent[2]?.[1].ConsistentRead).toBe(true)
  })

  test('is tried ten times if others create and delete it meanwhile', async () => {
    const { counters, sent } = setupItem(undefined)
    await expect(counters.increment('a', 1, 500)).rejects.toMatchObject({
      retryable: true,
      message: expect.stringContaining('other clients created and deleted the counter'),
    })
    expect(sent).toHaveLength(30)
  })

  test('that another client makes smaller meanwhile is tried again', async () => {
    let requests = 0
    const { counters } = setup((action) => {
      if (action === 'GetItem') return { Item: { v: { N: '1' } } }
      if (++requests <= 2) throw conditionFailure(1)
      return sumOf(2)
    })
    expect(await counters.increment('a', 1, 500)).toBe(2)
  })

  test('that is a fraction is restored', async () => {
    let replies = 0
    const { counters, sent } = setup(async () => {
      await new Promise((resolve) => setImmediate(resolve))
      replies++
      return sumOf(1.5)
    })
    await expect(counters.increment('a', 2, undefined)).rejects.toThrow(
      'the stored value is not an integer',
    )
    expect(replies).toBe(2)
    expect(sent.map(([, input]) => input.UpdateExpression)).toEqual([
      'SET #v = if_not_exists(#v, :zero) + :by',
      // One that was deleted meanwhile is not created.
      'SET #v = #v + :by',
    ])
    expect(sent[1]?.[1].ExpressionAttributeValues[':by']).toEqual({ N: '-2' })
  })
})
