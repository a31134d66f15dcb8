import type { CacheError, Payload } from '@stowage/core'
import { BatchError } from '@stowage/core/driver'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { gate, settle } from '../../../core/test/remember/two-processes.ts'
import { failuresOf } from '../../src/items/batch-failures.ts'
import { Items } from '../../src/items/items.ts'
import { ReadItems } from '../../src/items/read-items.ts'
import type { StoreRequest } from '../../src/protocol/protocol.ts'
import { readAdded, readCasOutcome, readOk } from '../../src/protocol/status-replies.ts'
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

const daySeconds = 24 * 60 * 60
const closed = new Error('closed')
/** What an item of 1,000 bytes has room for besides its key and its header. */
const maxBytes = 686
const large = 'x'.repeat(maxBytes + 1)

function setUp(
  answer: (...request: Request) => Answer | Promise<Answer>,
  {
    usesChunks = false,
    ...more
  }: { usesChunks?: boolean; names?: string[]; hasMeta?: boolean } = {},
) {
  const nodes = scriptedNodes(answer, more)
  return { ...nodes, items: new Items(nodes.dispatcher, usesChunks) }
}

const always = (answer: Answer) => () => answer
const set = { mode: 'set', read: readOk } as const

/** The outcomes of a call of several keys: what was found, or the message of the error. */
async function outcomesOf(call: Promise<unknown>): Promise<unknown[]> {
  const error = await call.catch((reason) => reason)
  expect(error).toBeInstanceOf(BatchError)
  return (error as BatchError).outcomes.map((outcome) => {
    if (outcome.status === 'fulfilled') return outcome.value
    const { message, key } = outcome.reason as CacheError
    return `${key}: ${message.replace(/^.*failed: /, '')}`
  })
}

const storedIn = (requests: readonly Request[]) =>
  requests.flatMap(([command, request]) =>
    command.startsWith('store') ? [request as StoreRequest] : [],
  )
const keysOf = (requests: readonly Request[], command: string) =>
  requests.flatMap(([name, key]) => (name === command ? [key] : []))

describe('the expiry of an item', () => {
  async function exptimeOf(ttl: number | undefined) {
    const { items, requests } = setUp(always(ok))
    await items.store('set', 'k', 'v', { ...set, ttl })
    return storedIn(requests)[0]?.exptime
  }

  test.each([
    [undefined, 0],
    [1, 2],
    [1_000, 2],
    [1_001, 3],
    [(30 * daySeconds - 1) * 1_000, 30 * daySeconds],
  ])('is a number of seconds up to 30 days: %s ms', async (ttl, exptime) => {
    expect(await exptimeOf(ttl)).toBe(exptime)
  })

  test('is a Unix time beyond, which the server can count', async () => {
    const now = vi.spyOn(Date, 'now').mockReturnValue(1_700_000_000_500)
    onTestFinished(() => now.mockRestore())
    expect(await exptimeOf(30 * daySeconds * 1_000)).toBe(1_700_000_001 + 30 * daySeconds + 1)
    expect(await exptimeOf(36_500 * daySeconds * 1_000)).toBe(2 ** 31 - 1)
  })
})

