import { inspect } from 'node:util'
import { CacheError } from '@stowage/core'
import { redis } from '@stowage/redis'
import { freePort, type RedisServer, startRedis } from '@stowage/test-servers'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'

const secret = 'hunter2'
const sessionId = 'a-session-id'
const opened: { close?: () => Promise<void>; stop?: () => Promise<void> }[] = []

afterEach(async () => {
  for (const open of opened.splice(0).reverse()) await (open.close?.() ?? open.stop?.())
})

async function server(args: string[] = [], port?: number): Promise<RedisServer> {
  const started = await startRedis({ args, ...(port !== undefined && { port }) })
  opened.push(started)
  return started
}

function store(...options: Parameters<typeof redis>) {
  const made = redis(...options)
  opened.push(made)
  return made
}

async function failureOf(call: unknown): Promise<CacheError> {
  const error = await Promise.resolve(call).then(
    () => expect.unreachable('the call should have failed'),
    (thrown: unknown) => thrown,
  )
  expect(CacheError.is(error)).toBe(true)
  return error as CacheError
}

/** Asks until the store answers again; a bound that only a store that never recovers reaches. */
async function recovered(get: () => unknown): Promise<void> {
  const deadline = Date.now() + 20_000
  for (;;) {
    try {
      await get()
      return
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

describe('connecting', () => {
  test('the constructor opens nothing, the first command connects', async () => {
    const { url } = await server()
    const made = store({ url })
    const admin = new Redis(url)
    opened.push({ stop: async () => void admin.disconnect() })
    const clients = async () =>
      String(await admin.client('LIST'))
        .trim()
        .split('\n').length
    expect(await clients()).toBe(1)
    await Promise.all([made.set('a', '1'), made.get('a'), made.get('b')])
    expect(await clients()).toBe(2)
  })

  test('no server: every call fails at once, with the reason', async () => {
    const made = store({ url: 'redis://127.0.0.1:1' })
    const error = await failureOf(made.get(sessionId))
    expect(error).toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE', retryable: true, store: 'redis' })
    expect(error.message).toMatch(/ECONNREFUSED/)
  })

  test('a server that accepts and stays silent costs the deadline, not more', async () => {
    const { url, kill } = await server()
    kill('SIGSTOP')
    const made = store({ url, timeout: '50ms', connectTimeout: '50ms' })
    const error = await failureOf(made.get('k'))
    expect(['ERR_CACHE_TIMEOUT', 'ERR_CACHE_UNAVAILABLE']).toContain(error.code)
    kill('SIGCONT')
    await recovered(() => made.get('k'))
  })
})

describe('a connection that is lost', () => {
  test('recovers by itself when the server comes back', async () => {
    const first = await server()
    const made = store({ url: first.url })
    await made.set('k', 'v')
    await first.stop()
    expect((await failureOf(made.get('k'))).code).toBe('ERR_CACHE_UNAVAILABLE')
    await server([], first.port)
    await recovered(() => made.set('k', 'new'))
    expect(String(await made.get('k'))).toBe('new')
  })

  test('fails the commands that were under way, and sends none of them again', async () => {
    const { url, kill, port, stop } = await server()
    const made = store({ url })
    await made.increment('n', 1)
    kill('SIGSTOP')
    const pending = Promise.all([failureOf(made.increment('n', 1)), failureOf(made.get('n'))])
    await stop()
    for (const { code } of await pending) expect(code).toBe('ERR_CACHE_UNAVAILABLE')
    await server([], port)
    await recovered(() => made.ping())
    expect(await made.get('n')).toBeUndefined()
  })

  test('a frozen server: calls end by their deadline, and all is well after it', async () => {
    const { url, kill } = await server()
    const made = store({ url, timeout: '50ms' })
    await made.set('k', 'v')
    kill('SIGSTOP')
    const errors = await Promise.all(Array.from({ length: 20 }, () => failureOf(made.get('k'))))
    for (const { code } of errors) expect(code).toBe('ERR_CACHE_TIMEOUT')
    kill('SIGCONT')
    await recovered(() => made.get('k'))
  })
})

test('a process that was busy does not take its own delay for the server’s', async () => {
  const { url } = await server()
  const made = store({ url, timeout: '40ms' })
  await made.set('k', 'v')
  const asked = made.get('k')
  const busyUntil = Date.now() + 400
  while (Date.now() < busyUntil);
  expect(String(await asked)).toBe('v')
})

describe('a server that refuses', () => {
  test('a wrong password is named with its remedy', async () => {
    const { port } = await server(['--requirepass', 'right'])
    const made = store({ url: `redis://:${secret}@127.0.0.1:${port}` })
    const error = await failureOf(made.get(sessionId))
    expect(error).toMatchObject({ code: 'ERR_CACHE_REJECTED', retryable: false })
    expect(error.message).toMatch(/WRONGPASS.*REDIS_URL/)
  })

  test('no password where one is needed', async () => {
    const { url } = await server(['--requirepass', 'right'])
    expect((await failureOf(store({ url }).get('k'))).message).toMatch(/NOAUTH.*REDIS_URL/)
  })

  test('a database that does not exist: nothing is written to another one', async () => {
    const { port, url } = await server()
    const made = store({ url: `redis://127.0.0.1:${port}/99` })
    for (let attempt = 0; attempt < 3; attempt++) {
      expect((await failureOf(made.set('k', 'v'))).message).toMatch(/DB index is out of range/)
    }
    expect(await store({ url }).get('k')).toBeUndefined()
  })

  test('a full server says what to do', async () => {
    const { url } = await server(['--maxmemory', '1', '--maxmemory-policy', 'noeviction'])
    const error = await failureOf(store({ url }).set('k', 'v'))
    expect(error).toMatchObject({ code: 'ERR_CACHE_REJECTED', retryable: true })
    expect(error.message).toMatch(/maxmemory/)
  })

  test('a user without a permission', async () => {
    const { port, url } = await server()
    const admin = new Redis(url)
    opened.push({ stop: async () => void admin.disconnect() })
    await admin.acl('SETUSER', 'app', 'on', '>pw', '~*', '+@all', '-set')
    const made = store({ url: `redis://app:pw@127.0.0.1:${port}` })
    expect((await failureOf(made.set('k', 'v'))).message).toMatch(/NOPERM/)
  })
})

test('no error shows a key, a value or a password', async () => {
  const { port } = await server(['--requirepass', 'right', '--rename-command', 'GET', 'HIDDEN'])
  const wrong = store({ url: `redis://:${secret}@127.0.0.1:${port}` })
  const crippled = store({ url: `redis://:right@127.0.0.1:${port}` })
  const errors = await Promise.all([
    failureOf(wrong.set(sessionId, secret)),
    failureOf(crippled.get(sessionId)),
    failureOf(store({ url: 'redis://127.0.0.1:1' }).set(sessionId, secret)),
  ])
  await crippled.set(sessionId, `"${secret}"`)
  errors.push(await failureOf(crippled.increment(sessionId, 1)))
  for (const error of errors) {
    const shown = `${inspect(error, { depth: 9, showHidden: false })}${JSON.stringify(error)}`
    expect(shown).not.toContain(secret)
    expect(shown).not.toContain(sessionId)
    expect(shown).not.toContain('right')
  }
})

test('close answers what was asked before it, and ends the connection', async () => {
  const { url } = await server()
  const made = store({ url })
  await made.ping()
  const asked = Promise.all([made.set('a', '1'), made.get('a')])
  const closing = made.close()
  expect((await asked)[1]).toEqual(Buffer.from('1'))
  await closing
  expect((await failureOf(made.get('a'))).code).toBe('ERR_CACHE_CLOSED')
})

test('close waits for a script the server had to be sent twice', async () => {
  const { url } = await server()
  const made = store({ url })
  await made.ping()
  const counting = made.increment('n', 1)
  await made.close()
  expect(await counting).toBe(1)
})

test('a process that is busy after its first call still gets its answer', async () => {
  const { url } = await server()
  const made = store({ url, timeout: '40ms', connectTimeout: '40ms' })
  const asked = made.get('k')
  const busyUntil = Date.now() + 500
  while (Date.now() < busyUntil);
  expect(await asked).toBeUndefined()
})

describe('the reason for an outage', () => {
  test('follows the server: from none at all to one that asks for a password, to one that is well', async () => {
    const port = await freePort()
    const made = store({ url: `redis://127.0.0.1:${port}` })
    expect((await failureOf(made.get('k'))).message).toMatch(/get failed: .*ECONNREFUSED/)
    const guarded = await server(['--requirepass', 'right'], port)
    const deadline = Date.now() + 20_000
    let message = ''
    while (!message.includes('NOAUTH') && Date.now() < deadline) {
      ;({ message } = await failureOf(made.get('k')))
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect(message).toMatch(/NOAUTH/)
    await guarded.stop()
    await server([], port)
    await recovered(() => made.get('k'))
  })

  test('that the database is refused ends when it is allowed', async () => {
    const { port, url } = await server()
    const admin = new Redis(url)
    opened.push({ stop: async () => void admin.disconnect() })
    await admin.acl('SETUSER', 'app', 'on', '>pw', '~*', '+@all', '-select')
    const made = store({ url: `redis://app:pw@127.0.0.1:${port}/3` })
    expect((await failureOf(made.set('k', 'v'))).message).toMatch(/NOPERM/)
    await admin.acl('SETUSER', 'app', '+select')
    await recovered(() => made.set('k', 'v'))
    expect(await admin.get('k')).toBeNull()
  })
})

describe('a client of one’s own', () => {
  test('is used as it is and left open', async () => {
    const { url } = await server()
    const client = new Redis(url)
    opened.push({ stop: async () => void client.disconnect() })
    const made = redis({ client })
    await made.set('k', 'v')
    expect(String(await made.get('k'))).toBe('v')
    await made.close()
    expect(await client.get('k')).toBe('v')
  })

  test('may be a function, called with the first command; it gets a deadline', async () => {
    const { url, kill } = await server()
    let asked = 0
    const made = store({
      client: () => {
        asked++
        const client = new Redis(url)
        opened.push({ stop: async () => void client.disconnect() })
        return client
      },
      timeout: '50ms',
    })
    expect(asked).toBe(0)
    await made.set('k', 'v')
    kill('SIGSTOP')
    expect((await failureOf(made.get('k'))).code).toBe('ERR_CACHE_TIMEOUT')
    kill('SIGCONT')
    expect(asked).toBe(1)
  })
})
