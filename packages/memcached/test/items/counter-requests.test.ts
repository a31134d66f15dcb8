import { CacheError } from '@stowage/core'
import { conflict } from '@stowage/core/driver'
import { describe, expect, test } from 'vitest'
import { gate, settle } from '../../../core/test/remember/two-processes.ts'
import { Counters, isReadFirst } from '../../src/items/counters.ts'
import { Items } from '../../src/items/items.ts'
import { type Reply, status } from '../../src/protocol/protocol.ts'
import { flags } from '../../src/values/value-format.ts'
import {
  type Answer,
  exists,
  item,
  missing,
  ok,
  type Request,
  scriptedNodes,
} from './scripted-nodes.ts'

const max = Number.MAX_SAFE_INTEGER
/** The largest counter that is stored as plain text. */
const maxPlain = 2 ** 52
const modulus = 1n << 64n
const rejected = { code: 'ERR_CACHE_REJECTED', key: 'k' }
const notNumeric: Answer = { status: status.notNumeric }

/**
 * Counters whose requests get these replies, one after another. A counter is read twice at once, perhaps with the time
 * between: the second read gets the same reply, or one of `again`, and is not among the requests.
 */
function setUp(
  replies: (Answer | Promise<Answer>)[],
  { again = [], ...options }: { noMeta?: unknown; again?: Answer[] } = {},
) {
  const requests: Request[] = []
  let first: { readonly command: string; readonly reply: Answer | Promise<Answer> } | undefined
  const next = (...request: Request) => {
    const [command] = request
    const isSecond = first?.command === command
    const reply = isSecond
      ? (again.shift() ?? (first?.reply as Answer))
      : (replies.shift() ?? new Error('no reply is left'))
    if (!isSecond) requests.push(request)
    if (command !== 'time')
      first = isSecond || !command.startsWith('get') ? undefined : { command, reply }
    return reply
  }
  const { dispatcher } = scriptedNodes(next, options)
  const counters = new Counters(dispatcher, new Items(dispatcher, false))
  return {
    requests,
    increment: (by: number, ttl?: number) => counters.tryIncrement('k', by, ttl),
  }
}

/** The requests of a replacement, after those that led to it. */
const replacement = (text: string, more: Partial<Reply> = {}) => [
  item(text, { ttl: -1, ...more }),
  1_000,
  ok,
]

test('a counter is read first for a number that is negative, or more than 2^31', () => {
  expect([0, 1, 2 ** 31].map(isReadFirst)).toEqual([false, false, false])
  expect([-1, 2 ** 31 + 1].map(isReadFirst)).toEqual([true, true])
})

describe('a number that the server can add', () => {
  test.each([
    ['to zero', 5, 5n],
    ['to another', 5, 7n],
    ['up to 2^52', 5, 2n ** 52n],
  ])('is one request: %s', async (_, by, sum) => {
    const { increment, requests } = setUp([{ sum }])
    expect(await increment(by)).toBe(Number(sum))
    expect(requests).toEqual([['arithmetic', 'k', BigInt(by), 0n]])
  })

  test('creates a counter that is missing, unless another client does', async () => {
    const { increment, requests } = setUp([missing, ok, missing, exists])
    expect(await increment(5, 60_000)).toBe(5)
    const created = { mode: 'add', key: 'k', payload: '5', flags: 0, exptime: 61, cas: 0n }
    expect(requests).toEqual([
      ['arithmetic', 'k', 5n, 0n],
      ['store', created],
    ])
    expect(await increment(5)).toBe(conflict)
  })

  test('is zero also if it is negative zero', async () => {
    expect(await setUp([missing, ok]).increment(-0)).toBe(0)
  })
})