describe('the limit of a value', () => {
  test('is that of the smallest node, for all chunks together', () => {
    const { nodes, items, dispatcher } = setUp(always(ok), { names: ['a', 'b'] })
    expect(items.valueBytes).toBe(maxBytes)
    expect(new Items(dispatcher, true).valueBytes).toBe(64 * maxBytes)
    Object.assign(nodes[1]?.node as object, { itemBytes: 900 })
    expect(items.valueBytes).toBe(maxBytes - 100)
  })

  test('is the default of memcached while no node is known', () => {
    expect(setUp(always(ok), { names: [] }).items.valueBytes).toBe(1024 * 1024 - 1_000 + maxBytes)
  })

  test('is checked, and the error says what helps', () => {
    const { items } = setUp(always(ok))
    const fails = { code: 'ERR_CACHE_LIMIT', key: 'k', message: expect.stringMatching(/OVERSIZE/) }
    items.assertFits('set', 'k', 'x'.repeat(maxBytes))
    expect(() => items.assertFits('set', 'k', large)).toThrow(expect.objectContaining(fails))
    const split = setUp(always(ok), { usesChunks: true }).items
    split.assertFits('set', 'k', 'x'.repeat(64 * maxBytes))
    const tooLarge = () => split.assertFits('set', 'k', 'x'.repeat(64 * maxBytes + 1))
    expect(tooLarge).toThrow(expect.objectContaining({ code: 'ERR_CACHE_LIMIT' }))
    expect(tooLarge).not.toThrow(/OVERSIZE/)
  })

  test('decides whether a value may be split, once all nodes are connected', () => {
    const { nodes, items, dispatcher } = setUp(always(ok), { names: ['a', 'b'] })
    const split = new Items(dispatcher, true)
    expect([items.mayBeSplit(large), split.mayBeSplit(large)]).toEqual([false, true])
    expect(split.mayBeSplit('small')).toBe(false)
    Object.assign(nodes[1] as object, { state: 'idle' })
    expect([items.mayBeSplit('small'), split.mayBeSplit('small')]).toEqual([false, true])
  })
})

describe('an item', () => {
  test('has the payload, and is escaped if the server would add to it by mistake', async () => {
    const { items, requests } = setUp(always(ok))
    await items.store('set', 'k', 'text', set)
    await items.storeMany([['k', ' 12']], undefined)
    const plain = { mode: 'set', key: 'k', payload: 'text', flags: 0, exptime: 0, cas: 0n }
    const payload = Buffer.from('\x02 12')
    expect(storedIn(requests)).toEqual([plain, { ...plain, payload, flags: flags.escaped }])
  })

  test('is read if it is not a list of chunks', async () => {
    const list = item(`${'i'.repeat(24)} 1 5`, { flags: flags.chunkList })
    const { items, requests } = setUp((_, key) => (key === 'list' ? list : item(`of ${key}`)))
    expect([String(await items.get('k')), await items.get('list')]).toEqual(['of k', undefined])
    expect((await items.getMany(['k', 'list'])).map(String)).toEqual(['of k', 'undefined'])
    expect(requests).toHaveLength(4)
  })

  test('that is too large is not sent, and replaces none', async () => {
    const { items, requests } = setUp(always(ok))
    const tooLarge = { code: 'ERR_CACHE_LIMIT' }
    await items.store('set', 'k', 'x'.repeat(maxBytes), set)
    await expect(items.store('set', 'k', large, set)).rejects.toMatchObject(tooLarge)
    expect(requests.slice(1)).toEqual([['delete', 'k', 0n]])
    const add = { mode: 'add', read: readAdded } as const
    await expect(items.store('add', 'k', large, add)).rejects.toMatchObject(tooLarge)
    const replace = { ...set, cas: 5n, read: readCasOutcome }
    await expect(items.store('cas', 'k', large, replace)).rejects.toMatchObject(tooLarge)
    expect(requests).toHaveLength(2)
  })

  test('that is too large is refused after the old one was deleted', async () => {
    const { items } = setUp(always(closed))
    await expect(items.store('set', 'k', large, set)).rejects.toThrow('closed')
  })

  test('is touched, or missing', async () => {
    const { items, requests } = setUp((_, key) => (key === 'k' ? ok : missing))
    expect([await items.touch('k', 5_000), await items.touch('x', undefined)]).toEqual([
      true,
      false,
    ])
    expect(requests).toEqual([
      ['touch', 'k', 6],
      ['touch', 'x', 0],
    ])
  })
})

