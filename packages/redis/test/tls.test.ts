import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import { Cache } from '@stowage/core'
import { checkBackend } from '@stowage/core/tools'
import { redis } from '@stowage/redis'
import { type RedisServer, startRedis, variantGroups } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'stowage-tls-'))
const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
let server: RedisServer

beforeAll(async () => {
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']
  const output = ['-keyout', files.key, '-out', files.cert, '-days', '2']
  const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...output, ...subject]
  execFileSync('openssl', args, { stdio: 'ignore' })
  server = await startRedis({ tls: files, args: ['--requirepass', 'p@ss?#'] })
})

afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true })
})

const ca = () => readFileSync(files.cert)
const url = () => `rediss://:${encodeURIComponent('p@ss?#')}@127.0.0.1:${server.port}/3`

test('rediss:// connects over TLS, with special characters in the password and a database', async () => {
  const store = redis({ url: url(), tls: { ca: ca() }, timeout: '20s' })
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

test('an untrusted certificate is rejected', async () => {
  const store = redis({ url: url(), timeout: '20s' })
  await expect(store.get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringMatching(/certificate/),
  })
  const { findings = [] } = (await checkBackend(new Cache(store))) ?? {}
  expect(findings).toMatchObject([
    { code: 'unreachable', remedy: expect.stringContaining('NODE_EXTRA_CA_CERTS') },
  ])
  await store.close()
})

test('an alert that arrives after a certificate was rejected does not end the process', async () => {
  const connect = vi.spyOn(tls, 'connect')
  const store = redis({ url: url(), timeout: '20s' })
  await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  const sockets = connect.mock.results.map(({ value }) => value as tls.TLSSocket)
  connect.mockRestore()
  expect(sockets.length).toBeGreaterThan(0)
  // As Node does, also on a socket that is closed.
  for (const socket of sockets) socket.emit('error', new Error('tlsv1 alert decode error'))
  await store.close()
})

test('redis:// to a port with TLS fails, and names rediss://', async () => {
  const store = redis({ url: url().replace('rediss:', 'redis:'), timeout: '20s' })
  await expect(store.get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringMatching(/expects TLS \(rediss:\/\/\)/),
  })
  await store.close()
})

describe('a user with only the permissions in the README', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const documented = readme.match(/~session:\* ([^`]+)`/)?.[1]?.split(' ') ?? []
  let admin: Redis

  async function setUser(user: string, ...permissions: string[]): Promise<void> {
    await admin.acl('SETUSER', user, 'reset', 'on', '>pw', ...permissions)
  }

  const createStore = (user: string, database = '') =>
    redis({
      url: `rediss://${user}:pw@127.0.0.1:${server.port}/${database}`,
      tls: { ca: ca() },
      maxValueBytes: 1_048_576,
      timeout: '20s',
    })

  beforeAll(async () => {
    admin = new Redis(server.port, { password: 'p@ss?#', tls: { ca: ca() } })
    await setUser('app', '~app:*', ...documented)
    // The conformance suite uses all keys of its own database.
    await setUser('suite', '~*', ...documented, '+select', '+flushdb')
  })
  afterAll(() => admin.disconnect())

  conform(test, () => createStore('suite', '3'), {
    wait: async (ms) => sleep(ms),
    groups: variantGroups,
  })

  test('can call every method of a cache with its prefix', async () => {
    const store = createStore('app')
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

  test('cannot write a key outside its prefix, and gets the reason', async () => {
    const store = createStore('app')
    await expect(store.set('other:k', 'v')).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      message: expect.stringMatching(/NOPERM.*ACL GETUSER/),
    })
    await store.close()
  })

  test('works without the permission to run INFO; ioredis prints a warning', async () => {
    await setUser('noinfo', '~app:*', ...documented, '-info')
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const store = createStore('noinfo')
    expect(await store.increment('app:n2', 1, 60_000)).toBe(1)
    expect(warn).toHaveBeenCalledTimes(1)
    warn.mockRestore()
    await store.close()
  })
})
