import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { ConfigError, DriverRegistry } from '@stowage/core'
import memoryDriver, { memory } from '@stowage/memory'
import {
  type ConfiguredSession,
  type RequestSession,
  type SessionFromEnvOptions,
  sessionFromEnv,
  sessionSecret,
} from '@stowage/sessions'
import { hasShortOldSecret } from '@stowage/sessions/tools'
import { expect, onTestFinished, test, vi } from 'vitest'

const secret = 'a secret of at least 32 characters'
const newSecret = `a new one: ${secret}`
const registry = new DriverRegistry({ memory: () => import('@stowage/memory') })

/** Makes one request that changes the session. Resolves to its `Set-Cookie` header. */
async function cookieOf({ middleware }: ConfiguredSession): Promise<string | undefined> {
  const server = createServer((request, response) => {
    middleware(request, response, () => {
      ;(request as unknown as { session: RequestSession }).session.n = 1
      response.end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}`)
  server.closeAllConnections()
  server.close()
  return response.headers.getSetCookie()[0]
}

async function problemsOf(
  variables: Record<string, string>,
  options?: SessionFromEnvOptions,
): Promise<string[]> {
  const error = await sessionFromEnv(variables, registry, options).catch((reason) => reason)
  if (!(error instanceof Error)) return []
  if (!(error instanceof ConfigError)) throw error
  return error.problems.map(({ variable }) => variable)
}

test('the cookie has safe attributes, and expires with the session', async () => {
  const configured = await sessionFromEnv({ SESSION_SECRET: secret }, registry)
  expect(await cookieOf(configured)).toMatch(
    /^connect\.sid=s%3A[^;]+; Path=\/; Expires=[^;]+; HttpOnly; SameSite=Lax$/,
  )
  expect(configured.isSecretGenerated).toBe(false)
})

test('variables set the cookie', async () => {
  const configured = await sessionFromEnv(
    {
      SESSION_SECRET: `${newSecret}, ${secret}`,
      SESSION_COOKIE_NAME: 'sid',
      SESSION_COOKIE_DOMAIN: 'example.com',
      SESSION_COOKIE_PATH: '/',
      SESSION_COOKIE_SECURE: 'false',
      SESSION_COOKIE_SAME_SITE: 'strict',
    },
    registry,
  )
  expect(await cookieOf(configured)).toMatch(
    /^sid=s%3A[^;]+; Domain=example\.com; Path=\/; Expires=[^;]+; HttpOnly; SameSite=Strict$/,
  )
})

test('without a secret, only development and tests start, with a random one', async () => {
  for (const NODE_ENV of ['development', 'test']) {
    const { isSecretGenerated } = await sessionFromEnv({ NODE_ENV }, registry)
    expect(isSecretGenerated).toBe(true)
  }
  for (const variables of [{}, { NODE_ENV: 'production' }, { NODE_ENV: 'staging' }]) {
    expect(await problemsOf(variables)).toEqual(['SESSION_SECRET'])
  }
})

test('in production, a secret that can be guessed is a problem', async () => {
  const short = 'x'.repeat(31)
  for (const SESSION_SECRET of ['a', 'change me', short, `${short},${secret}`]) {
    for (const NODE_ENV of ['production', '', 'staging']) {
      expect(await problemsOf({ SESSION_SECRET, NODE_ENV })).toEqual(['SESSION_SECRET'])
      expect(() => sessionSecret({ SESSION_SECRET, NODE_ENV })).toThrow(/fewer than 32 characters/)
    }
    expect(await problemsOf({ SESSION_SECRET, NODE_ENV: 'development' })).toEqual([])
  }
  expect(await problemsOf({ SESSION_SECRET: `${short}x`, NODE_ENV: 'production' })).toEqual([])
})

test('in production, an old secret may be short: no user has to log in again', async () => {
  const old = 'change me'
  const SESSION_SECRET = `${secret},${old}`
  const variables = { SESSION_SECRET, NODE_ENV: 'production' }
  expect(await problemsOf(variables)).toEqual([])
  expect(sessionSecret(variables)).toEqual([secret, old])
  expect(hasShortOldSecret(variables)).toBe(true)
  expect(hasShortOldSecret({ ...variables, SESSION_SECRET: `${secret},${newSecret}` })).toBe(false)
  expect(hasShortOldSecret({ ...variables, SESSION_SECRET: secret })).toBe(false)
  expect(hasShortOldSecret({ ...variables, NODE_ENV: 'development' })).toBe(false)
})

test('sessionSecret returns all secrets; without any, a random one in development only', () => {
  const NODE_ENV = 'production'
  const both = { SESSION_SECRET: `${newSecret} , ${secret}`, NODE_ENV }
  expect(sessionSecret(both)).toEqual([newSecret, secret])
  expect(() => sessionSecret({ NODE_ENV })).toThrow('SESSION_SECRET: is not set')
  expect(() => sessionSecret({})).toThrow(ConfigError)
  expect(() => sessionSecret({ SESSION_SECRET: ',', NODE_ENV: 'test' })).toThrow('empty')
  const random = sessionSecret({ NODE_ENV: 'development' })
  expect(random).toEqual([expect.stringMatching(/^[\w-]{43}$/)])
  // All middlewares of the process accept the same cookies.
  expect(sessionSecret({ NODE_ENV: 'test' })).toEqual(random)
})

test('secrets that are separated by a space are refused: as one, they would end all sessions', async () => {
  const [random, old] = ['x'.repeat(32), 'y'.repeat(32)]
  for (const NODE_ENV of ['production', 'development']) {
    for (const SESSION_SECRET of [
      `${random} ${old}`,
      `${random}\nold`,
      `${secret},${random}\t${old}`,
    ]) {
      expect(await problemsOf({ SESSION_SECRET, NODE_ENV })).toEqual(['SESSION_SECRET'])
      expect(() => sessionSecret({ SESSION_SECRET, NODE_ENV })).toThrow('Use a comma between them.')
    }
  }
  expect(sessionSecret({ SESSION_SECRET: ` ${random} , ${secret}\n` })).toEqual([random, secret])
})

test('the type of sessions is that of the option index', async () => {
  const { sessions, caches } = await sessionFromEnv<{ userId?: number }>(
    { NODE_ENV: 'test' },
    registry,
    {
      sessions: { index: ({ userId }) => userId },
    },
  )
  await sessions.create('an id', { userId: 7 })
  const [listed] = await sessions.of(7)
  expect(listed?.session.userId).toBe(7)
  await caches.close()
})

test('all problems are reported at once, without secrets', async () => {
  const variables = {
    SESSION_SECRET: 'a secret,',
    SESSION_IDLE: 'soon',
    SESSION_COOKIE_SECURE: 'yes',
    SESSION_COOKIE_SAME_SITE: 'never',
    SESSION_COOKIE_NAME: 'a name',
    SESSION_COOKIE_DOMAIN: 'shop.example; Secure',
    SESSION_COOKIE_PATH: '/café',
    SESSION_DRIVER: 'unknown',
  }
  expect((await problemsOf(variables)).sort()).toEqual(Object.keys(variables).sort())
  const error = await sessionFromEnv(variables, registry).catch((reason) => reason)
  expect(error.message).not.toContain('a secret')
})

test('SESSION_IDLE limits the time between requests, and SESSION_LIFETIME that of the session', async () => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'] })
  onTestFinished(() => void vi.useRealTimers())
  const variables = { SESSION_SECRET: secret, SESSION_IDLE: '200ms', SESSION_LIFETIME: '500ms' }
  const { sessions } = await sessionFromEnv(variables, registry, { sessions: { touchAfter: 0 } })
  await sessions.create('id', { n: 0 })
  await sessions.create('idle', { n: 0 })
  for (let ms = 0; ms < 500; ms += 20) {
    const session = await sessions.read('id')
    if (session === undefined) throw new Error(`ended after ${ms} ms`)
    await sessions.touch('id', session)
    expect((await sessions.read('idle')) === undefined, `after ${ms} ms`).toBe(ms >= 200)
    vi.advanceTimersByTime(20)
  }
  expect(await sessions.read('id')).toBeUndefined()
})

/**
 * The warnings of a process that creates sessions from each of the variables, with options as JavaScript. In a process of
 * its own, because another test of this one may have had the warning.
 */
async function warningsOf(runs: readonly (readonly [variables: object, options: string])[]) {
  const calls = runs.map(([variables, options]) => `[${JSON.stringify(variables)}, ${options}]`)
  const program = `
    import { DriverRegistry } from '@stowage/core'
    import { sessionFromEnv } from '@stowage/sessions'

    const warnings = []
    process.on('warning', ({ message }) => warnings.push(message))
    const drivers = new DriverRegistry({
      memory: () => import('@stowage/memory'),
      redis: () => import('@stowage/redis'),
    })
    for (const [variables, options] of [${calls}]) {
      const { caches } = await sessionFromEnv(variables, drivers, options)
      await caches.close()
    }
    setImmediate(() => console.log(JSON.stringify(warnings)))`
  const args = ['--input-type=module', '--eval', program]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname })
  return JSON.parse(stdout)
}

test('replicated Redis that does not wait for a replica causes a warning, once', async () => {
  const base = { SESSION_SECRET: secret, CACHE_DRIVER: 'redis' }
  const replicas = { REDIS_PRIMARY: '127.0.0.1:1', REDIS_REPLICAS: '127.0.0.1:2' }
  const warnings = await warningsOf([
    [base, '{}'],
    [{ ...base, ...replicas, SESSION_REDIS_WAIT_REPLICAS: '1' }, '{}'],
    [{ ...base, ...replicas }, '{}'],
    [{ ...base, ...replicas }, '{}'],
  ])
  expect(warnings).toEqual([expect.stringContaining('SESSION_REDIS_WAIT_REPLICAS to the number')])
})

test('a list of secrets without one for the index causes a warning, once', async () => {
  const indexed = '{ sessions: { index: ({ user }) => user } }'
  const base = { CACHE_DRIVER: 'memory', SESSION_SECRET: secret }
  const list = { ...base, SESSION_SECRET: `${secret},${secret.toUpperCase()}` }
  const warnings = await warningsOf([
    [base, indexed],
    [list, '{}'],
    [{ ...list, SESSION_INDEX_SECRET: secret }, indexed],
    [list, indexed],
    [list, indexed],
  ])
  expect(warnings).toEqual([expect.stringContaining('Set SESSION_INDEX_SECRET to it before')])
})

test('sessions with an index use the secret of the variables', async () => {
  const { sessions } = await sessionFromEnv({ SESSION_SECRET: secret }, registry, {
    sessions: { index: (session) => session.user as string },
  })
  await sessions.create('id', { user: 'ada' })
  expect(await sessions.of('ada')).toHaveLength(1)
})

test('the sessions of users stay when a new secret is put before the old one', async () => {
  const options = { sessions: { index: ({ user }: Record<string, unknown>) => user as string } }
  const stored = memory()
  const shared = new DriverRegistry({
    memory: async () => ({ default: { ...memoryDriver, create: () => stored } }),
  })
  const before = await sessionFromEnv({ SESSION_SECRET: secret }, shared, options)
  await before.sessions.create('id', { user: 'ada' })
  const after = await sessionFromEnv({ SESSION_SECRET: `${newSecret}, ${secret}` }, shared, options)
  expect(await after.sessions.read('id')).toEqual({ user: 'ada' })
})

test('with an index, a secret that is too short is a problem of its variable', async () => {
  const options = { sessions: { index: () => 'ada' } }
  const short = { SESSION_SECRET: 'short', NODE_ENV: 'test' }
  expect(await problemsOf(short, options)).toEqual(['SESSION_SECRET'])
  const variables = { ...short, SESSION_INDEX_SECRET: 'too short' }
  expect(await problemsOf(variables, options)).toEqual(['SESSION_INDEX_SECRET'])
})

test.each([
  ['an object', { priority: 'high', sameSite: 'lax', maxAge: 60_000 } as const],
  ['a function', () => ({ priority: 'high', sameSite: 'lax', maxAge: 60_000 }) as const],
])(
  'variables precede the attributes of a cookie that is %s, and keep the others',
  async (_, cookie) => {
    const options = { middleware: { cookie, name: 'unused' } }
    const base = { SESSION_SECRET: secret, SESSION_COOKIE_NAME: 'sid' }
    expect(await cookieOf(await sessionFromEnv(base, registry, options))).toMatch(
      /^sid=s%3A[^;]+; Path=\/; Expires=[^;]+; HttpOnly; Priority=High; SameSite=Lax$/,
    )
    const variables = { ...base, SESSION_COOKIE_SAME_SITE: 'strict', SESSION_COOKIE_PATH: '/' }
    expect(await cookieOf(await sessionFromEnv(variables, registry, options))).toMatch(
      /; Priority=High; SameSite=Strict$/,
    )
  },
)

test('a function that returns a promise of attributes fails the requests, as without variables', async () => {
  const cookie = (async () => ({ domain: 'example.com' })) as never
  const configured = await sessionFromEnv({ SESSION_SECRET: secret }, registry, {
    middleware: { cookie },
  })
  const request = { headers: {}, socket: {} } as never
  const error = await new Promise((resolve) => configured.middleware(request, {} as never, resolve))
  expect(String(error)).toContain('a function that returns one, not a promise')
})

test('the cookie of an application expires with the session', async () => {
  const options = { middleware: { cookie: { priority: 'high' } }, sessions: {} } as const
  const variables = { SESSION_SECRET: secret, SESSION_LIFETIME: '1d' }
  const expiryOf = async (sessions: SessionFromEnvOptions['sessions'] = {}) => {
    const began = Date.now()
    const configured = await sessionFromEnv(variables, registry, { ...options, sessions })
    const header = await cookieOf(configured)
    return Date.parse(/Expires=([^;]+)/.exec(header ?? '')?.[1] ?? '') - began
  }
  const [hour, day] = [3_600_000, 86_400_000]
  expect(await expiryOf()).toBeGreaterThan(day - hour)
  const idle = await expiryOf({ idleTimeout: '2h' })
  expect(idle).toBeGreaterThan(hour)
  expect(idle).toBeLessThan(day)
})

test('the variables of the timeouts precede the options of the sessions', async () => {
  const variables = { SESSION_SECRET: secret, SESSION_IDLE: '1h' }
  const options = { sessions: { idleTimeout: '1ms', absoluteTimeout: '2h' } } as const
  const { sessions } = await sessionFromEnv(variables, registry, options)
  await sessions.create('id', { user: 'ada' })
  await new Promise((resolve) => setTimeout(resolve, 5))
  expect(await sessions.read('id')).toEqual({ user: 'ada' })
})
