import { once } from 'node:events'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type Cache, type Caches, cachesFromEnv } from '@stowage/core'
import type { Driver } from '@stowage/core/driver'
import { standardDrivers } from '@stowage/drivers'
import redisDriver, { type RedisOptions } from '@stowage/redis'
import { Sessions } from '@stowage/sessions'
import { sessionKey } from '@stowage/sessions/tools'
import {
  type DynamoDBDatabase,
  freePort,
  type MemcachedServer,
  type RedisServer,
  sharedDynamoDB,
  sharedPostgres,
  startMemcached,
  startRedis,
} from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Folder, type Outcome, parsed, start } from './stowage.ts'

const password = 'password-of-redis'
const indexSecret = 'secret-of-the-session-index'
const encryptionKey = Buffer.alloc(32, 7).toString('base64')
const sessionIds = ['first-session-id-of-ada', 'second-session-id-of-ada']

const hasIPv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
)

let redis: RedisServer
let memcached: MemcachedServer
let dynamodb: DynamoDBDatabase
/** What a test stores itself waits for a server that is slow. */
const patientRedis: Driver<RedisOptions> = {
  ...redisDriver,
  create: (options) => redisDriver.create({ ...options, timeout: '20s' }),
}
const drivers = standardDrivers().register('redis', () => ({ default: patientRedis as Driver }))
let folder: Folder
let env: Record<string, string>
let caches: Caches<'cache' | 'session'>
let cache: Cache
let sessions: Sessions

beforeAll(async () => {
  redis = await startRedis({ args: ['--requirepass', password] })
  memcached = await startMemcached()
  dynamodb = await sharedDynamoDB()
  env = {
    CACHE_DRIVER: 'redis',
    REDIS_URL: `redis://:${password}@127.0.0.1:${redis.port}`,
    SESSION_INDEX_SECRET: indexSecret,
    SESSION_SECRET: 'secret-of-the-cookies',
    CACHE_ENCRYPTION_KEYS: `2026:${encryptionKey}`,
  }
})
afterAll(async () => {
  await redis.stop()
  await memcached.stop()
  await dynamodb.stop()
})
beforeEach(async () => {
  folder = new Folder()
  caches = await cachesFromEnv(env, drivers)
  cache = caches.use('cache')
  const index = (session: Record<string, unknown>) => session.userId as number
  sessions = new Sessions({ cache: caches.use('session'), index, indexSecret })
})
afterEach(async () => {
  await cache.clear()
  await sessions.clear()
  await caches.close()
  folder.remove()
})

async function signIn(): Promise<void> {
  for (const id of sessionIds) await sessions.create(id, { userId: 7, csrf: `csrf-of-${id}` })
}

const run = (...args: string[]) => folder.run(args, env)
const onMemcached = () => ({ CACHE_DRIVER: 'memcached', MEMCACHED_SERVERS: memcached.address })

