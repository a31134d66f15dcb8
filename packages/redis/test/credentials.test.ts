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
import { succeeds, until } from './helpers.ts'

let server: RedisServer
let store: ReturnType<typeof redis>

const user = (...passwords: string[]) =>
  command(server.port, 'ACL', 'SETUSER', 'app', 'reset', 'on', '~*', '&*', '+@all', ...passwords)

beforeEach(async () => {
  server = await startRedis()
})

afterEach(async () => {
  vi.useRealTimers()
  await store.close()
  await server.stop()
})

describe('credentials()', () => {
  test('is asked before each connection, so that a rotated password is used', async () => {
    let password = 'one'
    await user('>one')
    store = redis({ url: server.url, credentials: async () => ({ username: 'app', password }) })
    await store.set('k', 'v')
    expect(String(await command(server.port, 'CLIENT', 'LIST'))).toContain('user=app')
    await user('>two')
    password = 'two'
    await command(server.port, 'CLIENT', 'KILL', 'USER', 'app')
    await until('it is connected again', () => succeeds(() => store.get('k')))
    expect(String(await store.get('k'))).toBe('v')
  })

  test('that gives an outdated one is asked again, and says why meanwhile', async () => {
    let password = 'wrong'
    await user('>right')
    store = redis({ url: server.url, credentials: () => ({ username: 'app', password }) })
    await expect(store.get('k')).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      message: expect.stringMatching(/WRONGPASS.*user and password/),
    })
    password = 'right'
    await until('it is connected', () => succeeds(() => store.ping()))
  })

  test('that fails is a coded error with its reason, and is asked again', async () => {
    let works = false
    await user('>right')
    const credentials = async () => {
      if (!works) throw new Error('no token today')
      return { username: 'app', password: 'right' }
    }
    store = redis({ url: server.url, credentials })
    await expect(store.get('k')).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining('no token today'),
    })
    works = true
    await until('it is connected', () => succeeds(() => store.ping()))
  })

  test('that never answers holds nobody up', async () => {
    const credentials = () => new Promise<never>(() => {})
    store = redis({ url: server.url, credentials, connectTimeout: '100ms' })
    await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  })

  test('that failed while the connection was up has not failed the next one', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    let calls = 0
    await user('>right')
    const credentials = async () => {
      calls++
      if (calls === 2) throw new Error('no token now')
      return { username: 'app', password: 'right' }
    }
    const wire = await startProxy(server.port)
    store = redis({ url: wire.url, credentials, timeout: '5s' })
    await store.set('k', 'v')
    vi.advanceTimersByTime(10 * 60_000)
    vi.useRealTimers()
    await until('it has been asked', () => calls === 2)
    const lost = wire.cutReplies()
    expect(String(await store.get('k'))).toBe('v')
    await lost
    await store.close()
    await wire.stop()
  })

  test('is asked every ten minutes, and the server told, while the connection stays', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    let password = 'one'
    await user('>one')
    const credentials = vi.fn(async () => ({ username: 'app', password }))
    store = redis({ url: server.url, credentials })
    await store.set('k', 'v')
    await user('>one', '>two')
    password = 'two'
    vi.advanceTimersByTime(10 * 60_000)
    await until('the server is told', async () => {
      const stats = String(await command(server.port, 'INFO', 'commandstats'))
      return /cmdstat_auth:calls=[1-9]/.test(stats)
    })
    expect(credentials).toHaveBeenCalledTimes(2)
    expect(String(await store.get('k'))).toBe('v')
  })
})

test('a cluster asks for them too', async () => {
  const cluster = await startCluster()
  try {
    const rules = ['reset', 'on', '~*', '&*', '+@all', '>right']
    const ports = cluster.nodes.map(({ port }) => port)
    await Promise.all(ports.map((port) => command(port, 'ACL', 'SETUSER', 'app', ...rules)))
    const clusterNodes = cluster.addresses.map(({ host, port }) => `${host}:${port}`)
    let asked = 0
    const credentials = async () => {
      asked++
      return { username: 'app', password: 'right' }
    }
    store = redis({ clusterNodes, credentials })
    await store.setMany([
      ['a', '1'],
      ['b', '2'],
      ['c', '3'],
    ])
    expect((await store.getMany(['a', 'b', 'c'])).map(String)).toEqual(['1', '2', '3'])
    expect(asked).toBe(1)
    const lists = await Promise.all(ports.map((port) => command(port, 'CLIENT', 'LIST')))
    for (const list of lists) expect(String(list)).toContain('user=app')
  } finally {
    await cluster.stop()
  }
})

test('a cluster that refuses them says so, and nowhere prints them', async () => {
  const cluster = await startCluster()
  try {
    const clusterNodes = cluster.addresses.map(({ host, port }) => `${host}:${port}`)
    store = redis({ clusterNodes, url: 'redis://app:hunter2@ignored' })
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

describe('a user who lacks a permission', () => {
  const lacking = async (...rules: string[]) => {
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
    store = redis({ url: server.url.replace('//', '//app:x@') })
  }

  test('get: compareAndSet is refused, not told that the value is another', async () => {
    await lacking('-get')
    await store.set('k', 'v')
    for (const next of ['w', undefined]) {
      await expect(store.compareAndSet('k', 'v', next)).rejects.toMatchObject({
        code: 'ERR_CACHE_REJECTED',
        message: expect.stringContaining('ACL GETUSER'),
      })
    }
  })

  test('pexpire: no counter is left that never expires', async () => {
    await lacking('-pexpire')
    await Promise.resolve(store.increment('n', 1, 60_000)).catch(() => {})
    expect(await command(server.port, 'TTL', 'n')).not.toBe(-1)
  })
})
