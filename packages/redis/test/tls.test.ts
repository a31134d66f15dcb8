import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { redis } from '@stowage/redis'
import { type RedisServer, startRedis } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'stowage-tls-'))
const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
let server: RedisServer

beforeAll(async () => {
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']
  const output = ['-keyout', files.key, '-out', files.cert, '-days', '2']
  const arguments_ = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...output, ...subject]
  execFileSync('openssl', arguments_, { stdio: 'ignore' })
  server = await startRedis({ tls: files, args: ['--requirepass', 'p@ss?#'] })
})

afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true })
})

const ca = () => readFileSync(files.cert)
const url = () => `rediss://:${encodeURIComponent('p@ss?#')}@127.0.0.1:${server.port}/3`

test('rediss:// speaks TLS, with a password of special characters and a database', async () => {
  const store = redis({ url: url(), tls: { ca: ca() } })
  await store.setMany(
    [
      ['a', '1'],
      ['b', '2'],
    ],
    60_000,
  )
  expect((await store.getMany(['a', 'b'])).map(String)).toEqual(['1', '2'])
  await store.close()
})

test('a certificate nobody vouches for is refused', async () => {
  const store = redis({ url: url() })
  await expect(store.get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringMatching(/certificate/),
  })
  await store.close()
})

describe('a user who may do only what the README names', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const documented = readme.match(/`~prefix:\* ([^`]+)`/)?.[1]?.split(' ') ?? []
  let admin: Redis

  async function permit(user: string, ...permissions: string[]): Promise<void> {
    await admin.acl('SETUSER', user, 'reset', 'on', '>pw', ...permissions)
  }

  const storeOf = (user: string, database = '') =>
    redis({
      url: `rediss://${user}:pw@127.0.0.1:${server.port}/${database}`,
      tls: { ca: ca() },
      maxValueBytes: 1_048_576,
    })

  beforeAll(async () => {
    admin = new Redis(server.port, { password: 'p@ss?#', tls: { ca: ca() } })
    await permit('app', '~app:*', ...documented)
    // The kit uses all keys of a database of its own.
    await permit('kit', '~*', ...documented, '+select', '+flushdb')
  })
  afterAll(() => admin.disconnect())

  conform(test, () => storeOf('kit', '3'), { wait: async (ms) => sleep(ms) })

  test('can do everything with a cache of this prefix', async () => {
    const store = storeOf('app')
    const cache = new Cache(store, { prefix: 'app:' })
    await cache.setMany([
      ['a', 1],
      ['b', 2],
    ])
    expect(await cache.remember('c', { ttl: '1m' }, () => 3)).toBe(3)
    expect(await cache.increment('n', 1, { ttl: '1m' })).toBe(1)
    expect(await cache.touch('n', { ttl: Infinity })).toBe(true)
    expect(await cache.getMany(['a', 'b', 'c', 'n'])).toEqual([1, 2, 3, 1])
    await cache.clear()
    expect(await cache.getMany(['a', 'n'])).toEqual([undefined, undefined])
    await cache.close()
  })

  test('is refused a key of another one, with the reason', async () => {
    const store = storeOf('app')
    await expect(store.set('other:k', 'v')).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      message: expect.stringMatching(/NOPERM.*ACL GETUSER/),
    })
    await store.close()
  })

  test('can do without INFO, of which the client warns', async () => {
    await permit('uninformed', '~app:*', ...documented, '-info')
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const store = storeOf('uninformed')
    expect(await store.increment('app:uninformed', 1, 60_000)).toBe(1)
    expect(warn).toHaveBeenCalledTimes(1)
    warn.mockRestore()
    await store.close()
  })
})