describe('control characters', () => {
  const osc = '\u001b]52;c;ZXZpbA==\u0007'
  const hostile = `a${osc}\u009b31m\u001b[8m\u007f\u202e\u2066\u2028\r\nb`
  const shown =
    'a\\u001b]52;c;ZXZpbA==\\u0007\\u009b31m\\u001b[8m\\u007f\\u202e\\u2066\\u2028\\u000d\\u000ab'
  const unescaped = /(?!\n)[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u

  test.each([undefined, '1'])(
    'of keys, tags, fields and errors are escaped, FORCE_COLOR=%s',
    async (FORCE_COLOR) => {
      await cache.set(hostile, 1, { tags: [hostile] })
      await sessions.create(sessionIds[0] as string, { userId: 7, [hostile.slice(0, 9)]: 1 })
      await sessions.create(sessionIds[1] as string, { userId: hostile })
      const outcomes: string[] = []
      for (const args of [
        ['inspect', hostile],
        ['inspect', hostile, '--json'],
        ['sessions', 'list', '--user', '7'],
        ['sessions', 'list', '--user', hostile],
        ['sessions', 'revoke', '--user', hostile],
        ['sessions', 'revoke', '--user', hostile, '--yes'],
        ['clear', '--tag', hostile, '--yes'],
        ['clear', '--prefix', hostile, '--yes'],
        ['inspect', 'x', '--store', hostile],
        ['inspect', 'x', '--config', hostile],
        [`--${hostile}`],
      ]) {
        const { stdout, stderr } = await folder.run(args, { ...env, FORCE_COLOR })
        outcomes.push(stdout + stderr)
      }
      const doctor = await folder.run(['doctor'], { CACHE_TTL: hostile, FORCE_COLOR })
      outcomes.push(doctor.stdout)
      // Those of the colors that the command uses.
      const style = /\p{Cc}\[(?:[12]|22|3\d)m/gu
      const colors = FORCE_COLOR === undefined ? '' : style
      for (const text of outcomes) expect(text.replace(colors, '')).not.toMatch(unescaped)
      expect(outcomes[0]).toContain(shown)
      expect(JSON.parse(outcomes[1] as string).key).toBe(hostile)
      expect(outcomes[2]).toContain('\\u001b')
    },
    60_000,
  )

  test('of unexpected errors are escaped, and secrets in them masked', async () => {
    const error = `new Error(${JSON.stringify(`${hostile} ${password}`)})`
    folder.write('app.mjs', `export const caches = { then: (_, reject) => reject(${error}) }`)
    const { code, stderr } = await folder.spawn(['inspect', 'x', '--config', 'app.mjs'], env)
    expect(code).toBe(1)
    expect(stderr).toContain(shown.replace('\\u000d\\u000a', '\\u000d\n'))
    expect(stderr).toMatch(/at .*app\.mjs:1/)
    expect(stderr).not.toMatch(unescaped)
    expect(stderr).not.toContain(password)
  })
})

describe('inspect', () => {
  test('prints where and how a key is stored, and not its value', async () => {
    await cache.set('user:1', 'the value', { ttl: '10m', tags: ['users'] })
    const json = parsed(await run('inspect', 'user:1', '--json'))
    expect(json).toMatchObject({
      ...{ storageKey: 'cache:user:1', store: 'cache', driver: 'redis', state: 'fresh' },
      ...{ location: `127.0.0.1:${redis.port}`, frame: 'encrypted', expires: true },
      tags: [{ name: 'users', isCurrent: true }],
    })
    expect(json.ttlMs).toBeGreaterThan(590_000)
    const { code, stdout } = await run('inspect', 'user:1')
    expect(code).toBe(0)
    expect(stdout).toMatch(/ttl +10 min/)
    expect(stdout).not.toContain('the value')
  })

  test('has the exit code 1 for a missing key', async () => {
    const outcome = await run('inspect', 'nothing', '--json')
    expect([outcome.code, parsed(outcome).state]).toEqual([1, 'missing'])
  })

  test('prints a session under its digest, whatever its id is', async () => {
    await sessions.create('1', { userId: 7 })
    const json = parsed(await run('inspect', '1', '--store', 'session', '--json'))
    expect(json).toMatchObject({ key: sessionKey('1'), state: 'fresh' })
  })

  test('finds a key of a namespace, and the node of memcached', async () => {
    const onNodes = await cachesFromEnv(onMemcached(), standardDrivers())
    await onNodes.use().namespace('users').set('1', 'Ada', { ttl: '1m' })
    const outcome = await folder.run(
      ['inspect', '1', '--namespace', 'users', '--json'],
      onMemcached(),
    )
    expect(parsed(outcome)).toMatchObject({ state: 'fresh', location: memcached.address })
    await onNodes.close()
  })
})

test('a value that is fresh longer than a date can be is inspected', async () => {
  const forEver = { ttl: Number.MAX_SAFE_INTEGER, staleWhileRevalidate: '1d' } as const
  await cache.remember('k', forEver, () => 1)
  expect(parsed(await run('inspect', 'k', '--json'))).toMatchObject({ freshUntil: null })
  expect((await run('inspect', 'k')).code).toBe(0)
})

describe('clear', () => {
  test('deletes a prefix, invalidates a tag, and deletes all of a store', async () => {
    await cache.setMany([
      ['a:1', 1],
      ['a:2', 2],
      ['b:1', 3],
    ])
    await cache.set('c', 4, { tags: ['t'] })
    await signIn()
    const byPrefix = parsed(await run('clear', '--prefix', 'a:', '--yes', '--json'))
    expect(byPrefix).toMatchObject({ prefix: 'a:', namespace: null, deleted: 2 })
    expect(await cache.getMany(['a:1', 'a:2', 'b:1', 'c'])).toEqual([undefined, undefined, 3, 4])
    parsed(await run('clear', '--tag', 't', '--yes', '--json'))
    expect(await cache.getMany(['b:1', 'c'], { consistency: 'strong' })).toEqual([3, undefined])
    expect((await run('clear', '--store', 'cache', '--yes')).code).toBe(0)
    expect(await cache.get('b:1')).toBeUndefined()
    expect(await sessions.of(7)).toHaveLength(2)
  })

  test('deletes entries whose keys are listed in a shortened form', async () => {
    const keys = ['users:1', 'users:\ud800', 'other']
    await cache.setMany(keys.map((key) => [key, 1]))
    const cleared = parsed(await run('clear', '--prefix', 'users:', '--yes', '--json'))
    expect(cleared.deleted).toBe(2)
    expect(await cache.getMany(keys)).toEqual([undefined, undefined, 1])
  })

  test('clears a namespace where keys cannot be listed', async () => {
    const onNodes = await cachesFromEnv(onMemcached(), standardDrivers())
    const users = onNodes.use().namespace('users')
    await users.set('1', 'Ada')
    await onNodes.use().set('other', 1)
    const args = ['clear', '--prefix', 'users:', '--yes', '--json']
    expect(parsed(await folder.run(args, onMemcached()))).toMatchObject({
      ...{ prefix: 'users:', namespace: 'users', deleted: null },
    })
    expect(await users.get('1', { consistency: 'strong' })).toBeUndefined()
    expect(await onNodes.use().get('other')).toBe(1)
    for (const prefix of ['use', ':', 'users::']) {
      const open = await folder.run(['clear', '--prefix', prefix, '--yes'], onMemcached())
      expect(open).toMatchObject({ code: 1, stderr: expect.stringContaining('Only a namespace') })
    }
    await onNodes.close()
  })

  test('says that keys outside the namespace are kept where keys cannot be listed', async () => {
    const onNodes = await cachesFromEnv(onMemcached(), standardDrivers())
    await onNodes.use().set('users:1', 'Ada')
    const question = await folder.run(['clear', '--prefix', 'users:'], onMemcached())
    expect(question.stderr.replaceAll(/\s+/g, ' ')).toContain('Clear the namespace "users"')
    const { stdout } = await folder.run(['clear', '--prefix', 'users:', '--yes'], onMemcached())
    expect(stdout).toContain(
      'Cleared the namespace users in cache. Keys users:… that were set without',
    )
    expect(await onNodes.use().get('users:1')).toBe('Ada')
    await onNodes.close()
  })

  test('requires --yes without a terminal, and changes nothing', async () => {
    await cache.set('a', 1)
    for (const what of [
      ['--store', 'cache'],
      ['--prefix', 'a'],
    ]) {
      const outcome = await run('clear', ...what)
      expect(outcome).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') })
    }
    expect(await cache.get('a')).toBe(1)
  })

  test('refuses an empty prefix, which would delete all entries', async () => {
    await cache.set('a', 1)
    const outcome = await run('clear', '--prefix', '', '--yes')
    expect(outcome).toMatchObject({ code: 2, stderr: expect.stringContaining('--store') })
    expect(await cache.get('a')).toBe(1)
  })

  test('refuses the memory of another process', async () => {
    const outcome = await folder.run(['clear', '--store', 'cache', '--yes'], {})
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringContaining('memory driver') })
  })
})

