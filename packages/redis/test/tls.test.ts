import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { redis } from '@stowage/redis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../../../scripts/lib/redis-server.mjs'

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

const url = () => `rediss://:${encodeURIComponent('p@ss?#')}@127.0.0.1:${server.port}/3`

test('rediss:// speaks TLS, with a password of special characters and a database', async () => {
  const store = redis({ url: url(), tls: { ca: readFileSync(files.cert) } })
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