describe('a call of several keys', () => {
  const failing = (_: string, request: unknown) => {
    const { key = request } = request as { key?: unknown }
    return key === 'bad' ? closed : key === 'none' ? missing : item(`of ${key}`)
  }
  const keys = ['k', 'bad', 'none']

  test('has an outcome for each: getMany', async () => {
    const { items } = setUp(failing)
    const outcomes = await outcomesOf(items.getMany(keys))
    expect(outcomes.map(String)).toEqual(['of k', 'bad: closed', 'undefined'])
  })

  test.each([true, false])('has an outcome for each: getWithTtl, meta %s', async (hasMeta) => {
    const { items } = setUp(failing, { hasMeta })
    const [found, ...others] = await outcomesOf(items.getWithTtl(keys))
    expect(found).toEqual({ item: Buffer.from('of k'), ttl: Infinity })
    expect(others).toEqual(['bad: closed', undefined])
    expect(await items.getWithTtl(['none'])).toEqual([undefined])
  })

  test('has an outcome for each: setMany, also of a key that is repeated', async () => {
    const { items, requests } = setUp(failing)
    const entries = ['k', 'bad', 'k', 'bad'].map((key, index) => [key, `${index}a`] as const)
    const outcomes = await outcomesOf(items.storeMany(entries, 1_000))
    expect(outcomes).toEqual([undefined, 'bad: closed', undefined, 'bad: closed'])
    const stored = storedIn(requests).map(({ key, payload, exptime }) => [key, payload, exptime])
    expect(stored).toEqual([
      ['k', '2a', 2],
      ['bad', '3a', 2],
    ])
    expect(await items.storeMany([['k', 'v']], undefined)).toBeUndefined()
  })

  test('has an outcome for each: deleteMany, also of a key that is repeated', async () => {
    const { items, requests } = setUp(failing)
    expect(await items.deleteMany(['k', 'none', 'k', 'other'])).toBe(2)
    expect(keysOf(requests, 'deleteMany')).toEqual(['k', 'none', 'other'])
    const outcomes = await outcomesOf(items.deleteMany(['bad', ...keys]))
    expect(outcomes).toEqual(['bad: closed', true, 'bad: closed', false])
  })

  test('fails for each place of a key that has failed, and for no other', () => {
    const failures = failuresOf(['a', 'b', 'a'], ['a', 'b'], new Map([[0, closed]]))
    const twice = [0, 2].map((index) => [index, closed] as const)
    expect(failures).toEqual(new Map(twice))
    expect(failuresOf(['a'], ['a'], undefined)).toBeUndefined()
  })

  test('stores what is not too large, and says which is', async () => {
    const { items, requests } = setUp(failing)
    const entries = [
      ['first', large],
      ['k', 'small'],
      ['bad', 'small'],
    ] as const
    const [first, ...others] = await outcomesOf(items.storeMany(entries, undefined))
    expect(first).toMatch(/^first: .*687/)
    expect(others).toEqual([undefined, 'bad: closed'])
    expect(keysOf(requests, 'delete')).toEqual(['first'])
    expect(storedIn(requests).map(({ key }) => key)).toEqual(['k', 'bad'])
    const alone = setUp(failing)
    expect(await outcomesOf(alone.items.storeMany([['k', large]], undefined))).toHaveLength(1)
    expect(alone.requests.map(([command]) => command)).toEqual(['delete'])
  })

  test('settles when all requests have: setMany of small and large values', async () => {
    const [small, deleted] = [gate<Answer>(), gate<Answer>()]
    const { items } = setUp((command) => (command === 'delete' ? deleted : small).opened)
    let isSettled = false
    const entries = [['l', large] as const, ['s', 'small'] as const]
    const call = outcomesOf(items.storeMany(entries, undefined)).finally(() => {
      isSettled = true
    })
    deleted.open(ok)
    await settle()
    expect(isSettled).toBe(false)
    small.open(closed)
    expect(await call).toEqual([expect.stringMatching(/^l: /), 's: closed'])
  })
})