describe('table', () => {
  const args = (action: string) => ['table', action, '--table', 'of-the-cli', '--json']

  test('creates a table, and describes it and what is wrong with it', async () => {
    const missing = await folder.run(args('describe'), { ...dynamodb.env })
    expect(missing.code).toBe(1)
    expect(parsed(missing).findings).toMatchObject([{ code: 'dynamodb-table-missing' }])
    expect((await folder.run(args('create'), { ...dynamodb.env })).code).toBe(0)
    const described = await folder.run(args('describe'), { ...dynamodb.env })
    expect([described.code, parsed(described).facts.ttl]).toEqual([0, 'on expires_at'])
  })

  test('creates and describes a table of PostgreSQL, and prints its statement', async () => {
    const { url, stop } = await sharedPostgres()
    const env = { SESSION_DRIVER: 'postgres', DATABASE_URL: url }
    const run = (action: string) =>
      folder.run(['table', action, '--role', 'session', '--json'], env)
    const missing = await run('describe')
    expect([missing.code, parsed(missing).table]).toEqual([1, 'stowage_sessions'])
    expect(parsed(missing).findings).toMatchObject([{ code: 'postgres-table' }])
    expect((await run('create')).code).toBe(0)
    const described = await run('describe')
    expect([described.code, parsed(described).findings]).toEqual([0, []])
    const statement = 'CREATE TABLE IF NOT EXISTS "stowage_sessions"'
    expect(parsed(await run('sql')).text).toContain(statement)
    expect(await run('terraform')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('table sql'),
    })
    await stop()
  })

  test('is that of the driver of the cache for sessions without a driver of their own', async () => {
    const env = { CACHE_DRIVER: 'postgres', DATABASE_URL: 'postgres://127.0.0.1:1/app' }
    const sql = await folder.run(['table', 'sql', '--role', 'session', '--json'], env)
    expect(parsed(sql)).toMatchObject({ table: 'stowage_sessions' })
  })

  test('reads the variables that are set for the role only', async () => {
    const { DYNAMODB_ENDPOINT, AWS_REGION: region, ...credentials } = dynamodb.env
    for (const role of ['session', 'cache']) {
      const own = {
        [`${role.toUpperCase()}_DYNAMODB_ENDPOINT`]: DYNAMODB_ENDPOINT,
        [`${role.toUpperCase()}_AWS_REGION`]: region,
      }
      const args = ['table', 'describe', '--table', `only-${role}`, '--role', role, '--json']
      const { findings } = parsed(await folder.run(args, { ...credentials, ...own }))
      expect(findings).toMatchObject([{ code: 'dynamodb-table-missing' }])
    }
    const invalid = { ...dynamodb.env, CACHE_DYNAMODB_ENDPOINT: 'localhost' }
    expect(await folder.run(args('describe'), invalid)).toMatchObject({
      ...{ code: 1, stderr: expect.stringContaining('CACHE_DYNAMODB_ENDPOINT') },
    })
  })

  test('prints definitions, with the table of the role', async () => {
    const tables = { CACHE_TABLE: 'pages', SESSION_TABLE: 'logins' }
    const texts = await Promise.all(
      [['terraform'], ['cloudformation', '--role', 'session']].map(async (each) => {
        const { code, stdout } = await folder.run(['table', ...each], tables)
        return [code, stdout]
      }),
    )
    expect(texts).toEqual([
      [0, expect.stringContaining('resource "aws_dynamodb_table" "pages"')],
      [0, expect.stringContaining('TableName: logins')],
    ])
    expect(await folder.run(['table', 'terraform'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('CACHE_TABLE'),
    })
  })
})

