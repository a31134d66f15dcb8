import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { memcached } from '@stowage/memcached'
import { startMemcached, variantGroups } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
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
writeFileSync(authFile, 'app:p@ss\nspaced:pa ss\n')
const textOnly = await startMemcached({ args: ['-B', 'ascii', '-Y', authFile] })
afterAll(async () => {
  await server.stop()
  await textOnly.stop()
  rmSync(folder, { recursive: true })
})

/** A handshake takes long on a busy machine. */
const patient = { timeout: '20s', connectTimeout: '20s' } as const

/** A host name and an IP address, as a configuration endpoint lists them. The certificate is for the host name. */
const tlsNode = { host: 'cache.test', port: server.port, ip: '127.0.0.1' }

const createTlsStore = () => memcached({ servers: [tlsNode], tls: { ca }, ...patient })
const wait = async (ms: number) => sleep(ms)

describe('TLS', () => {
  conform(test, createTlsStore, { wait, concurrent: test.concurrent, groups: variantGroups })
})

test('rejects a certificate for another host name', async () => {
  const store = memcached({
    servers: [{ ...tlsNode, host: 'other.test' }],
    tls: { ca },
    ...patient,
  })
  await expect(store.get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringMatching(/altnames|certificate/),
  })
  await store.close()
})

test('rejects a self-signed certificate', async () => {
  const store = memcached({ servers: [tlsNode], tls: true, ...patient })
  await expect(store.get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringMatching(/certificate/),
  })
  await store.close()
})

test.each([
  ['spaced', 'pa ss'],
  ['app', 'p@ss '],
  ['an app', 'p@ss'],
])(
  'credentials with a space, %s and %s, are an error of the configuration in the text protocol',
  async (username, password) => {
    const store = memcached({ servers: [textOnly.address], username, password, ...patient })
    const error = await (async () => store.get('k'))().catch((reason) => reason)
    expect(error).toMatchObject({ code: 'ERR_CACHE_CONFIG' })
    expect(error.message).toContain('space')
    expect(error.message).not.toContain(password)
    await store.close()
  },
)

test('authenticates in the text protocol', async () => {
  const servers = [textOnly.address]
  const store = memcached({ servers, username: 'app', password: 'p@ss', ...patient })
  await store.set('k', 'v')
  expect(String(await store.get('k'))).toBe('v')
  await store.close()
  const wrongPassword = memcached({ servers, username: 'app', password: 'wrong', ...patient })
  await expect(wrongPassword.get('k')).rejects.toMatchObject({
    message: expect.not.stringContaining('wrong'),
  })
  await wrongPassword.close()
})

test('authenticates with SASL', async () => {
  const configFolder = join(folder, 'sasl')
  mkdirSync(configFolder)
  const socketPath = join(configFolder, 'mux')
  const saslauthd = await startSaslauthd(socketPath, { app: 'p@ss' })
  const lines = ['mech_list: plain', 'pwcheck_method: saslauthd', `saslauthd_path: ${socketPath}`]
  writeFileSync(join(configFolder, 'memcached.conf'), lines.join('\n'))
  const saslServer = await startMemcached({ args: ['-S'], env: { SASL_CONF_PATH: configFolder } })
  const servers = [saslServer.address]
  const noCredentials = memcached({ servers, ...patient })
  const wrongPassword = memcached({ servers, username: 'app', password: 'guess', ...patient })
  const store = memcached({ servers, username: 'app', password: 'p@ss', ...patient })
  try {
    await expect(noCredentials.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    await expect(wrongPassword.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    await store.set('k', 'v')
    expect(String(await store.get('k'))).toBe('v')
  } finally {
    await Promise.all([noCredentials.close(), wrongPassword.close(), store.close()])
    await saslServer.stop()
    saslauthd.close()
  }
})

/**
 * Starts a replacement for saslauthd, which libsasl queries to verify a password. A query is four strings with a 16-bit
 * length each, of which the first two are the user name and the password.
 */
async function startSaslauthd(path: string, users: Readonly<Record<string, string>>) {
  const server = createServer((socket) =>
    socket.once('data', (query) => {
      const userEnd = 2 + query.readUInt16BE(0)
      const user = query.toString('utf8', 2, userEnd)
      const password = query.toString(
        'utf8',
        userEnd + 2,
        userEnd + 2 + query.readUInt16BE(userEnd),
      )
      socket.end(users[user] === password ? '\0\x02OK' : '\0\x02NO')
    }),
  )
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return server
}
