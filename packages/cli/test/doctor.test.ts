import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureTable } from '@stowage/dynamodb'
import {
  command,
  type DynamoDBDatabase,
  freePort,
  type MemcachedServer,
  type RedisServer,
  type Replicated,
  startMemcached,
  startProxy,
  startRedis,
  startReplicated,
} from '@stowage/test-servers'
import { configurationEndpoint } from '@stowage/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Backends,
  connectionTo,
  createTableWithoutTtl,
  local,
  onTable,
  redisAt,
  startBackends,
} from './backends.ts'
import { Folder, parsed, spawned } from './stowage.ts'

interface Finding {
  readonly code: string
  readonly severity: string
  readonly subject: string
  readonly problem: string
  readonly remedy: string
  readonly stores: readonly string[]
}

let backends: Backends
let redis: RedisServer
let replicated: Replicated
let memcached: MemcachedServer
let dynamodb: DynamoDBDatabase
let folder: Folder

beforeAll(async () => {
  backends = await startBackends()
  ;({ redis, replicated, memcached, dynamodb } = backends)
})
afterAll(() => backends.stop())
beforeEach(() => {
  folder = new Folder()
})
afterEach(() => folder.remove())

/** Runs the doctor in both formats. The codes of its findings, and the texts for people, must agree. */
function diagnose(variables: Record<string, string>, code: number): Promise<Finding[]> {
  return diagnoseWith((args, env) => folder.run(args, env), variables, code)
}

/** The same in processes: for options of Node, and for paths relative to the working directory. */
function diagnoseInProcesses(variables: Record<string, string>, code: number) {
  return diagnoseWith((args, env) => folder.spawn(args, env), variables, code)
}