describe('sessions', () => {
  test('of a secret that is too short are not looked for: the variable is named', async () => {
    const { code, stderr } = await folder.run(['sessions', 'list', '--user', '7'], {
      ...env,
      SESSION_INDEX_SECRET: 'too short',
    })
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining('SESSION_INDEX_SECRET has fewer than'),
    ])
    expect(stderr).not.toContain('too short')
  })

  test('are found with the last secret of the cookie', async () => {
    await signIn()
    const { SESSION_INDEX_SECRET, ...others } = env
    const variables = { ...others, SESSION_SECRET: `a new secret of the cookies,${indexSecret}` }
    const { stdout } = await folder.run(['sessions', 'list', '--user', '7', '--json'], variables)
    expect(JSON.parse(stdout).sessions).toHaveLength(2)
  })

  test('under another secret are not found, which the output says', async () => {
    await signIn()
    const variables = { ...env, SESSION_INDEX_SECRET: 'another secret of the index' }
    for (const action of [['list'], ['revoke', '--yes']]) {
      const { stdout } = await folder.run(['sessions', ...action, '--user', '7'], variables)
      expect(stdout.replaceAll(/\s+/g, ' ')).toContain(
        'No sessions of user 7 are listed with this secret.',
      )
      expect(stdout.replaceAll(/\s+/g, ' ')).toContain(
        'check SESSION_INDEX_SECRET, or the last SESSION_SECRET.',
      )
      expect(stdout).not.toContain('Ended')
    }
    expect(await sessions.of(7)).toHaveLength(2)
  })

  test('in PostgreSQL are listed and revoked', async () => {
    const { url, stop } = await sharedPostgres()
    const { SESSION_INDEX_SECRET } = env
    const variables = { SESSION_DRIVER: 'postgres', DATABASE_URL: url, SESSION_INDEX_SECRET }
    const creating = { POSTGRES_ENSURE_TABLE: 'create' }
    const configured = await cachesFromEnv({ ...variables, ...creating }, standardDrivers())
    const index = (session: Record<string, unknown>) => session.userId as number
    const own = new Sessions({ cache: configured.use('session'), index, indexSecret })
    for (const [id, userId] of [...sessionIds.map((id) => [id, 7] as const), ['grace', 8] as const])
      await own.create(`${id}-in-postgres`, { userId })
    const list = await folder.run(['sessions', 'list', '--user', '7', '--json'], variables)
    expect(parsed(list).sessions).toHaveLength(2)
    const revoke = ['sessions', 'revoke', '--user', '7', '--yes', '--json']
    expect(parsed(await folder.run(revoke, variables)).ended).toBe(2)
    expect([await own.of(7), (await own.of(8)).length]).toEqual([[], 1])
    await configured.close()
    await stop()
  })

  test('are listed without ids and values, and revoked', async () => {
    await signIn()
    await sessions.create('session-of-grace', { userId: 8 })
    const { sessions: listed } = parsed(await run('sessions', 'list', '--user', '7', '--json'))
    expect(listed).toHaveLength(2)
    expect(listed[0]).toMatchObject({ key: expect.stringMatching(/^v1:/) })
    expect(listed[0].fields).toEqual(['csrf', 'userId'])
    const unconfirmed = await run('sessions', 'revoke', '--user', '7')
    expect([unconfirmed.code, (await sessions.of(7)).length]).toEqual([2, 2])
    const revoked = parsed(await run('sessions', 'revoke', '--user', '7', '--yes', '--json'))
    expect(revoked.ended).toBe(2)
    expect([await sessions.of(7), (await sessions.of(8)).length]).toEqual([[], 1])
    expect(await sessions.read(sessionIds[0] as string)).toBeUndefined()
  })
})

