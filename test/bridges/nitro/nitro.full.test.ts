// A server of Nitro, built once, whose cache is in the backend that the variables of its process name.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ensureTable } from '@stowage/dynamodb'
import {
  command,
  type RedisServer,
  sharedDynamoDB,
  startMemcached,
  startRedis,
} from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'

const app = fileURLToPath(new URL('app', import.meta.url))
const nitro = join(
  dirname(createRequire(import.meta.url).resolve('nitropack/package.json')),
  'dist/cli/index.mjs',
)

const folder = mkdtempSync(join(tmpdir(), 'stowage-nitro-'))
let redis: RedisServer
beforeAll(async () => {
  redis = await startRedis()
  const env = { ...process.env, BUILD_FOLDER: folder, OTHER_REDIS_URL: redis.url }
  await promisify(execFile)(process.execPath, [nitro, 'build'], { cwd: app, env })
}, 400_000)
afterAll(async () => {
  await redis.stop()
  rmSync(folder, { recursive: true, force: true })
})

type Variables = Readonly<Record<string, string>>
type Get = (path: string) => Promise<string>

const running: ChildProcess[] = []
afterEach(async () => {
  const ends = running.splice(0).map((child) => {
    const ended = once(child, 'exit')
    return child.kill('SIGKILL') ? ended : undefined
  })
  await Promise.all(ends)
})

/** Starts the server that was built. */
async function start(variables: Variables): Promise<Get> {
  const child = spawn(process.execPath, [join(folder, 'output/server/index.mjs')], {
    env: { ...process.env, ...variables, CACHE_PREFIX: 'app:', HOST: '127.0.0.1', PORT: '0' },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  running.push(child)
  for await (const line of createInterface({ input: child.stdout })) {
    const [, url] = line.match(/^Listening on (.*)$/) ?? []
    if (url !== undefined) return async (path) => (await fetch(url + path)).text()
  }
  throw new Error('The server has ended.')
}

const backends: Readonly<
  Record<string, () => Promise<{ variables: Variables; stop: () => Promise<unknown> }>>
> = {
  async redis() {
    const { url: REDIS_URL } = redis
    return { variables: { REDIS_URL }, stop: async () => {} }
  },
  async memcached() {
    const { address, stop } = await startMemcached()
    return { variables: { MEMCACHED_SERVERS: address }, stop }
  },
  async dynamodb() {
    const { url, env, stop } = await sharedDynamoDB()
    const { AWS_REGION: region, AWS_ACCESS_KEY_ID: accessKeyId } = env
    const credentials = { accessKeyId, secretAccessKey: env.AWS_SECRET_ACCESS_KEY }
    await ensureTable({ table: 'nitro', endpoint: url, region, credentials })
    return { variables: { ...env, DYNAMODB_ENDPOINT: url, CACHE_TABLE: 'nitro' }, stop }
  },
}

describe.each(Object.keys(backends))('Nitro on %s', (driver) => {
  let backend: Awaited<ReturnType<NonNullable<(typeof backends)[string]>>>
  beforeAll(async () => {
    backend = await (backends[driver] as NonNullable<(typeof backends)[string]>)()
  })
  afterAll(() => backend?.stop())

  test('a process uses what another one has stored, and replaces it after its maxAge', async () => {
    const variables = { CACHE_DRIVER: driver, ...backend.variables }
    const [first, second] = await Promise.all([start(variables), start(variables)])
    for (const path of ['/function?id=1', '/handler']) {
      const stored = await storedBy(first, path)
      expect(await second(path)).toBe(stored)
    }
    const rule = await first('/rule')
    await expect.poll(() => second('/rule')).not.toBe(rule)
  })
})

/** Requests a page until its response comes from the cache: Nitro stores it after it has responded. */
async function storedBy(get: Get, path: string): Promise<string> {
  let before: string
  let text = await get(path)
  do {
    before = text
    text = await get(path)
  } while (text !== before)
  return text
}

describe('what Nitro stores in Redis', () => {
  const ttlsOf = async (pattern: string) => {
    const keys = (await command(redis.port, 'KEYS', pattern)) as string[]
    return Promise.all(keys.map((key) => command(redis.port, 'TTL', key)))
  }

  test('has a ttl, which it has not with the driver of unstorage', async () => {
    await command(redis.port, 'FLUSHALL')
    const get = await start({ CACHE_DRIVER: 'redis', REDIS_URL: redis.url })
    for (const path of ['/function?id=1', '/handler', '/rule', '/function?id=1&other'])
      await get(path)
    await expect.poll(() => command(redis.port, 'DBSIZE')).toBe(4)
    expect(await ttlsOf('other:*')).toEqual([-1])
    const ttls = await ttlsOf('app:*')
    expect(ttls).toHaveLength(3)
    for (const ttl of ttls) {
      expect(ttl).toBeGreaterThan(0)
      expect(ttl).toBeLessThanOrEqual(3_600)
    }
  })
})

test.each(['refuses connections', 'is frozen'])(
  'Nitro responds if the backend %s',
  async (fault) => {
    const server = await startRedis()
    onTestFinished(() => server.stop())
    if (fault === 'is frozen') server.kill('SIGSTOP')
    else await server.stop()
    const get = await start({ CACHE_DRIVER: 'redis', REDIS_URL: server.url })
    for (const path of ['/function?id=1', '/handler', '/rule']) {
      expect(await get(path)).toMatch(/^1 of /)
      expect(await get(path)).toMatch(/^2 of /)
    }
  },
)
