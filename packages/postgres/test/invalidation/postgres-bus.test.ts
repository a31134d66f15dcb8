import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Cache, type InvalidationBus } from '@stowage/core'
import { ensureTable, type PostgresBusOptions, postgres, postgresBus } from '@stowage/postgres'
import {
  type FaultProxy,
  freePort,
  type PostgresDatabase,
  sharedPostgres,
  startProxy,
} from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'

type Notification = readonly string[] | undefined

const channel = 'stowage_invalidate'
/** Longer than a busy machine stops the server. */
const timeout = '1500ms'
let database: PostgresDatabase
let admin: pg.Pool
let proxy: FaultProxy
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  database = await sharedPostgres()
  admin = new pg.Pool({ connectionString: database.url }).on('error', () => {})
})
beforeEach(async () => {
  proxy = await startProxy(Number(new URL(database.url).port))
  cleanups.push(() => proxy.stop())
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(async () => {
  await admin.end()
  await database.stop()
})

function openBus(options: PostgresBusOptions = {}): InvalidationBus {
  const bus = postgresBus({ url: database.url, timeout: '20s', ...options })
  cleanups.push(() => bus.close())
  return bus
}

/** A bus whose connections the proxy disturbs. */
const disturbedBus = () => openBus({ url: urlOf(proxy.port), timeout })

function urlOf(port: number): string {
  const url = new URL(database.url)
  url.port = String(port)
  return url.href
}

/** Subscribes to the bus. Returns an array that receives the notifications from then on. */
async function record(bus: InvalidationBus): Promise<Notification[]> {
  const notifications: Notification[] = []
  await bus.subscribe((keys) => notifications.push(keys))
  notifications.length = 0
  return notifications
}

const send = (text: string) => admin.query('SELECT pg_notify($1, $2)', [channel, text])
const until = (assertion: () => unknown) => vi.waitFor(assertion, { timeout: 60_000 })

describe('messages', () => {
  test('contain all keys published in a tick, and reach every other bus', async () => {
    const [first, second] = [openBus(), openBus()]
    expect(first.connected).toBe(false)
    const [atFirst, atSecond] = [await record(first), await record(second)]
    expect(first.connected).toBe(true)
    await Promise.all([first.publish(['a', 'b']), first.publish(['b', 'c']), first.publish([])])
    await second.publish(['d'])
    await until(() => expect(atFirst).toEqual([['d']]))
    await until(() => expect(atSecond).toEqual([['a', 'b', 'c']]))
  })

  test('contain keys with special characters unchanged', async () => {
    const notifications = await record(openBus())
    const keys = ['\0', 'a\r\nb', '"\\', "'", '😀é', ' ', '$1', '\u{10ffff}', 'k'.repeat(1_000)]
    await openBus().publish(keys)
    await until(() => expect(notifications.flat()).toEqual(keys))
  })

  test('are split into several that the server accepts', async () => {
    const notifications = await record(openBus())
    const publisher = openBus()
    const keys = Array.from({ length: 40 }, (_, i) => `${i}:${'\0é"'.repeat(110)}`)
    await publisher.publish(keys)
    await publisher.publish(['last'])
    await until(() => expect(notifications.at(-1)).toEqual(['last']))
    expect(notifications.length).toBeGreaterThan(5)
    expect(notifications.flat()).toEqual([...keys, 'last'])
  })

  test('mean "anything" if there are too many keys, or one is too long', async () => {
    const notifications = await record(openBus())
    const publisher = openBus()
    await publisher.publish(Array.from({ length: 10_000 }, (_, i) => `key:${i}`))
    await publisher.publish(['k'.repeat(8_000)])
    await publisher.publish(['a'])
    await until(() => expect(notifications).toEqual([undefined, undefined, ['a']]))
  })

  test.each(['', 'a', 'null', '7', '["a"]', '{}', '{"keys":"a"}', '{"keys":["a",1]}', '{"keys"'])(
    'of other programs mean "anything" if they are invalid: %s',
    async (text) => {
      const notifications = await record(openBus())
      await send(text)
      await send('{"keys":["a"]}')
      await until(() => expect(notifications).toEqual([undefined, ['a']]))
    },
  )

  test('mean "anything" if one before them has not arrived', async () => {
    const notifications = await record(openBus())
    const message = (from: string, number: number) =>
      send(JSON.stringify({ from, number, keys: [`${from}${number}`] }))
    for (const [from, number] of [
      ['x', 7],
      ['x', 8],
      ['y', 1],
      ['x', 8],
      ['x', 10],
      ['x', 11],
      ['y', 2],
    ] as const) {
      await message(from, number)
    }
    await until(() =>
      expect(notifications).toEqual([['x7'], ['x8'], ['y1'], ['x8'], undefined, ['x11'], ['y2']]),
    )
  })

  test('reach only buses with the same channel', async () => {
    const own = { channel: 'own_channel' }
    const notifications = await record(openBus(own))
    await openBus().publish(['a'])
    await openBus(own).publish(['b'])
    await until(() => expect(notifications).toEqual([['b']]))
  })

  test('are sent before close resolves', async () => {
    const notifications = await record(openBus())
    const publisher = openBus()
    const published = publisher.publish(['a'])
    await publisher.close()
    await published
    await until(() => expect(notifications).toEqual([['a']]))
  })

  test('reach no listener that has unsubscribed, and all others if one throws', async () => {
    const bus = openBus()
    const warning = new Promise<Error>((resolve) => process.once('warning', resolve))
    const unsubscribed: Notification[] = []
    const unsubscribe = await bus.subscribe((keys) => unsubscribed.push(keys))
    unsubscribe()
    await bus.subscribe((keys) => {
      if (keys?.[0] === 'a') throw new Error('thrown by a listener')
    })
    unsubscribed.length = 0
    const notifications = await record(bus)
    await openBus().publish(['a'])
    await until(() => expect(notifications).toEqual([['a']]))
    const detail = expect.stringContaining('thrown by a listener')
    expect(await warning).toMatchObject({ detail })
    expect(unsubscribed).toEqual([])
  })
})

describe('a lost connection', () => {
  async function expectRecovery(bus: InvalidationBus, notifications: Notification[]) {
    await until(() => expect(bus.connected).toBe(true))
    expect(notifications).toEqual([undefined, undefined])
    await openBus().publish(['after'])
    await until(() => expect(notifications[2]).toEqual(['after']))
  }

  test.each([
    ['the connection is cut', async () => proxy.cut()],
    [
      'the server ends it',
      () =>
        admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')`),
    ],
    [
      'the network drops everything',
      async (bus: InvalidationBus) => {
        proxy.mute(true)
        await until(() => expect(bus.connected).toBe(false))
        proxy.mute(false)
      },
    ],
    [
      'new connections are refused for a while',
      async () => {
        proxy.refuse(true)
        proxy.cut()
        await until(() => expect(proxy.refused).toBeGreaterThan(3))
        proxy.refuse(false)
      },
    ],
  ])('means "anything" when it is lost, and when it is restored: %s', async (_, fault) => {
    const bus = disturbedBus()
    const notifications = await record(bus)
    await fault(bus)
    await until(() => expect(notifications.length).toBeGreaterThan(0))
    await expectRecovery(bus, notifications)
  })

  test('is found by one statement at a time, of which the client does not warn', async () => {
    const warnings: Error[] = []
    const onWarning = (warning: Error) => {
      if (warning.message.includes('client.query()')) warnings.push(warning)
    }
    process.on('warning', onWarning)
    cleanups.push(() => process.off('warning', onWarning))
    // Long enough for several statements.
    const bus = openBus({ url: urlOf(proxy.port), timeout: '4s' })
    await record(bus)
    proxy.mute(true)
    await until(() => expect(bus.connected).toBe(false))
    proxy.mute(false)
    expect(warnings).toEqual([])
  })

  test('lets publish reject, and the next message mean "anything"', async () => {
    const notifications = await record(openBus())
    const publisher = disturbedBus()
    await publisher.publish(['a'])
    proxy.refuse(true)
    proxy.cut()
    await expect(publisher.publish(['secret'])).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      operation: 'publish',
      message: expect.not.stringContaining('secret'),
    })
    proxy.refuse(false)
    await until(() => expect(notifications).toEqual([['a'], undefined]))
    await publisher.publish(['b'])
    await until(() => expect(notifications[2]).toEqual(['b']))
  })
})