describe('emulate configuration-endpoint', () => {
  test('serves the nodes until it is interrupted; a line is a new list', async () => {
    const nodes = [memcached.address, `127.0.0.1:${await freePort()}`]
    const args = [
      'emulate',
      'configuration-endpoint',
      '--nodes',
      nodes.join(),
      '--port',
      '0',
      '--json',
    ]
    const child = start(args, { cwd: folder.path })
    const [line] = await once(child.stdout as NodeJS.ReadableStream, 'data')
    const { address } = parsed({ code: 0, stdout: String(line), stderr: '' })
    const doctor = { CACHE_DRIVER: 'memcached', MEMCACHED_CONFIGURATION_ENDPOINT: address }
    expect(parsed(await folder.run(['doctor', '--json'], doctor)).findings).toMatchObject([
      { code: 'memcached-node-down', subject: nodes[1] },
    ])
    child.stdin?.write('garbage\n')
    const [refusal] = await once(child.stderr as NodeJS.ReadableStream, 'data')
    expect(String(refusal)).toContain('not a list of nodes')
    child.stdin?.write(`${memcached.address}\n`)
    const [next] = await once(child.stdout as NodeJS.ReadableStream, 'data')
    expect(JSON.parse(String(next))).toMatchObject({ version: 2, nodes: [memcached.address] })
    expect((await folder.run(['doctor'], doctor)).code).toBe(0)
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
    const socket = connect(Number(address.split(':')[1]), '127.0.0.1')
    await expect(once(socket, 'connect')).rejects.toThrow('ECONNREFUSED')
  })

  test.runIf(hasIPv6)('prints an IPv6 address as the driver reads it', async () => {
    const args = ['--nodes', memcached.address, '--host', '::1', '--port', '0', '--json']
    const child = start(['emulate', 'configuration-endpoint', ...args], { cwd: folder.path })
    const [line] = await once(child.stdout as NodeJS.ReadableStream, 'data')
    const { address } = JSON.parse(String(line))
    const doctor = { CACHE_DRIVER: 'memcached', MEMCACHED_CONFIGURATION_ENDPOINT: address }
    expect((await folder.run(['doctor'], doctor)).code).toBe(0)
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  test('refuses a list that is not one, and a port in use', async () => {
    const args = ['emulate', 'configuration-endpoint', '--nodes']
    for (const nodes of ['nonsense', ':7411', '127.0.0.1:99999', '127.0.0.1:0', 'a:1,b']) {
      expect((await folder.run([...args, nodes])).code).toBe(2)
    }
    const port = `${redis.port}`
    const outcome = await folder.run([...args, memcached.address, '--port', port])
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringContaining('in use') })
  })
})

