import { inspect } from 'node:util'
import { redis } from '@stowage/redis'
import {
  command,
  type RedisServer,
  startCluster,
  startProxy,
  startRedis,
} from '@stowage/test-servers'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { waitUntil, waitUntilSucceeds } from './helpers.ts'

let server: RedisServer
let store: ReturnType<typeof redis>

const setUser = (...passwords: string[]) =>
  command(server.port, 'ACL', 'SETUSER', 'app', 'reset', 'on', '~*', '&*', '+@all', ...passwords)

beforeEach(async () => {
  server = await startRedis()
})

afterEach(async () => {
  vi.useRealTimers()
  await store.close()
  await server.stop()
})

describe('the credentials function', () => {
  test('is called before each connection, so that a rotated password is used', async () => {
    let password = 'one'
    await setUser('>one')
    store = redis({
      url: server.url,
      credentials: async () => ({ username: 'app', password }),
      timeout: '20s',
    })
    await store.set('k', 'v')
    expect(String(await command(server.port, 'CLIENT', 'LIST'))).toContain('user=app')
    await setUser('>two')
    password = 'two'
    await command(server.port, 'CLIENT', 'KILL', 'USER', 'app')
    await waitUntilSucceeds(() => store.get('k'))
    expect(String(await store.get('k'))).toBe('v')
  })

  test('may return the whole secret: its host and port are not used', async () => {
    await setUser('>one')
    const secret = { username: 'app', password: 'one', host: 'other.example', port: 1, db: 3 }
    store = redis({ url: server.url, credentials: () => secret, timeout: '20s' })
    await store.set('k', 'v')
    expect(await command(server.port, 'GET', 'k')).toBe('v')
  })

  test('is called again after a wrong password; calls reject with the reason meanwhile', async () => {
    let password = 'wrong'
    await setUser('>right')
    store = redis({
      url: server.url,
      credentials: () => ({ username: 'app', password }),
      timeout: '20s',
    })
    await expect(store.get('k')).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      message: expect.stringMatching(/WRONGPASS.*user and password/),
    })
    password = 'right'
    await waitUntilSucceeds(() => store.ping())
  })

  test.each([
    ['rejects without a reason', () => Promise.reject()],
    [
      'throws null',
      () => {
        throw null
      },
    ],
    ['returns nothing', () => undefined as never],
  ])('that %s fails calls, and close() resolves', async (_, credentials) => {
    store = redis({ url: server.url, credentials, timeout: '20s' })
    for (let call = 0; call < 2; call++) {
      await expect(store.get('k')).rejects.toMatchObject({
        code: 'ERR_CACHE_UNAVAILABLE',
        message: expect.stringContaining('credentials() failed'),
      })
    }
  })

  test('is called again after it rejected; calls reject with its reason meanwhile', async () => {
    let works = false
    await setUser('>right')
    const credentials = async () => {
      if (!works) throw new Error('no token')
      return { username: 'app', password: 'right' }
    }
    store = redis({ url: server.url, credentials, timeout: '20s' })
    await expect(store.get('k')).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining('no token'),
    })
    works = true
    await waitUntilSucceeds(() => store.ping())
  })

  test('fails calls in bounded time if it never resolves', async () => {
    const credentials = () => new Promise<never>(() => {})
    store = redis({ url: server.url, credentials, connectTimeout: '100ms' })
    await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  })

  test('that rejects while connected does not fail calls of the next connection', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    let calls = 0
    await setUser('>right')
    const credentials = async () => {
      calls++
      if (calls === 2) throw new Error('no token')
      return { username: 'app', password: 'right' }
    }
    const proxy = await startProxy(server.port)
    store = redis({ url: proxy.url, credentials, timeout: '5s' })
    await store.set('k', 'v')
    vi.advanceTimersByTime(10 * 60_000)
    vi.useRealTimers()
    await waitUntil('it is called', () => calls === 2)
    const lost = proxy.cutReplies()
    expect(String(await store.get('k'))).toBe('v')
    await lost
    await store.close()
    await proxy.stop()
  })

  test('is called every ten minutes, and the open connection is authenticated again', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    let password = 'one'
    await setUser('>one')
    const credentials = vi.fn(async () => ({ username: 'app', password }))
    store = redis({ url: server.url, credentials, timeout: '20s' })
    await store.set('k', 'v')
    await setUser('>one', '>two')
    password = 'two'
    vi.advanceTimersByTime(10 * 60_000)
    await waitUntil('the connection is authenticated', async () => {
      const stats = String(await command(server.port, 'INFO', 'commandstats'))
      return /cmdstat_auth:calls=[1-9]/.test(stats)
    })
    expect(credentials).toHaveBeenCalledTimes(2)
    expect(String(await store.get('k'))).toBe('v')
  })
})

test('a cluster uses the credentials function', async () => {
  const cluster = await startCluster()
  try {
    const rules = ['reset', 'on', '~*', '&*', '+@all', '>right']
    const ports = cluster.nodes.map(({ port }) => port)
    await Promise.all(ports.map((port) => command(port, 'ACL', 'SETUSER', 'app', ...rules)))
    const clusterNodes = cluster.addresses.map(({ host, port }) => `${host}:${port}`)
    let calls = 0
    const credentials = async () => {
      calls++
      return { username: 'app', password: 'right' }
    }
    store = redis({ clusterNodes, credentials, timeout: '20s' })
    await store.setMany([
      ['a', '1'],
      ['b', '2'],
      ['c', '3'],
    ])
    expect((await store.getMany(['a', 'b', 'c'])).map(String)).toEqual(['1', '2', '3'])
    expect(calls).toBe(1)
    const lists = await Promise.all(ports.map((port) => command(port, 'CLIENT', 'LIST')))
    for (const list of lists) expect(String(list)).toContain('user=app')
  } finally {
    await cluster.stop()
  }
})

test('credentials that a cluster rejects are not part of the error', async () => {
  const cluster = await startCluster()
  try {
    const clusterNodes = cluster.addresses.map(({ host, port }) => `${host}:${port}`)
    store = redis({ clusterNodes, url: 'redis://app:hunter2@ignored', timeout: '20s' })
    const error = await Promise.resolve(store.get('k')).catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      message: expect.stringContaining('WRONGPASS'),
    })
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('hunter2')
  } finally {
    await cluster.stop()
  }
})

describe('a user without a permission', () => {
  const connectWith = async (...rules: string[]) => {
    await command(
      server.port,
      'ACL',
      'SETUSER',
      'app',
      'reset',
      'on',
      '>x',
      '~*',
      '+@all',
      ...rules,
    )
    store = redis({ url: server.url.replace('//', '//app:x@'), timeout: '20s' })
  }

  test('get: compareAndSet rejects instead of resolving to false', async () => {
    await connectWith('-get')
    await store.set('k', 'v')
    for (const next of ['w', undefined]) {
      await expect(store.compareAndSet('k', 'v', next)).rejects.toMatchObject({
        code: 'ERR_CACHE_REJECTED',
        message: expect.stringContaining('ACL GETUSER'),
      })
    }
  })

  test('pexpire: increment leaves no counter without expiry', async () => {
    await connectWith('-pexpire')
    await Promise.resolve(store.increment('n', 1, 60_000)).catch(() => {})
    expect(await command(server.port, 'TTL', 'n')).not.toBe(-1)
  })
})