describe('subscribe', () => {
  test('rejects if nothing listens there, or nothing replies, and can be called again', async () => {
    const nowhere = openBus({ url: urlOf(await freePort()) })
    const unavailable = { code: 'ERR_CACHE_UNAVAILABLE' }
    await expect(nowhere.subscribe(() => {})).rejects.toMatchObject(unavailable)
    const bus = disturbedBus()
    const notifications: Notification[] = []
    proxy.mute(true)
    const rejected = bus.subscribe((keys) => notifications.push(keys))
    await expect(rejected).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    proxy.mute(false)
    await until(() => bus.subscribe(() => {}))
    expect(bus.connected).toBe(true)
    expect(notifications).toEqual([])
  })

  test.each([{ url: 'x' }, { channel: 'a b' }, { channel: '' }, { timeout: 0 }])(
    'the option is invalid: %o',
    (options) => {
      const invalid = expect.objectContaining({ code: 'ERR_CACHE_CONFIG' })
      expect(() => postgresBus(options)).toThrow(invalid)
    },
  )
})

describe('close', () => {
  test('is idempotent, notifies "anything", and makes later calls reject', async () => {
    const bus = openBus()
    const notifications = await record(bus)
    await Promise.all([bus.close(), bus.close()])
    expect(notifications).toEqual([undefined])
    expect(bus.connected).toBe(false)
    const closed = { code: 'ERR_CACHE_CLOSED' }
    await expect((async () => bus.publish(['a']))()).rejects.toMatchObject(closed)
    await expect(bus.subscribe(() => {})).rejects.toMatchObject(closed)
  })

  test('ends calls in flight, also if the server does not reply', async () => {
    const bus = disturbedBus()
    await record(bus)
    proxy.mute(true)
    const calls = Promise.allSettled([bus.publish(['a']), disturbedBus().subscribe(() => {})])
    await bus.close()
    const outcomes = await calls
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  })

  test('lets the process exit', async () => {
    const program = `
      import { postgresBus } from '@stowage/postgres'
      const bus = postgresBus({ url: process.argv[1] })
      await bus.subscribe(() => {})
      await bus.publish(['a'])
      await bus.close()
      console.log('closed')`
    const args = ['--input-type=module', '-e', program, database.url]
    const run = promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname })
    expect((await run).stdout).toBe('closed\n')
  })
})

test('near caches see the changes of each other', async () => {
  const url = database.url
  await ensureTable({ url })
  const open = () => {
    const store = postgres({ url, timeout: '20s' })
    const cache = new Cache(store, { near: { bus: () => postgresBus({ url }) } })
    cleanups.push(() => cache.close())
    return cache
  }
  const [first, second] = [open(), open()]
  await first.set('k', 1)
  await until(async () => {
    await second.get('k')
    expect(second.near?.stats.hits).toBeGreaterThan(0)
  })
  await first.set('k', 2)
  await until(async () => expect(await second.get('k')).toBe(2))
})
