import { inspect } from 'node:util'
import { CacheError, channels } from '@stowage/core'
import { redis } from '@stowage/redis'
import { command, freePort, type RedisServer, startRedis } from '@stowage/test-servers'
import { Cluster, Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import { waitUntil, waitUntilSucceeds } from './helpers.ts'

const secret = 'hunter2'
const sessionId = 'a-session-id'
const lazy = { lazyConnect: true } as const
const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startServer(args: string[] = [], port?: number): Promise<RedisServer> {
  const server = await startRedis({ args, ...(port !== undefined && { port }) })
  cleanups.push(server.stop)
  return server
}

function createStore(...options: Parameters<typeof redis>) {
  const store = redis(...options)
  cleanups.push(() => store.close())
  return store
}

function connect(url: string): Redis {
  const client = new Redis(url)
  cleanups.push(() => client.disconnect())
  return client
}

async function failureOf(call: unknown): Promise<CacheError> {
  const error = await Promise.resolve(call).then(
    () => expect.unreachable('the call should have failed'),
    (thrown: unknown) => thrown,
  )
  expect(CacheError.is(error)).toBe(true)
  return error as CacheError
}

describe('connecting', () => {
  test('starts with the first command, not in the constructor', async () => {
    const { url } = await startServer()
    const store = createStore({ url })
    const admin = connect(url)
    const countClients = async () =>
      String(await admin.client('LIST'))
        .trim()
        .split('\n').length
    expect(await countClients()).toBe(1)
    await Promise.all([store.set('a', '1'), store.get('a'), store.get('b')])
    expect(await countClients()).toBe(2)
  })

  test('sends calls that waited before those that a subscriber makes meanwhile', async () => {
    const store = createStore({ url: (await startServer()).url })
    let deleted: unknown
    const listener = () => {
      deleted ??= store.delete('k')
    }
    channels.topology.subscribe(listener)
    await store.set('k', '1')
    channels.topology.unsubscribe(listener)
    expect(await deleted).toBe(true)
    expect(await store.get('k')).toBeUndefined()
  })

  test('fails every call at once if there is no server, with the reason', async () => {
    const store = createStore({ url: `redis://127.0.0.1:${await freePort()}` })
    const error = await failureOf(store.get(sessionId))
    expect(error).toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE', retryable: true, store: 'redis' })
    expect(error.message).toMatch(/ECONNREFUSED/)
  })

  test('times out if the server accepts the connection but never replies', async () => {
    const { url, kill } = await startServer()
    kill('SIGSTOP')
    const store = createStore({ url, timeout: '50ms', connectTimeout: '50ms' })
    const error = await failureOf(store.get('k'))
    expect(['ERR_CACHE_TIMEOUT', 'ERR_CACHE_UNAVAILABLE']).toContain(error.code)
    kill('SIGCONT')
    await waitUntilSucceeds(() => store.get('k'))
  })
})

describe('a lost connection', () => {
  test('is reopened once the server is reachable again', async () => {
    const first = await startServer()
    const store = createStore({ url: first.url })
    await store.set('k', 'v')
    await first.stop()
    expect((await failureOf(store.get('k'))).code).toBe('ERR_CACHE_UNAVAILABLE')
    await startServer([], first.port)
    await waitUntilSucceeds(() => store.set('k', 'new'))
    expect(String(await store.get('k'))).toBe('new')
  })

  test('fails the commands in flight, and sends none of them again', async () => {
    const { url, kill, port, stop } = await startServer()
    const store = createStore({ url })
    await store.increment('n', 1)
    kill('SIGSTOP')
    const pending = Promise.all([failureOf(store.increment('n', 1)), failureOf(store.get('n'))])
    await stop()
    for (const { code } of await pending) expect(code).toBe('ERR_CACHE_UNAVAILABLE')
    await startServer([], port)
    await waitUntilSucceeds(() => store.ping())
    expect(await store.get('n')).toBeUndefined()
  })

  test('to a frozen server times out all calls; they succeed once the server replies again', async () => {
    const { url, kill } = await startServer()
    const store = createStore({ url, timeout: '400ms' })
    await waitUntilSucceeds(() => store.set('k', 'v'))
    kill('SIGSTOP')
    const errors = await Promise.all(Array.from({ length: 20 }, () => failureOf(store.get('k'))))
    for (const { code } of errors) expect(code).toBe('ERR_CACHE_TIMEOUT')
    kill('SIGCONT')
    await waitUntilSucceeds(() => store.get('k'))
  })
})

test('a call does not time out because this process was busy', async () => {
  const { url } = await startServer()
  const store = createStore({ url, timeout: '400ms' })
  await waitUntilSucceeds(() => store.set('k', 'v'))
  const reply = store.get('k')
  const busyUntil = Date.now() + 2_000
  while (Date.now() < busyUntil);
  expect(String(await reply)).toBe('v')
})

describe('an error reply', () => {
  test('to a wrong password names the remedy', async () => {
    const { port } = await startServer(['--requirepass', 'right'])
    const store = createStore({ url: `redis://:${secret}@127.0.0.1:${port}` })
    const error = await failureOf(store.get(sessionId))
    expect(error).toMatchObject({ code: 'ERR_CACHE_REJECTED', retryable: false })
    expect(error.message).toMatch(/WRONGPASS.*REDIS_URL/)
  })

  test('to a missing password names the remedy', async () => {
    const { url } = await startServer(['--requirepass', 'right'])
    expect((await failureOf(createStore({ url }).get('k'))).message).toMatch(/NOAUTH.*REDIS_URL/)
  })

  test('to SELECT prevents writes to another database', async () => {
    const { port, url } = await startServer()
    const store = createStore({ url: `redis://127.0.0.1:${port}/99` })
    for (let attempt = 0; attempt < 3; attempt++) {
      expect((await failureOf(store.set('k', 'v'))).message).toMatch(/DB index is out of range/)
    }
    expect(await createStore({ url }).get('k')).toBeUndefined()
  })

  test('of a full server names the remedy', async () => {
    const { url } = await startServer(['--maxmemory', '1', '--maxmemory-policy', 'noeviction'])
    const error = await failureOf(createStore({ url }).set('k', 'v'))
    expect(error).toMatchObject({ code: 'ERR_CACHE_REJECTED', retryable: true })
    expect(error.message).toMatch(/maxmemory/)
  })

  test('that begins with the name of a member of all objects', async () => {
    const reply = Object.assign(new Error('constructor failed'), { name: 'ReplyError' })
    const client = { getBuffer: () => Promise.reject(reply) }
    const error = await failureOf(createStore({ client: client as never }).get('k'))
    expect(error).toMatchObject({ code: 'ERR_CACHE_REJECTED', retryable: false })
  })

  test('to a command without permission', async () => {
    const { port, url } = await startServer()
    const admin = connect(url)
    await admin.acl('SETUSER', 'app', 'on', '>pw', '~*', '+@all', '-set')
    const store = createStore({ url: `redis://app:pw@127.0.0.1:${port}` })
    expect((await failureOf(store.set('k', 'v'))).message).toMatch(/NOPERM/)
  })
})

test('no error contains a key, a value or a password', async () => {
  const { port } = await startServer([
    '--requirepass',
    'right',
    '--rename-command',
    'GET',
    'HIDDEN',
  ])
  const wrongPassword = createStore({ url: `redis://:${secret}@127.0.0.1:${port}` })
  const unreachable = createStore({ url: `redis://127.0.0.1:${await freePort()}` })
  const withoutGet = createStore({ url: `redis://:right@127.0.0.1:${port}` })
  const friendly = new Redis(`redis://:right@127.0.0.1:${port}`, { showFriendlyErrorStack: true })
  cleanups.push(() => friendly.disconnect())
  const errors = await Promise.all([
    failureOf(wrongPassword.set(sessionId, secret)),
    failureOf(withoutGet.get(sessionId)),
    failureOf(createStore({ client: friendly }).get(sessionId)),
    failureOf(unreachable.set(sessionId, secret)),
  ])
  await withoutGet.set(sessionId, `"${secret}"`)
  errors.push(await failureOf(withoutGet.increment(sessionId, 1)))
  for (const error of errors) {
    const text = `${inspect(error, { depth: 9, showHidden: false })}${JSON.stringify(error)}`
    expect(text).not.toContain(secret)
    expect(text).not.toContain(sessionId)
    expect(text).not.toContain('right')
  }
})

test('close waits for the calls in flight, then disconnects', async () => {
  const { url } = await startServer()
  const store = createStore({ url })
  await store.ping()
  const replies = Promise.all([store.set('a', '1'), store.get('a')])
  const closing = store.close()
  expect(String((await replies)[1])).toBe('1')
  await closing
  expect((await failureOf(store.get('a'))).code).toBe('ERR_CACHE_CLOSED')
})

test('close waits for a script that is sent twice', async () => {
  const { url } = await startServer()
  const store = createStore({ url })
  await store.ping()
  const counter = store.increment('n', 1)
  await store.close()
  expect(await counter).toBe(1)
})

test('the first call does not time out because this process was busy', async () => {
  const { url } = await startServer()
  const store = createStore({ url, timeout: '1s', connectTimeout: '1s' })
  const reply = store.get('k')
  const busyUntil = Date.now() + 3_000
  while (Date.now() < busyUntil);
  expect(await reply).toBeUndefined()
})

describe('the reason for a failed call', () => {
  test('changes with the server: unreachable, then password required, then no failure', async () => {
    const port = await freePort()
    const store = createStore({ url: `redis://127.0.0.1:${port}` })
    expect((await failureOf(store.get('k'))).message).toMatch(/get failed: .*ECONNREFUSED/)
    const withPassword = await startServer(['--requirepass', 'right'], port)
    await waitUntil('the reason is NOAUTH', async () => {
      return (await failureOf(store.get('k'))).message.includes('NOAUTH')
    })
    await withPassword.stop()
    await startServer([], port)
    await waitUntilSucceeds(() => store.get('k'))
  })

  test('is no longer a missing permission once that is granted', async () => {
    const { port, url } = await startServer()
    const admin = connect(url)
    await admin.acl('SETUSER', 'app', 'on', '>pw', '~*', '+@all', '-select')
    const store = createStore({ url: `redis://app:pw@127.0.0.1:${port}/3` })
    expect((await failureOf(store.set('k', 'v'))).message).toMatch(/NOPERM/)
    await admin.acl('SETUSER', 'app', '+select')
    await waitUntilSucceeds(() => store.set('k', 'v'))
    expect(await admin.get('k')).toBeNull()
  })
})

describe('an error names the server and the reason', () => {
  test('when no reply arrives', async () => {
    const { url, port, kill } = await startServer()
    const store = createStore({ url, timeout: '400ms' })
    await waitUntilSucceeds(() => store.set('k', 'v'))
    kill('SIGSTOP')
    expect((await failureOf(store.get('k'))).message).toBe(
      `redis get failed: no reply before the deadline (127.0.0.1:${port})`,
    )
    kill('SIGCONT')
  })

  test('when the server has closed the connection', async () => {
    const { url, port } = await startServer()
    const store = createStore({ url })
    const messages = new Set<string>()
    for (let round = 0; round < 20; round++) {
      await waitUntilSucceeds(() => store.increment('n', 1))
      const call = Promise.resolve(store.increment('n', 1)).catch((error) => error.message)
      await command(port, 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      const message = await call
      if (typeof message === 'string') messages.add(message)
    }
    for (const message of messages) {
      expect(message).toMatch(/closed the connection|connection was lost|ECONNRESET|EPIPE/)
      expect(message).toContain(`127.0.0.1:${port}`)
    }
  })

  test('when it has reached maxclients', async () => {
    const { url, port } = await startServer(['--maxclients', '2'])
    connect(url)
    await connect(url).ping()
    const { code, message } = await failureOf(createStore({ url }).get('k'))
    expect(code).toBe('ERR_CACHE_UNAVAILABLE')
    expect(message).toMatch(/maxclients.*rediss:\/\//)
    expect(message).toContain(`127.0.0.1:${port}`)
  })

  test('when it is loading its data', async () => {
    const primary = await startServer()
    const admin = connect(primary.url)
    for (let from = 0; from < 20_000; from += 1_000) {
      await admin.mset(Array.from({ length: 1_000 }, (_, k) => [`key ${from + k}`, 'v']).flat())
    }
    const delay = ['--key-load-delay', '500', '--loading-process-events-interval-bytes', '1024']
    const { url, port } = await startServer(delay)
    await connect(url).replicaof('127.0.0.1', primary.port)
    await waitUntil('it loads the data of its primary', async () =>
      `${await command(port, 'INFO', 'persistence')}`.includes('loading:1'),
    )
    const { code, message } = await failureOf(createStore({ url }).get('k'))
    expect(code).toBe('ERR_CACHE_UNAVAILABLE')
    expect(message).toMatch(/LOADING .*retry in a moment/)
    expect(message).toContain(`127.0.0.1:${port}`)
  })
})

describe('an injected client', () => {
  test('is used as it is and stays open', async () => {
    const { url } = await startServer()
    const client = connect(url)
    const store = redis({ client, timeout: '20s' })
    await store.set('k', 'v')
    expect(String(await store.get('k'))).toBe('v')
    await store.close()
    expect(await client.get('k')).toBe('v')
  })

  test('with a keyPrefix is rejected, because SCAN would ignore the prefix', async () => {
    const { url } = await startServer()
    const client = new Redis(url, { keyPrefix: 'mine:' })
    cleanups.push(() => client.disconnect())
    expect(() => redis({ client })).toThrow(/must not have a keyPrefix/)
    const error = await failureOf(redis({ client: () => client, timeout: '20s' }).get('k'))
    expect(error.code).toBe('ERR_CACHE_CONFIG')
  })

  // Without the type, the compiler compares all members of the two classes, which takes a second.
  test.each<[string, () => Redis | Cluster]>([
    ['stringNumbers', () => new Redis({ stringNumbers: true, ...lazy })],
    ['stringNumbers', () => new Cluster([], { redisOptions: { stringNumbers: true }, ...lazy })],
    ["scaleReads 'master'.*readFrom", () => new Cluster([], { scaleReads: 'slave', ...lazy })],
    ["scaleReads 'master'.*readFrom", () => new Cluster([], { scaleReads: 'all', ...lazy })],
  ])('whose replies would be wrong is rejected: %s', (message, create) => {
    const client = create()
    cleanups.push(() => client.disconnect())
    expect(() => redis({ client })).toThrow(new RegExp(`client must .*${message}`))
  })

  test.each([null, { get: async () => 'v' }])('of another library is rejected: %o', (other) => {
    const client = other as unknown as Redis
    expect(() => redis({ client })).toThrow(/client must be a client of ioredis/)
  })

  test('that a function returns as a promise is rejected', async () => {
    const client = (async () => undefined) as unknown as () => Redis
    expect((await failureOf(createStore({ client }).get('k'))).code).toBe('ERR_CACHE_CONFIG')
  })

  test('whose function fails makes calls fail; close() does not wait for them', async () => {
    const { url } = await startServer()
    let isReady = false
    const store = redis({
      client: () => {
        if (!isReady) throw new Error('not ready')
        return connect(url)
      },
      timeout: '20s',
    })
    const { code, message } = await failureOf(store.get('k'))
    expect([code, message]).toEqual(['ERR_CACHE_UNAVAILABLE', 'redis connect failed: not ready'])
    isReady = true
    await store.set('k', 'v')
    await store.close()
  })

  test('may be a function, which the first command calls; calls have a timeout', async () => {
    const { url, kill } = await startServer()
    let calls = 0
    const store = createStore({
      client: () => {
        calls++
        return connect(url)
      },
      timeout: '400ms',
    })
    expect(calls).toBe(0)
    await waitUntilSucceeds(() => store.set('k', 'v'))
    kill('SIGSTOP')
    expect((await failureOf(store.get('k'))).code).toBe('ERR_CACHE_TIMEOUT')
    kill('SIGCONT')
    expect(calls).toBe(1)
  })
})