describe('a sum of other clients that is too large', () => {
  const stored = { mode: 'set', key: 'k', flags: flags.escaped, exptime: 0, cas: 3n }

  test('is stored in the form that the server does not increment, then returned', async () => {
    const storing = gate<Answer>()
    const total = 2 ** 52 + 1
    const found = item(`${total}`, { cas: 3n, ttl: -1 })
    const { increment, requests } = setUp([{ sum: BigInt(total) }, found, 1_000, storing.opened])
    let isSettled = false
    const call = increment(5).finally(() => {
      isSettled = true
    })
    await settle()
    expect(isSettled).toBe(false)
    storing.open(ok)
    expect(await call).toBe(total)
    const payload = Buffer.from(`\x02${total}`)
    expect(requests.slice(1)).toEqual([
      ['getWithTtl', 'k'],
      ['time'],
      ['store', { ...stored, payload }],
    ])
  })

  test('is returned also if it cannot be stored in that form', async () => {
    expect(await setUp([{ sum: BigInt(max) }, new Error('closed')]).increment(5)).toBe(max)
  })

  test.each([
    ['not safe', 5, 2n ** 53n, -5n],
    ['wrapped around', 2, 1n, modulus - 2n],
    ['wrapped around to zero', 2, 0n, modulus - 2n],
  ])('is taken back before the call rejects: %s', async (_, by, sum, undone) => {
    const undoing = gate<Answer>()
    const { increment, requests } = setUp([{ sum }, undoing.opened])
    let isSettled = false
    const call = increment(by).finally(() => {
      isSettled = true
    })
    const outcome = call.catch((reason) => reason)
    await settle()
    expect(isSettled).toBe(false)
    undoing.open({ sum: 1n })
    expect(await outcome).toMatchObject(rejected)
    expect(requests.slice(1)).toEqual([['arithmetic', 'k', undone, 0n]])
  })
})

describe('a number that is added to a counter that was read', () => {
  test.each<[string, number, Partial<Reply>]>([
    ['11', -1, {}],
    ['1', -1, {}],
    ['0', 2 ** 40, {}],
    ['0', maxPlain, {}],
    ['11', -1, { flags: 1 }],
  ])('is added by the server if the sum is exact there: %s and %i', async (text, by, more) => {
    const found = item(text, { cas: 7n, ...more })
    const { increment, requests } = setUp([found, ok, found, exists, found, missing])
    expect(await increment(by)).toBe(Number(text) + by)
    expect(requests).toEqual([
      ['get', 'k'],
      ['arithmetic', 'k', BigInt(by), 7n],
    ])
    expect([await increment(by), await increment(by)]).toEqual([conflict, conflict])
  })

  const large = { flags: flags.escaped }
  test.each<[string, number, Partial<Reply>, string, number]>([
    ['10', -1, {}, '9', 0],
    ['-5', -1, {}, '-6', 0],
    ['5', -10, {}, '-5', 0],
    ['-5', 2 ** 40, {}, `${2 ** 40 - 5}`, 0],
    ['10', -1, { flags: 2 }, '9', 2],
    ['-1', maxPlain + 1, {}, `${maxPlain}`, 0],
    ['0', maxPlain + 1, {}, `\x02${maxPlain + 1}`, flags.escaped],
    [`\x02${maxPlain + 5}`, -1, large, `\x02${maxPlain + 4}`, flags.escaped],
    [`\x02${maxPlain + 5}`, -10, large, `${maxPlain - 5}`, 0],
  ])(
    'replaces the counter otherwise, which keeps its flags: %s and %i',
    async (text, by, more, payload, newFlags) => {
      const { increment, requests } = setUp([item(text, more), ...replacement(text, more)])
      expect(await increment(by)).toBe(Number(payload.replace('\x02', '')))
      const [, write] = requests.at(-1) as [string, { payload: unknown }]
      expect([String(write.payload), write]).toMatchObject([payload, { flags: newFlags, cas: 1n }])
      expect(requests.map(([name]) => name)).toEqual(['get', 'getWithTtl', 'time', 'store'])
    },
  )

  test('replaces a counter that another client has padded to 24 bytes', async () => {
    const padded = `9${' '.repeat(23)}`
    expect(await setUp([item(padded), ...replacement(padded)]).increment(-1)).toBe(8)
  })

  test('replaces the counter if the server cannot add to it', async () => {
    const found = item('-5')
    const { increment } = setUp([notNumeric, found, ...replacement('-5')])
    expect(await increment(3)).toBe(-2)
  })

  test('is a conflict if the counter is missing, or changes, before it is replaced', async () => {
    const found = item('-5')
    const time = 1_000
    const { increment } = setUp([found, missing, time, found, found, time, exists])
    expect([await increment(-1), await increment(-1)]).toEqual([conflict, conflict])
  })

  // memcached gives an item that another thread replaces by a sum the cas id of that sum.
  test.each([
    ['the sum has the same cas id', item('14', { cas: 7n }), conflict],
    ['another item has the same value', item('11', { cas: 8n }), conflict],
    ['the counter is missing', missing, conflict],
    ['it is the same', item('11', { cas: 7n }), 10],
  ])('is a conflict if the second read shows another counter: %s', async (_, second, expected) => {
    const { increment } = setUp([item('11', { cas: 7n }), ok], { again: [second] })
    expect(await increment(-1)).toBe(expected)
  })

  test('is a conflict if the read before a replacement shows another counter', async () => {
    const found = item('10', { ttl: -1 })
    const { increment, requests } = setUp([found, found, 1_000, ok], {
      again: [found, item('13', { ttl: -1 })],
    })
    expect(await increment(-1)).toBe(conflict)
    expect(requests.map(([command]) => command)).toEqual(['get', 'getWithTtl', 'time'])
  })

  test('is a conflict if the clock of the server has ticked between the two reads', async () => {
    const found = item('10', { ttl: 100 })
    const again = [found, item('10', { ttl: 99 })]
    const { increment } = setUp([found, found, 1_001, ok], { again })
    expect(await increment(-1)).toBe(conflict)
  })

  test('creates a counter that is missing', async () => {
    const { increment, requests } = setUp([missing, ok])
    expect(await increment(-3)).toBe(-3)
    expect(requests).toMatchObject([
      ['get', 'k'],
      ['store', { mode: 'add', payload: '-3' }],
    ])
  })

  test.each([
    [undefined, 0],
    [-1, 0],
    [0, 1_000],
    [100, 1_100],
  ])('keeps the expiry: %s seconds', async (ttl, exptime) => {
    const { increment, requests } = setUp([item('10'), ...replacement('10', { ttl })])
    await increment(-1)
    expect(requests.at(-1)).toMatchObject(['store', { exptime }])
  })

  test('is added after those of earlier calls', async () => {
    const storing = gate<Answer>()
    const found = item('-5')
    const second = item('-6')
    const { increment, requests } = setUp([
      ...[found, item('-5', { ttl: -1 }), 1_000, storing.opened],
      ...[second, ...replacement('-6')],
    ])
    const calls = [increment(-1), increment(-1)]
    await settle()
    expect(requests).toHaveLength(4)
    storing.open(ok)
    expect(await Promise.all(calls)).toEqual([-6, -7])
  })
})