async function diagnoseWith(run: Folder['run'], variables: Record<string, string>, code: number) {
  const env = { NODE_ENV: 'test', ...variables }
  const runPatiently = async (args: string[]) => {
    for (let attempts = 1; ; attempts++) {
      const outcome = await run(args, env)
      // The server of a busy machine may be late.
      const isLate = outcome.code !== code && /did not reply in time/.test(outcome.stdout)
      if (!isLate || attempts === 5) return outcome
    }
  }
  const json = await runPatiently(['doctor', '--json'])
  const text = await runPatiently(['doctor'])
  const { findings } = parsed(json) as { findings: Finding[] }
  expect([json.code, text.code], text.stdout).toEqual([code, code])
  // What was measured differs between the two runs.
  const normal = (part: string) =>
    part.replaceAll(/\s+/g, ' ').replaceAll(/\d+ (s|bytes)\b/g, '… $1')
  const words = normal(text.stdout)
  for (const { code: name, problem, remedy } of findings) {
    for (const part of [name, problem, remedy]) expect(words).toContain(normal(part))
  }
  for (const line of text.stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(110)
  return findings
}

describe('finds and names', () => {
  test('a wrong port', async () => {
    const port = await freePort()
    const [finding, ...others] = await diagnose(redisAt(port), 1)
    expect(others).toEqual([])
    expect(finding).toMatchObject({ code: 'unreachable', severity: 'error', subject: local(port) })
    expect(finding?.stores).toEqual(['cache', 'session'])
  })

  test('a wrong password', async () => {
    const server = await startRedis({ args: ['--requirepass', 'the-right-one'] })
    const wrong = await diagnose(redisAt(server.port, ':the-wrong-one@'), 1)
    const none = await diagnose(redisAt(server.port), 1)
    const { servers } = parsed(await folder.run(['doctor', '--json'], redisAt(server.port)))
    const reachable = servers.map((each: { isReachable: boolean }) => each.isReachable)
    const encoded = await diagnose(redisAt(server.port, ':with#sharp@'), 1)
    await server.stop()
    expect(encoded).toMatchObject([{ code: 'env-invalid', subject: 'REDIS_URL' }])
    expect(encoded[0]?.remedy).toContain('# is %23')
    expect(wrong).toMatchObject([{ code: 'authentication', subject: local(server.port) }])
    expect(reachable).toEqual([true])
    expect(none).toMatchObject(
      [{ code: 'authentication', problem: /requires a password/ }].map(withText),
    )
  })

  test('a replica given as the primary', async () => {
    const [replica] = replicated.replicas
    const findings = await diagnose(redisAt(replica?.port as number), 1)
    expect(findings).toMatchObject([{ code: 'redis-not-primary', severity: 'error' }])
    expect(findings[0]?.remedy).toContain(local(replicated.primary.port))
  })

  test('a lagging replica', async () => {
    const proxies: Awaited<ReturnType<typeof startProxy>>[] = []
    const servers = await startReplicated({
      replicas: 1,
      replicateThrough: async (port) => {
        proxies.push(await startProxy(port))
        return proxies[0]?.port as number
      },
    })
    const [replica] = servers.replicas
    const env = {
      ...redisAt(servers.primary.port),
      REDIS_REPLICAS: local(replica?.port as number),
    }
    expect(await diagnose(env, 0)).toEqual([])
    proxies[0]?.mute(true, 'replies')
    await command(servers.primary.port, 'SET', 'k', 'v'.repeat(1_000))
    const findings = await diagnose(env, 0)
    expect(findings).toMatchObject([{ code: 'redis-replica-lag', severity: 'warning' }])
    expect(findings[0]?.subject).toBe(local(replica?.port as number))
    expect((await folder.run(['doctor', '--strict'], env)).code).toBe(1)
    await servers.stop()
    await proxies[0]?.stop()
  })

  test('eviction of sessions', async () => {
    const args = ['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru']
    const server = await startRedis({ args })
    const findings = await diagnose(redisAt(server.port), 0)
    const cacheOnly = await diagnose({ ...redisAt(server.port), SESSION_DRIVER: 'memory' }, 0)
    await server.stop()
    expect(findings).toMatchObject([{ code: 'eviction', stores: ['session'] }])
    expect(cacheOnly).toEqual([])
  })

  test.each([
    ['a full memory', ['--maxmemory', '500kb'], 'maxmemory-policy'],
    ['too few replicas', ['--min-replicas-to-write', '1'], 'min-replicas-to-write'],
  ])('a server that refuses writes because of %s', async (_name, args, remedy) => {
    const server = await startRedis({ args })
    const findings = await diagnose(redisAt(server.port), 1)
    const keys = await command(server.port, 'DBSIZE')
    await server.stop()
    expect(findings).toMatchObject([{ code: 'redis-not-writable', severity: 'error' }])
    expect(findings[0]?.remedy).toContain(remedy)
    expect(keys).toBe(0)
  })

  test('a memory that is nearly full', async () => {
    const server = await startRedis()
    await command(server.port, 'SETRANGE', 'k', 50_000_000, 'v')
    const info = String(await command(server.port, 'INFO', 'memory'))
    const used = Number(/used_memory:(\d+)/.exec(info)?.[1])
    await command(server.port, 'CONFIG', 'SET', 'maxmemory', Math.floor(used * 1.06))
    const findings = await diagnose(redisAt(server.port), 0)
    await server.stop()
    expect(findings).toMatchObject([{ code: 'redis-memory', severity: 'warning' }])
  })

  test.each([
    ['the keys of the store', ['~other:*', '+@all']],
    ['what it writes', ['~*', '+@read', '+ping', '+info', '+time']],
    ['scripts', ['~*', '+@all', '-@scripting']],
  ])('a user without the permission for %s', async (_name, rules) => {
    await command(redis.port, 'ACL', 'SETUSER', 'app', 'reset', 'on', '>pw', ...rules)
    const findings = await diagnose(redisAt(redis.port, 'app:pw@'), 1)
    expect(findings).toMatchObject([{ code: 'redis-not-writable', subject: local(redis.port) }])
    expect(findings[0]?.remedy).toContain('ACL SETUSER')
  })

  test('a database that the server does not have, and TLS where it has none', async () => {
    const REDIS_URL = `redis://${local(redis.port)}/99`
    const database = await diagnose({ CACHE_DRIVER: 'redis', REDIS_URL }, 1)
    expect(database).toMatchObject([{ code: 'redis-database', subject: local(redis.port) }])
    const url = `rediss://${local(redis.port)}`
    const tls = await diagnose({ CACHE_DRIVER: 'redis', REDIS_URL: url, CACHE_TIMEOUT: '1s' }, 1)
    expect(tls).toMatchObject([{ code: 'unreachable' }])
    expect(tls[0]?.remedy).toContain('else redis://')
  })

  test('a table without TTL', async () => {
    await createTableWithoutTtl('without-ttl', dynamodb)
    const findings = await diagnose(onTable('without-ttl', dynamodb), 1)
    expect(findings).toMatchObject([{ code: 'dynamodb-ttl', subject: 'without-ttl' }])
  })

  test('a missing table', async () => {
    const findings = await diagnose(onTable('missing-table', dynamodb), 1)
    expect(findings).toMatchObject([{ code: 'dynamodb-table-missing', subject: 'missing-table' }])
  })

  test('a plain memcached as the configuration endpoint', async () => {
    const env = {
      CACHE_DRIVER: 'memcached',
      MEMCACHED_CONFIGURATION_ENDPOINT: memcached.address,
    }
    const findings = await diagnose(env, 1)
    expect(findings).toMatchObject([{ code: 'memcached-no-configuration' }])
    expect(findings[0]?.remedy).toContain(`MEMCACHED_SERVERS=${memcached.address}`)
    const ignored = await diagnose({ ...env, MEMCACHED_IGNORE_CLUSTER_ERRORS: 'true' }, 0)
    expect(ignored).toMatchObject([{ severity: 'warning' }])
  })

  test('a dead node', async () => {
    const dead = local(await freePort())
    const endpoint = await configurationEndpoint({ nodes: [memcached.address, dead] })
    const listed = { MEMCACHED_SERVERS: `${memcached.address},${dead}` }
    const discovered = { MEMCACHED_CONFIGURATION_ENDPOINT: local(endpoint.port) }
    for (const env of [listed, discovered]) {
      const findings = await diagnose({ CACHE_DRIVER: 'memcached', ...env }, 1)
      expect(findings).toMatchObject([{ code: 'memcached-node-down', subject: dead }])
      expect(findings[0]?.problem).toMatch(/\d\.\d % of the keys/)
      const [remedy = ''] = /\w+=miss/.exec(findings[0]?.remedy ?? '') ?? []
      const [name = '', value] = remedy.split('=')
      const remedied = { CACHE_DRIVER: 'memcached', ...env, [name]: value ?? '' }
      expect(await diagnose(remedied, 1)).toMatchObject([{ code: 'memcached-node-down' }])
    }
    await endpoint.stop()
  })

  test('a prefix that cache and sessions share', async () => {
    const prefixes = { CACHE_PREFIX: 'app:', SESSION_PREFIX: 'app:' }
    const findings = await diagnose({ ...redisAt(redis.port), ...prefixes }, 1)
    expect(findings).toMatchObject([{ code: 'prefix-overlap', subject: 'SESSION_PREFIX' }])
  })

  test.each([
    ['Redis', () => redisAt(redis.port), () => local(redis.port)],
    [
      'memcached',
      () => ({ CACHE_DRIVER: 'memcached', MEMCACHED_SERVERS: memcached.address }),
      () => memcached.address,
    ],
    ['DynamoDB', () => onTable('clock', dynamodb), () => 'clock'],
  ])(
    'a clock that differs from that of %s',
    async (_name: string, env: () => Record<string, string>, subject: () => string) => {
      await ensureTable({
        ...connectionTo(dynamodb),
        table: 'clock',
        timeout: '1m',
        requestTimeout: '1m',
      })
      const skew = folder.write('skew.mjs', 'const now = Date.now; Date.now = () => now() - 90_000')
      const options = { NODE_OPTIONS: `--import=file://${skew}` }
      const findings = await diagnoseInProcesses({ ...env(), ...options }, 0)
      expect(findings).toMatchObject([{ code: 'clock-skew', subject: subject() }])
      expect(findings[0]?.problem).toMatch(/is (8[7-9]|9[01]) s behind/)
      expect(await diagnose(env(), 0)).toEqual([])
    },
  )

  test('an unreachable store of CACHE_FAILOVER, without its password', async () => {
    const port = await freePort()
    const env = {
      ...redisAt(redis.port),
      ...{ CACHE_FAILOVER: 'redis,memory', FAILOVER_REDIS_URL: `redis://:hidden@${local(port)}` },
    }
    const findings = await diagnose(env, 1)
    expect(findings).toMatchObject([
      { code: 'unreachable', subject: local(port), stores: ['cache'] },
    ])
    const { stdout } = await folder.run(['doctor', '--json', '--verbose'], env)
    const { stores, servers, variables } = JSON.parse(stdout)
    expect(stores).toMatchObject([
      { name: 'cache', driver: 'redis', failover: ['redis', 'memory'] },
      { name: 'session', driver: 'redis', failover: [] },
    ])
    expect(servers).toMatchObject([
      { address: local(redis.port), role: 'primary', isReachable: true },
      { address: local(port), role: 'fallback primary', isReachable: false, stores: ['cache'] },
      { address: 'this process', role: 'fallback store', isReachable: true, stores: ['cache'] },
    ])
    expect(variables.FAILOVER_REDIS_URL).toBe(`redis://***@${local(port)}`)
    const text = await folder.run(['doctor', '--verbose'], env)
    expect(text.stdout).toMatch(/cache +redis +redis, memory +cache:/)
    expect(stdout + text.stdout).not.toContain('hidden')
  })

  test('a missing package', async () => {
    const program = installWithout('redis', folder)
    const options = { cwd: folder.path, program, env: redisAt(redis.port) }
    const outcome = await spawned(['doctor', '--json'], options)
    const { findings, areBackendsChecked } = parsed(outcome)
    expect(outcome.code).toBe(1)
    expect(areBackendsChecked).toBe(false)
    expect(findings).toMatchObject([{ code: 'package-missing', subject: 'CACHE_DRIVER' }])
    expect(findings[0].remedy).toContain('npm install @stowage/redis')
  })

  test('misspelt variables', async () => {
    const driver = await diagnose({ CACHE_DRVER: 'redis' }, 1)
    expect(driver).toMatchObject([
      { code: 'env-misspelt', severity: 'error', subject: 'CACHE_DRVER' },
    ])
    expect(driver[0]?.remedy).toContain('CACHE_DRIVER')
    const url = await diagnose({ CACHE_DRVER: 'redis://:pass@h' }, 1)
    expect(JSON.stringify(url)).not.toContain('pass')
    const other = await diagnose({ ...redisAt(redis.port), REDIS_ULR: 'redis://x' }, 0)
    expect(other).toMatchObject([{ code: 'env-misspelt', severity: 'warning' }])
    const laravel = { CACHE_DRIVER: 'redis', CACHE_REDIS_URL: redis.url, SESSION_DRIVER: 'memory' }
    const foreign = await diagnose({ ...laravel, REDIS_HOST: 'x' }, 0)
    expect(foreign).toMatchObject([{ code: 'env-foreign', remedy: 'Use REDIS_URL.' }])
    const secret = await diagnose({ ...redisAt(redis.port), SESION_SECRET: 'x' }, 0)
    expect(secret).toMatchObject([{ code: 'env-misspelt', subject: 'SESION_SECRET' }])
  })

  test('a byte order mark in .env', async () => {
    const text = `\uFEFFCACHE_DRIVER=redis\nREDIS_URL=${redis.url}\n`
    for (const content of [text, Buffer.from(text, 'utf16le')]) {
      folder.write('.env', content)
      const findings = await diagnose({}, 1)
      expect(findings).toMatchObject([{ code: 'env-file-bom', subject: '.env' }])
    }
  })
})

describe('also finds', () => {
  test('lines of .env that cannot be read, and repeated variables', async () => {
    folder.write(
      '.env',
      'CACHE_DRIVER=memory\n# a comment\nthis is wrong\nA="open\nCACHE_DRIVER=memory\n',
    )
    const found = await diagnose({}, 1)
    expect(found.map(({ code, subject }) => [code, subject])).toEqual([
      ['env-file-syntax', '.env:3'],
      ['env-file-syntax', '.env:4'],
      ['env-file-duplicate', '.env:5'],
    ])
  })

  test('a missing secret and the memory driver in production', async () => {
    const found = await diagnose({ NODE_ENV: 'production', SESSION_DRIVER: 'memory' }, 1)
    expect(found.map(({ code }) => code)).toEqual([
      'session-secret-missing',
      'memory-in-production',
    ])
    const staging = { ...redisAt(redis.port), NODE_ENV: 'staging', SESSION_PREFIX: 's:' }
    expect(await diagnose(staging, 1)).toMatchObject([{ code: 'session-secret-missing' }])
    expect(await diagnose({ ...staging, NODE_ENV: '' }, 1)).toMatchObject([
      { code: 'session-secret-missing', remedy: expect.stringContaining('NODE_ENV=development') },
    ])
    expect(await diagnose({ ...redisAt(redis.port), NODE_ENV: 'staging' }, 0)).toMatchObject([
      { code: 'session-secret-missing', severity: 'warning' },
    ])
    expect(await diagnose({ ...staging, NODE_ENV: 'development' }, 0)).toEqual([])
    const secret = { SESSION_SECRET: 'a secret of at least 32 characters' }
    const onRedis = { ...redisAt(redis.port), NODE_ENV: 'production', ...secret }
    expect(await diagnose(onRedis, 0)).toEqual([])
    const short = await diagnose({ ...onRedis, SESSION_SECRET: 'change me' }, 1)
    expect(short).toMatchObject([{ code: 'env-invalid', subject: 'SESSION_SECRET' }])
    expect(short[0]?.remedy).toContain('openssl rand -base64 32')
    expect(await diagnose({ ...onRedis, NODE_ENV: '', SESSION_SECRET: 'change me' }, 1)).toEqual(
      short,
    )
    const rotated = { ...onRedis, SESSION_SECRET: `${secret.SESSION_SECRET},change me` }
    const old = await diagnose(rotated, 0)
    expect(old).toMatchObject([{ code: 'session-secret-short', severity: 'warning' }])
    expect(JSON.stringify(old)).not.toContain('change me')
    expect(JSON.stringify(short)).not.toContain('change me')
  })

  test('a server of another kind, a missing region and a directory that is none', async () => {
    const swapped = await diagnose(
      { CACHE_DRIVER: 'redis', REDIS_URL: `redis://${memcached.address}` },
      1,
    )
    expect(swapped).toMatchObject([
      { code: 'redis-protocol', remedy: expect.stringContaining('CACHE_DRIVER=memcached') },
    ])
    const redisAddress = `127.0.0.1:${redis.port}`
    const other = await diagnose({ CACHE_DRIVER: 'memcached', MEMCACHED_SERVERS: redisAddress }, 1)
    expect(other).toMatchObject([{ code: 'memcached-protocol', subject: redisAddress }])
    const region = await diagnose({ CACHE_DRIVER: 'dynamodb', CACHE_TABLE: 'any' }, 1)
    expect(region).toMatchObject([{ code: 'dynamodb-region' }])
    expect(await diagnoseInProcesses({ CACHE_DRIVER: 'lmdb' }, 0)).toEqual([])
    expect(existsSync(join(folder.path, '.cache'))).toBe(false)
    folder.write('file', '')
    const path = { CACHE_DRIVER: 'lmdb', CACHE_PATH: 'file' }
    const file = await diagnoseInProcesses(path, 1)
    expect(file.map(({ code }) => code)).toEqual(['lmdb-directory', 'lmdb-directory'])
  })

  test('a directory that the user of the application may not write', async () => {
    const path = join(folder.path, 'closed')
    mkdirSync(path, { mode: 0o555 })
    chmodSync(folder.path, 0o755)
    const env = { CACHE_DRIVER: 'lmdb', CACHE_PATH: join(path, 'cache'), NODE_ENV: 'test' }
    const options = { cwd: '/', env, obeysModes: true }
    const { findings } = parsed(await spawned(['doctor', '--json'], options))
    expect(findings[0]).toMatchObject({
      code: 'lmdb-directory',
      problem: expect.stringContaining('EACCES'),
    })
  })

  test('a file in the directory that the user of the application may not write', async () => {
    const path = join(folder.path, 'cache')
    mkdirSync(path, { mode: 0o700 })
    writeFileSync(join(path, 'data.mdb'), '', { mode: 0o400 })
    const env = { CACHE_DRIVER: 'lmdb', CACHE_PATH: folder.path, NODE_ENV: 'test' }
    const options = { cwd: '/', env, obeysModes: true }
    const { findings } = parsed(await spawned(['doctor', '--json'], options))
    expect(findings).toMatchObject([
      { code: 'lmdb-directory', problem: 'Its file data.mdb cannot be read and written (EACCES).' },
    ])
  })

  test('a wrong password of memcached', async () => {
    const server = await startMemcached({
      args: ['-Y', folder.write('users', 'app:the-right-one\n')],
    })
    const env = {
      ...{ CACHE_DRIVER: 'memcached', MEMCACHED_SERVERS: server.address },
      ...{ MEMCACHED_USERNAME: 'app', MEMCACHED_PASSWORD: 'the-wrong-one' },
    }
    expect(await diagnose(env, 1)).toMatchObject([{ code: 'authentication' }])
    expect(await diagnose({ ...env, MEMCACHED_PASSWORD: 'the-right-one' }, 0)).toEqual([])
    await server.stop()
  })

  test('invalid variables of sessionFromEnv, without the secret', async () => {
    const cookie = { SESSION_COOKIE_SECURE: 'maybe', SESSION_COOKIE_SAME_SITE: 'Lax' }
    const none = { SESSION_COOKIE_SECURE: 'false', SESSION_COOKIE_SAME_SITE: 'none' }
    const insecure = await diagnose(none, 1)
    expect(insecure).toMatchObject([{ subject: 'SESSION_COOKIE_SAME_SITE' }])
    expect(insecure[0]?.remedy).toContain('SESSION_COOKIE_SECURE')
    const env = { ...cookie, SESSION_IDLE: '30', SESSION_SECRET: 'hidden,,b' }
    const findings = await diagnose(env, 1)
    expect(findings.map(({ code, subject }) => [code, subject]).sort()).toEqual(
      Object.keys(env)
        .map((name) => ['env-invalid', name])
        .sort(),
    )
    expect(JSON.stringify(findings)).not.toContain('hidden')
  })

  test('a driver that is not registered, and where the application can name its registry', async () => {
    const findings = await diagnose({ CACHE_DRIVER: 'tiny' }, 1)
    expect(findings).toMatchObject([{ code: 'env-invalid', subject: 'CACHE_DRIVER' }])
    expect(findings[0]?.remedy).toMatch(/Known drivers: .* registry .*--config/)
  })

  test('invalid variables, and checks no backend that was not meant', async () => {
    const env = { CACHE_DRIVER: 'redis', REDIS_URL: 'localhost:6379', CACHE_TTL: '10' }
    const outcome = await folder.run(['doctor', '--json'], env)
    const { findings, servers, areBackendsChecked } = parsed(outcome)
    expect(findings.map(({ subject }: Finding) => subject)).toEqual(['REDIS_URL', 'CACHE_TTL'])
    expect([servers, areBackendsChecked]).toEqual([[], false])
  })
})

test('reports a healthy configuration in order of its stores', async () => {
  const [replica] = replicated.replicas
  const env = {
    ...redisAt(replicated.primary.port),
    REDIS_REPLICAS: local(replica?.port as number),
    SESSION_DRIVER: 'memcached',
    MEMCACHED_SERVERS: memcached.address,
    NODE_ENV: 'test',
  }
  const { findings, servers, variables } = parsed(await folder.run(['doctor', '--json'], env))
  expect(findings).toEqual([])
  expect(servers).toMatchObject([
    { role: 'primary', isReachable: true, stores: ['cache'] },
    { role: 'replica', facts: { lag: '0 ms' } },
    { role: 'node', facts: { share: '100.0 %' }, stores: ['session'] },
  ])
  expect(Object.keys(variables)).toContain('REDIS_REPLICAS')
})

// Not a finding: an application may give each call a ttl.
test('says that values without a ttl never expire, and how to change that', async () => {
  const note = 'Values of cache that are stored without a ttl never expire. CACHE_TTL sets one.'
  const without = await folder.run(['doctor', '--strict'], { NODE_ENV: 'test' })
  expect([without.code, without.stdout.replaceAll(/\s+/g, ' ')]).toEqual([
    0,
    expect.stringContaining(note),
  ])
  const { stdout } = await folder.run(['doctor'], { NODE_ENV: 'test', CACHE_TTL: '1h' })
  expect(stdout).not.toContain('never expire')
})

function withText<T extends { readonly problem: RegExp }>(pattern: T) {
  return { ...pattern, problem: expect.stringMatching(pattern.problem) }
}

/** Copies the packages that the command needs into a project, without this driver. Returns the program. */
function installWithout(missing: string, { path }: Folder): string {
  const packages = fileURLToPath(new URL('../..', import.meta.url))
  const modules = join(path, 'node_modules')
  for (const name of ['core', 'drivers', 'memory', 'sessions', 'cli']) {
    expect(name).not.toBe(missing)
    for (const part of ['package.json', 'dist', ...(name === 'cli' ? ['bin'] : [])]) {
      cpSync(join(packages, name, part), join(modules, '@stowage', name, part), { recursive: true })
    }
  }
  for (const name of ['commander', 'picocolors', 'cli-table3', '@clack/prompts']) {
    mkdirSync(dirname(join(modules, name)), { recursive: true })
    symlinkSync(realpathSync(join(packages, 'cli/node_modules', name)), join(modules, name))
  }
  return join(modules, '@stowage/cli/bin/stowage.js')
}
