import { channels, type ErrorEvent } from '@stowage/core'
import { redis } from '@stowage/redis'
import { startRedis } from '@stowage/test-servers'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DirectClient } from '../../src/protocol/direct-client.ts'
import { waitUntil } from '../helpers.ts'
import { sentCommands, wrapSendCommand } from '../wrap-send-command.ts'

const server = await startRedis()
afterAll(() => server.stop())

interface Item {
  readonly command: object
}
interface Queue {
  readonly length: number
  push(item: Item): unknown
  pop(): Item | undefined
  shift(): Item | undefined
  peekBack(): Item | undefined
}
interface Internals {
  commandQueue: Queue
  resetCommandQueue(): void
}

const isOwn = (item: Item | undefined) => item !== undefined && item.command === item
const prototype = Redis.prototype as unknown as Internals
const { resetCommandQueue } = prototype
let events: ErrorEvent[] = []
const listener = (event: unknown) => void events.push(event as ErrorEvent)

beforeEach(() => {
  events = []
  channels.error.subscribe(listener)
})
afterEach(() => {
  channels.error.unsubscribe(listener)
  prototype.resetCommandQueue = resetCommandQueue
})

/** Changes the queue of each connection that is opened from here on. */
function changeQueues(change: (queue: Queue) => void): void {
  prototype.resetCommandQueue = function () {
    resetCommandQueue.call(this)
    change(this.commandQueue)
  }
}

const noReply = { name: 'ping', args: [], resolve() {}, reject() {} }

const changes: readonly (readonly [string, string, (queue: Queue) => void])[] = [
  [
    'a queue without a method',
    'it has no such command queue',
    (queue) => Object.assign(queue, { pop: undefined }),
  ],
  [
    'a queue of other items',
    'its command queue has other items',
    (queue) => Object.assign(queue, { pop: () => ({ request: 'ping' }) }),
  ],
  [
    'a queue that does not accept entries',
    'its command queue does not accept an entry',
    (queue) => {
      const { push } = queue
      queue.push = (item) => isOwn(item) || push.call(queue, item)
    },
  ],
  [
    'a queue whose entries never get a reply',
    'its command queue passes over an entry',
    (queue) => {
      const { push, peekBack } = queue
      let last: Item
      queue.push = (item) => {
        last = item
        return push.call(queue, isOwn(item) ? { command: noReply } : item)
      }
      queue.peekBack = () => peekBack.call(queue) && last
    },
  ],
  [
    'a queue that gives the reply to an entry to another command',
    'its command queue passes over an entry',
    (queue) => {
      const { push, shift } = queue
      queue.shift = () => {
        const item = shift.call(queue)
        if (item === undefined || !isOwn(item)) return item
        push.call(queue, item)
        return shift.call(queue)
      }
    },
  ],
]

describe.each(changes)('with %s', (_, reason, change) => {
  test('ioredis sends all commands, none is lost, and one event has the reason', async () => {
    changeQueues(change)
    const store = redis({ url: server.url, timeout: '10s' })
    const keys = Array.from({ length: 300 }, (_, i) => `k${i}`)
    await Promise.all(keys.map((key) => store.set(key, `value of ${key}`, 60_000)))
    for (let round = 0; round < 3; round++) {
      const values = await Promise.all(keys.map((key) => store.get(key)))
      expect(values.map(String)).toEqual(keys.map((key) => `value of ${key}`))
      await store.ping()
    }
    sentCommands.length = 0
    const unwrap = wrapSendCommand()
    expect(await store.increment('n', 2)).toBe(2)
    expect(await store.delete('n')).toBe(true)
    unwrap()
    // The first script asks for the commands of the server as well.
    expect(sentCommands).toEqual(expect.arrayContaining(['eval', 'unlink']))
    expect(events).toEqual([
      {
        cache: '',
        store: 'redis',
        key: '',
        error: expect.objectContaining({
          code: 'ERR_CACHE_UNSUPPORTED',
          message: expect.stringContaining(reason),
        }),
      },
    ])
    await store.close()
  })
})

/** The client as one that has other members. Its methods are those of the client. */
function withMembers(client: Redis, members: object): Redis {
  return new Proxy(client, {
    get(target, name) {
      if (name in members) return Reflect.get(members, name)
      const value: unknown = Reflect.get(target, name)
      return name === 'ping' ? target.ping.bind(target) : value
    },
  })
}

test.each([
  ['no queue', { commandQueue: undefined }],
  ['a queue of another kind', { commandQueue: { length: 0, enqueue() {}, dequeue() {} } }],
  ['a queue that is not the one it uses', { commandQueue: [] }],
])('a client that has %s is not available', async (_, members) => {
  const client = new Redis(server.url)
  await client.ping()
  const direct = new DirectClient(withMembers(client, members))
  await direct.open()
  expect(direct.tryUse()).toBe(false)
  expect(direct.hasFailed).toBe(true)
  await direct.open()
  expect(events).toHaveLength(1)
  expect(await client.echo('works')).toBe('works')
  client.disconnect()
})

test('a client whose socket has another listener is not available', async () => {
  const client = new Redis(server.url)
  await client.ping()
  client.stream.on('data', () => {})
  const direct = new DirectClient(client)
  await direct.open()
  expect(direct.tryUse()).toBe(false)
  expect(events).toHaveLength(1)
  client.disconnect()
})

test('the client itself is available, while other commands are in flight as well', async () => {
  const client = new Redis(server.url)
  await client.ping()
  const direct = new DirectClient(client)
  const replies = [client.set('a', 1), direct.open(), client.get('a'), client.incr('a')]
  expect(await Promise.all(replies)).toEqual(['OK', undefined, '1', 2])
  expect(direct.tryUse()).toBe(true)
  expect(String(await direct.getBuffer('a'))).toBe('2')
  expect(events).toEqual([])
  client.disconnect()
})

test('a user without the permission for PING does not matter', async () => {
  const admin = new Redis(server.url)
  await admin.acl('SETUSER', 'silent', 'on', '>pw', '~*', '+@all', '-ping')
  const client = new Redis(server.url, { username: 'silent', password: 'pw' })
  await client.set('a', 1)
  const direct = new DirectClient(client)
  await direct.open()
  expect(direct.tryUse()).toBe(true)
  expect(events).toEqual([])
  client.disconnect()
  admin.disconnect()
})

test('a connection that is lost before the reply says nothing about ioredis', async () => {
  const own = await startRedis()
  const client = new Redis(own.url, { retryStrategy: () => 20, maxRetriesPerRequest: 0 })
  client.on('error', () => {})
  await client.ping()
  const direct = new DirectClient(client)
  own.kill('SIGSTOP')
  const opened = direct.open()
  client.stream.destroy()
  await opened
  expect(direct.hasFailed).toBe(false)
  expect(direct.tryUse()).toBe(false)
  own.kill('SIGCONT')
  await waitUntil('the client is available again', () => direct.tryUse())
  expect(events).toEqual([])
  client.disconnect()
  await own.stop()
})
