import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { memcached } from '@stowage/memcached'
import { startMemcached } from '@stowage/test-servers'
import { conform, conformance } from '@stowage/testing'
import { afterAll, describe, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'stowage-memcached-'))
const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
execFileSync(
  'openssl',
  [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=cache.test'],
    ...['-addext', 'subjectAltName=DNS:cache.test', '-keyout', files.key, '-out', files.cert],
  ],
  { stdio: 'ignore' },
)
const ca = readFileSync(files.cert)
const server = await startMemcached({ tls: files })
const authFile = join(folder, 'users')
writeFileSync(authFile, 'app:p@ss\n')
const textOnly = await startMemcached({ args: ['-B', 'ascii', '-Y', authFile] })
afterAll(async () => {
  await server.stop()
  await textOnly.stop()
  rmSync(folder, { recursive: true })
})

/** A name that leads to the server: the address is told apart from it, as by a configuration endpoint. */
const named = { host: 'cache.test', port: server.port, ip: '127.0.0.1' }

const groups = [...new Set(conformance.map(({ group }) => group))].filter(
  (group) => group !== 'clear',
)
const encrypted = () => memcached({ servers: [named], tls: { ca }, timeout: '5s' })
const wait = async (ms: number) => sleep(ms)

describe.concurrent('TLS', () => {
  conform(test, encrypted, { wait, groups })
})

describe('TLS, emptied', () => {
  conform(test, encrypted, { wait, groups: ['clear'] })
})

test('a certificate of another name is refused', async () => {
  const store = memcached({ servers: [{ ...named, host: 'other.test' }], tls: { ca } })
  await expect(store.get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringMatching(/altnames|certificate/),
  })
  await store.close()
})

test('a certificate nobody vouches for is refused', async () => {
  const store = memcached({ servers: [named], tls: true })
  await expect(store.get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringMatching(/certificate/),
  })
  await store.close()
})

test('text protocol with a password', async () => {
  const servers = [textOnly.address]
  const store = memcached({ servers, username: 'app', password: 'p@ss' })
  await store.set('k', 'v')
  expect(String(await store.get('k'))).toBe('v')
  await store.close()
  const wrong = memcached({ servers, username: 'app', password: 'wrong' })
  const failure = expect(wrong.get('k')).rejects
  await failure.toMatchObject({ message: expect.not.stringContaining('wrong') })
  await wrong.close()
})

test('SASL', async () => {
  const config = join(folder, 'sasl')
  mkdirSync(config)
  const passwords = await startPasswords(join(config, 'mux'), { app: 'p@ss' })
  const lines = ['mech_list: plain', 'pwcheck_method: saslauthd', `saslauthd_path: ${config}/mux`]
  writeFileSync(join(config, 'memcached.conf'), lines.join('\n'))
  const guarded = await startMemcached({ args: ['-S'], env: { SASL_CONF_PATH: config } })
  const servers = [guarded.address]
  const none = memcached({ servers })
  const wrong = memcached({ servers, username: 'app', password: 'guess' })
  const store = memcached({ servers, username: 'app', password: 'p@ss' })
  try {
    await expect(none.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    await expect(wrong.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    await store.set('k', 'v')
    expect(String(await store.get('k'))).toBe('v')
  } finally {
    await Promise.all([none.close(), wrong.close(), store.close()])
    await guarded.stop()
    passwords.close()
  }
})

/** What libsasl asks whether a password is right: four counted texts, of which the first two are user and password. */
async function startPasswords(path: string, users: Readonly<Record<string, string>>) {
  const daemon = createServer((socket) =>
    socket.once('data', (question) => {
      const userEnd = 2 + question.readUInt16BE(0)
      const user = question.toString('utf8', 2, userEnd)
      const password = question.toString(
        'utf8',
        userEnd + 2,
        userEnd + 2 + question.readUInt16BE(userEnd),
      )
      socket.end(users[user] === password ? '\0\x02OK' : '\0\x02NO')
    }),
  )
  await new Promise<void>((resolve) => daemon.listen(path, resolve))
  return daemon
}