describe('a value in chunks', () => {
  const value = `${'a'.repeat(maxBytes)}${'b'.repeat(10)}`

  /** Stores in a map, except for what `fails`. */
  function setUpStored(
    fails: (command: string, key: string) => Answer | undefined = () => undefined,
  ) {
    const stored = new Map<string, StoreRequest>()
    const answer = (command: string, request: unknown): Answer => {
      const key = typeof request === 'string' ? request : (request as StoreRequest).key
      const failure = fails(command, key)
      if (failure !== undefined) return failure
      if (command.startsWith('store')) stored.set(key, request as StoreRequest)
      const found = stored.get(key)
      if (found === undefined) return missing
      return { value: Buffer.from(found.payload), flags: found.flags }
    }
    return { stored, ...setUp(answer, { usesChunks: true }) }
  }
  const isChunk = (key: unknown) => String(key).startsWith('\0')

  test('is stored before the list of its chunks, which expires first', async () => {
    const { items, requests } = setUpStored()
    await items.store('set', 'k', value, { ...set, ttl: 5_000 })
    await items.store('set', 'k', value, set)
    const stored = storedIn(requests)
    expect(stored.map(({ key }) => (isChunk(key) ? key.slice(-2) : key))).toEqual(
      Array(2).fill([':0', ':1', 'k']).flat(),
    )
    expect(stored.map(({ exptime }) => exptime)).toEqual([8, 8, 6, 0, 0, 0])
    const { chunk, chunkList } = flags
    expect(stored.slice(0, 3).map((each) => each.flags)).toEqual([chunk, chunk, chunkList])
    expect(stored.slice(0, 2).map(({ payload }) => payload.length)).toEqual([maxBytes, 10])
    expect(keysOf(requests, 'delete')).toEqual([])
  })

  test('is read, alone and with others', async () => {
    const { items } = setUpStored()
    await items.storeMany(
      [
        ['k', value],
        ['small', 'v'],
      ],
      undefined,
    )
    const text = (payload: Payload | undefined) => payload && String(payload)
    expect([text(await items.get('k')), text(await items.get('small'))]).toEqual([value, 'v'])
    const all = await items.getMany(['k', 'x', 'small'])
    expect(all.map(text)).toEqual([value, undefined, 'v'])
    const withTtl = await items.getWithTtl(['k', 'x'])
    expect(withTtl).toEqual([{ item: Buffer.from(value), ttl: Infinity }, undefined])
  })

  test('is not listed if a chunk cannot be stored', async () => {
    const { items, stored } = setUpStored((command, key) =>
      command === 'storeMany' && key.endsWith(':1') ? closed : undefined,
    )
    await expect(items.store('set', 'k', value, set)).rejects.toThrow('closed')
    expect(stored.has('k')).toBe(false)
    expect(await outcomesOf(items.storeMany([['k', value]], undefined))).toEqual(['k: closed'])
  })

  test('is an error of its key if a chunk cannot be read, and a miss if one is missing', async () => {
    let failure: Answer = closed
    const { items } = setUpStored((command, key) =>
      command === 'getMany' && key.endsWith(':1') ? failure : undefined,
    )
    await items.store('set', 'k', value, set)
    await items.store('set', 'small', 'v', set)
    await expect(items.get('k')).rejects.toThrow('closed')
    const [first, second] = await outcomesOf(items.getMany(['k', 'small']))
    expect([first, String(second)]).toEqual(['k: closed', 'v'])
    failure = missing
    expect([await items.get('k'), await items.getMany(['k'])]).toEqual([undefined, [undefined]])
  })

  test('is an error of its key if the list cannot be read', async () => {
    const { items } = setUpStored((_, key) => (key === 'bad' ? closed : undefined))
    await items.store('set', 'k', 'v', set)
    const outcomes = await outcomesOf(items.getMany(['bad', 'k']))
    expect(outcomes.map(String)).toEqual(['bad: closed', 'v'])
  })

  test('is touched with its chunks, which have to exist', async () => {
    let hasChunk = true
    const { items, requests } = setUpStored((command, key) =>
      command === 'touch' && key.endsWith(':1') && !hasChunk ? missing : undefined,
    )
    await items.store('set', 'k', value, set)
    await items.store('set', 'small', 'v', set)
    requests.splice(0)
    expect([await items.touch('k', 5_000), await items.touch('small', 5_000)]).toEqual([true, true])
    expect(requests.map(([command, , exptime]) => [command, exptime])).toEqual([
      ['getAndTouch', 6],
      ['touch', 8],
      ['touch', 8],
      ['getAndTouch', 6],
    ])
    expect(await items.touch('x', 5_000)).toBe(false)
    hasChunk = false
    expect(await items.touch('k', 5_000)).toBe(false)
  })
})