describe('an item that is not a counter, or would not be one', () => {
  test.each<[string, number, Partial<Reply>, RegExp]>([
    ['text', -1, {}, /value is not an integer/],
    ['', -1, {}, /value is not an integer/],
    ['12', -1, { flags: flags.chunkList }, /value is not an integer/],
    [`9${' '.repeat(24)}`, -1, {}, /value is not an integer/],
    [`${max}`, 2 ** 40, {}, /sum is not a safe integer/],
    [`-${max}`, -1, {}, /sum is not a safe integer/],
  ])('is rejected: %j and %i', async (text, by, more, message) => {
    const { increment, requests } = setUp([item(text, more)])
    await expect(increment(by)).rejects.toMatchObject({
      ...rejected,
      message: expect.stringMatching(message),
    })
    expect(requests).toHaveLength(1)
  })
})

describe('without the meta protocol', () => {
  const error = (code: 'ERR_CACHE_UNSUPPORTED' | 'ERR_CACHE_UNAVAILABLE') =>
    new CacheError(code, code, { store: 'memcached', operation: 'increment' })
  const noMeta = error('ERR_CACHE_UNSUPPORTED')

  test('the server pads a shorter counter', async () => {
    const { increment, requests } = setUp([item('10', { cas: 7n }), ok], { noMeta })
    expect(await increment(-1)).toBe(9)
    expect(requests.at(-1)).toEqual(['arithmetic', 'k', -1n, 7n])
  })

  test('a negative counter is refused, and so is any if the node fails', async () => {
    await expect(setUp([item('10')], { noMeta }).increment(-11)).rejects.toBe(noMeta)
    const failure = error('ERR_CACHE_UNAVAILABLE')
    await expect(setUp([item('10'), ok], { noMeta: failure }).increment(-1)).rejects.toBe(failure)
  })
})