describe('the module of the application', () => {
  const url = (name: string) => new URL(`../../${name}/dist/index.js`, import.meta.url).href
  const source = () => `
    import { createCaches } from '${url('core')}'
    import { redis } from '${url('redis')}'
    import { Sessions } from '${url('sessions')}'
    const url = process.env.MY_REDIS
    export const caches = createCaches({
      default: 'pages',
      stores: {
        pages: { store: () => redis({ url, timeout: '20s' }), prefix: 'pages:' },
        logins: { store: () => redis({ url, timeout: '20s' }), prefix: 'logins:', ttl: '1d' },
      },
    })
    export const sessions = new Sessions({
      cache: caches.use('logins'), index: ({ userId }) => userId, indexSecret: '${indexSecret}'
    })`

  test('names the stores, and reads the variables of .env', async () => {
    // The module creates caches that a command closes: the next command needs a process of its own.
    folder.write('caches.mjs', source())
    folder.write('.env', `MY_REDIS=${env.REDIS_URL}`)
    const from = ['--config', 'caches.mjs']
    const { stores, servers } = parsed(await folder.spawn(['doctor', ...from, '--json']))
    expect(stores.map(({ name }: { name: string }) => name)).toEqual(['pages', 'logins'])
    expect(servers).toMatchObject([{ role: 'primary', stores: ['pages', 'logins'] }])
    const inspected = parsed(await folder.spawn(['inspect', 'x', ...from, '--json']))
    expect(inspected).toMatchObject({ store: 'pages', storageKey: 'pages:x' })
    const listed = await folder.spawn(['sessions', 'list', '--user', '7', ...from, '--json'])
    expect(parsed(listed).sessions).toEqual([])
    const unknown = await folder.spawn(['inspect', 'x', '--store', 'other', ...from])
    expect(unknown.stderr).toContain('pages, logins')
  })

  test('may export its sessions only, whose connections the command closes', async () => {
    folder.write(
      'sessions.mjs',
      `import { Cache } from '${url('core')}'
      import { redis } from '${url('redis')}'
      import { Sessions } from '${url('sessions')}'
      const cache = new Cache(redis({ url: process.env.MY_REDIS, timeout: '20s' }))
      export const sessions = new Sessions({
        cache, index: ({ userId }) => userId, indexSecret: '${indexSecret}'
      })`,
    )
    const args = ['sessions', 'list', '--user', '7', '--config', 'sessions.mjs', '--json']
    const listed = await folder.spawn(args, { MY_REDIS: env.REDIS_URL })
    expect(parsed(listed).sessions).toEqual([])
  })

  test('may export sessions on the memory driver, which are in the process of the application', async () => {
    folder.write(
      'sessions.mjs',
      `import { Cache } from '${url('core')}'
      import { memory } from '${url('memory')}'
      import { Sessions } from '${url('sessions')}'
      const cache = new Cache(memory())
      export const sessions = new Sessions({
        cache, index: ({ userId }) => userId, indexSecret: '${indexSecret}'
      })`,
    )
    for (const args of [['list'], ['revoke', '--yes']]) {
      const command = ['sessions', ...args, '--user', '7', '--config', 'sessions.mjs']
      expect(await folder.run(command)).toMatchObject({
        ...{ code: 1, stderr: expect.stringContaining('The memory driver keeps its entries') },
      })
    }
  })

  test('may have timers and servers, which do not keep the command from ending', async () => {
    folder.write('app.mjs', `${source()}\nsetInterval(() => {}, 1_000)`)
    const command = ['doctor', '--config', 'app.mjs', '--json']
    const outcome = await folder.spawn(command, { MY_REDIS: env.REDIS_URL })
    expect([outcome.code, parsed(outcome).stores]).toEqual([0, expect.any(Array)])
  })

  test('may add drivers and stores that the environment selects', async () => {
    folder.write(
      'caches.mjs',
      `import { memory } from '${url('memory')}'
      export default { stores: { mine: () => memory() } }`,
    )
    const args = ['doctor', '--config', 'caches.mjs', '--json']
    const { stores, ok } = parsed(await folder.run(args, { CACHE_STORE: 'mine' }))
    expect([ok, stores[0]]).toMatchObject([true, { name: 'cache', driver: 'mine' }])
  })

  test('is reported if it is missing, exports nothing or is TypeScript that Node cannot import', async () => {
    folder.write('empty.mjs', 'export const other = 1')
    folder.write('one-cache.mjs', 'export const caches = { get() {}, set() {} }')
    folder.write('middleware.mjs', 'export const sessions = { middleware() {}, sessions: {} }')
    folder.write('throws.mjs', 'throw undefined')
    folder.write('typed.ts', 'export const caches: unknown = undefined')
    const errorOf = async (file: string) => {
      const { code, stderr } = await folder.run(['doctor', '--config', file])
      expect(code).toBe(1)
      return stderr.replaceAll(/\s+/g, ' ')
    }
    expect(await errorOf('none.mjs')).toContain('does not exist')
    expect(await errorOf('empty.mjs')).toContain('export const caches')
    expect(await errorOf('one-cache.mjs')).toContain('export const caches = createCaches(')
    expect(await errorOf('middleware.mjs')).toContain('export const { sessions } = await')
    expect(await errorOf('throws.mjs')).toContain('cannot be imported: undefined')
    const hasTypes = Boolean((process.features as { typescript?: unknown }).typescript)
    if (!hasTypes)
      expect(await errorOf('typed.ts')).toContain('cannot import the TypeScript module')
  })
})