describe('an item that was read to be replaced', () => {
  function setUpRead(answer: (...request: Request) => Answer, usesChunks = false) {
    const { dispatcher, items, requests, nodes } = setUp(answer, { usesChunks })
    return { readItems: new ReadItems(dispatcher, items), requests, nodes }
  }
  const found = (...[command]: Request) => (command === 'get' ? item('v', { cas: 7n }) : ok)

  test('is replaced with its id, or deleted, once', async () => {
    const { readItems, requests } = setUpRead(found)
    const [a, b] = [(await readItems.get('k')) as Payload, (await readItems.get('k')) as Payload]
    expect(await readItems.replace('k', a, 'w', 5_000)).toBe('done')
    expect(await readItems.replace('k', b, undefined, undefined)).toBe('done')
    expect(requests.slice(2)).toEqual([
      ['store', { mode: 'set', key: 'k', payload: 'w', flags: 0, exptime: 6, cas: 7n }],
      ['delete', 'k', 7n],
    ])
    expect(await readItems.replace('k', a, 'w', 5_000)).toBe('changed')
    expect(requests).toHaveLength(4)
  })

  test('has no id that is known if it is another payload, or that of another key', async () => {
    const { readItems, requests } = setUpRead(found)
    const read = (await readItems.get('k')) as Payload
    for (const [key, expected] of [
      ['k', 'v'],
      ['k', Buffer.from('v')],
      ['other', read],
    ] as const)
      expect(await readItems.replace(key, expected, 'w', undefined)).toBe('changed')
    expect(requests).toHaveLength(1)
    expect(await readItems.replace('k', read, 'w', undefined)).toBe('done')
  })

  test('has no id on another connection', async () => {
    const { readItems, requests, nodes } = setUpRead(found)
    const read = (await readItems.get('k')) as Payload
    const node = nodes[0]?.node as unknown as { connection: object }
    node.connection = { ...node.connection }
    expect(await readItems.replace('k', read, 'w', undefined)).toBe('changed')
    expect(requests).toHaveLength(1)
  })

  test('may be missing, or a list of chunks', async () => {
    const list = item(`${'i'.repeat(24)} 0 0`, { flags: flags.chunkList })
    const { readItems } = setUpRead((_, key) => (key === 'list' ? list : missing))
    expect([await readItems.get('k'), await readItems.get('list')]).toEqual([undefined, undefined])
    const { readItems: chunked } = setUpRead((_, key) => (key === 'list' ? list : missing), true)
    expect(await chunked.get('list')).toEqual(Buffer.alloc(0))
  })

  test('has changed if the server says so', async () => {
    const { readItems } = setUpRead((command) =>
      command === 'get' ? item('v') : command === 'store' ? exists : missing,
    )
    const read = async () => (await readItems.get('k')) as Payload
    expect(await readItems.replace('k', await read(), 'w', undefined)).toBe('changed')
    expect(await readItems.replace('k', await read(), undefined, undefined)).toBe('missing')
  })
})