test('JSON stays valid if a secret is a number, a word of the command, or has escapes', async () => {
  const url = new URL('../../memory/dist/index.js', import.meta.url).href
  folder.write(
    'app.mjs',
    `import { memory } from '${url}'
    const ping = () => { throw new Error('no access: ' + process.env.MY_PASSWORD) }
    export default { stores: { mine: () => Object.assign(memory(), { ping, diagnostics: undefined }) } }`,
  )
  const secrets = { TOKEN_TTL: '86400000', PGPASSWORD: 'postgres', MY_PASSWORD: 'sec"ret\\of,app' }
  const doctor = ['doctor', '--config', 'app.mjs', '--json']
  const { stores, findings } = parsed(await folder.run(doctor, { ...secrets, CACHE_STORE: 'mine' }))
  expect(stores[1].ttlMs).toBe(86_400_000)
  expect(findings).toContainEqual(expect.objectContaining({ problem: 'No access: ***.' }))
  const sql = {
    CACHE_DRIVER: 'postgres',
    DATABASE_URL: 'postgres://postgres:postgres@127.0.0.1:1/app',
  }
  const { stores: named } = parsed(await folder.run(['doctor', '--json'], sql))
  expect(named[0].driver).toBe('postgres')
})

test('a secret with spaces is masked in a text that is wrapped', async () => {
  const code = "throw new Error('wrong password of the user ' + process.env.MY_PASSWORD)"
  folder.write('app.mjs', code)
  const secret = 'correct horse battery staple'
  const { stderr } = await folder.run(['doctor', '--config', 'app.mjs'], { MY_PASSWORD: secret })
  expect(stderr.replaceAll(/\s+/g, ' ')).toContain('of the user ***')
  expect(stderr).not.toMatch(/correct|horse|battery|staple/)
})

test('no command prints a secret or the id of a session', async () => {
  await signIn()
  await cache.set('user:1', 'a-secret-value', { tags: ['users'] })
  const aws = { ...dynamodb.env, AWS_SECRET_ACCESS_KEY: 'secret-of-the-aws-account' }
  folder.write('.env', 'OTHER_TOKEN=a-token-of-something-else\nthis line is wrong\n')
  folder.write('leaky.mjs', "throw new Error('no access with ' + process.env.OTHER_TOKEN)")
  const [id = ''] = sessionIds
  const commands: [args: string[], more?: Record<string, string>][] = [
    [['doctor', '--verbose']],
    [
      ['doctor', '--verbose'],
      { REDIS_URL: `redis://user:wrong-password-1@127.0.0.1:${redis.port}` },
    ],
    [['doctor', '--verbose'], { REDIS_URL: `redis://user:wrong-password-1@127.0.0.1:1/x?y` }],
    [['doctor', '--verbose'], { REDIS_URL: `user:wrong-password-1@127.0.0.1` }],
    [['doctor'], { CACHE_DRIVER: 'dynamodb', CACHE_TABLE: 'missing-table', ...aws }],
    [['doctor'], { CACHE_ENCRYPTION_KEYS: 'not-a-valid-encryption-key' }],
    [['inspect', 'user:1']],
    [['inspect', 'user:1'], { REDIS_URL: `redis://user:wrong-password-1@127.0.0.1:${redis.port}` }],
    [['inspect', id, '--store', 'session']],
    [['inspect', `${id}-missing`, '--store', 'session']],
    [['sessions', 'list', '--user', '7']],
    [['doctor', '--config', 'leaky.mjs']],
    [['clear', '--tag', 'users', '--yes']],
    [['clear', '--prefix', 'user:', '--yes']],
    [['table', 'describe', '--table', 'missing-table'], aws],
    [['table', 'terraform', '--table', 'other-table'], aws],
    [['sessions', 'revoke', '--user', '7', '--yes']],
    [['clear', '--store', 'session', '--yes']],
  ]
  const runBoth = async ([args, more]: (typeof commands)[number]) => {
    const runs = [[], ['--json']].map((format) =>
      folder.run([...args, ...format], { ...env, ...more }),
    )
    return (await Promise.all(runs)).map((outcome) => [args.join(' '), outcome] as const)
  }
  const outcomes: (readonly [string, Outcome])[] = []
  for (let next = 0; next < commands.length; next += 3) {
    outcomes.push(...(await Promise.all(commands.slice(next, next + 3).map(runBoth))).flat())
  }
  const secrets = [
    ...[password, indexSecret, 'secret-of-the-cookies', encryptionKey, 'secret-of-the-aws-account'],
    ...['wrong-password-1', 'not-a-valid-encryption-key', 'a-token-of-something-else'],
    ...['a-secret-value', 'csrf-of', ...sessionIds],
  ]
  for (const [name, { stdout, stderr }] of outcomes) {
    expect((stdout + stderr).length, name).toBeGreaterThan(0)
    for (const secret of secrets) expect(stdout + stderr, name).not.toContain(secret)
  }
})
