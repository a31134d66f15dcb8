import {
  type Caches,
  type CachesFromEnvOptions,
  type ConfigProblem,
  cachesFromEnv,
  type DriverRegistry,
  type Duration,
  milliseconds,
  type Role,
} from '@stowage/core'
import { Env, type Variables } from '@stowage/core/driver'
import { type CookieOptions, cookieAttribute, cookieName } from '../http/cookie.ts'
import type { SessionMiddlewareOptions } from '../http/middleware-options.ts'
import { attributesOf, type SessionMiddleware, session } from '../http/session-middleware.ts'
import type { SessionsOptions } from '../session-options.ts'
import { Sessions } from '../sessions.ts'
import { warnOnce } from '../warn-once.ts'
import { generatedSecret, readSecrets } from './session-secret.ts'

export interface SessionFromEnvOptions<T extends object = Record<string, unknown>>
  extends CachesFromEnvOptions {
  /** Options of the sessions that variables do not set. */
  readonly sessions?: Omit<SessionsOptions<T>, 'cache' | 'indexSecret'>
  /** Options of the middleware that variables do not set. */
  readonly middleware?: Omit<SessionMiddlewareOptions, 'store' | 'secret'>
}

/** What the environment has configured. */
export interface ConfiguredSession<T extends object = Record<string, unknown>> {
  readonly middleware: SessionMiddleware
  readonly sessions: Sessions<T>
  /** The caches of both roles. Close them when the application ends. */
  readonly caches: Caches<Role>
  /** Whether `SESSION_SECRET` is not set, in development. The secret is random then: sessions end with the process. */
  readonly isSecretGenerated: boolean
}

/** The variables of `sessionFromEnv`, besides those of `cachesFromEnv`. */
export const sessionVariables: readonly string[] = [
  'SESSION_SECRET',
  'SESSION_IDLE',
  'SESSION_INDEX_SECRET',
  'SESSION_COOKIE_NAME',
  'SESSION_COOKIE_DOMAIN',
  'SESSION_COOKIE_PATH',
  'SESSION_COOKIE_SECURE',
  'SESSION_COOKIE_SAME_SITE',
  'SESSION_COOKIE_PARTITIONED',
]
/** That of the option `indexSecret` of `Sessions`. */
const minIndexSecretLength = 16
const sameSites = ['lax', 'strict', 'none'] as const

/** The variable has a unit: unlike a number below a second, it needs no warning. */
function withUnit(ms: number): Duration {
  return `${Math.ceil(ms)}ms`
}

/**
 * Creates the middleware for sessions, and the caches of both roles, from environment variables. In addition to those of
 * `cachesFromEnv`:
 *
 * | variable | meaning | default |
 * |---|---|---|
 * | `SESSION_SECRET` | signs the cookie, with at least 32 characters. A list separated by commas: the first one signs, all are accepted, and later ones may be shorter | random in development, required in production |
 * | `SESSION_IDLE` | lifetime of a session after its last request; `SESSION_LIFETIME` is then its lifetime from its beginning | `SESSION_LIFETIME` |
 * | `SESSION_INDEX_SECRET` | hides the users in the keys of their lists | the last `SESSION_SECRET` |
 * | `SESSION_COOKIE_NAME`, `_DOMAIN`, `_PATH` | of the cookie | `connect.sid`; none; `/` |
 * | `SESSION_COOKIE_SECURE` | `true`, `false` or `auto` | `auto` |
 * | `SESSION_COOKIE_SAME_SITE` | `lax`, `strict` or `none` | `lax` |
 * | `SESSION_COOKIE_PARTITIONED` | a cookie for each top-level site | `false` |
 *
 * @throws ConfigError with all problems
 * @example
 * const registry = new DriverRegistry({ memory: () => import('@stowage/memory') })
 * const { middleware } = await sessionFromEnv({ ...process.env, NODE_ENV: 'development' }, registry)
 * app.use(middleware)
 */
export async function sessionFromEnv<T extends object = Record<string, unknown>>(
  variables: Variables,
  registry: DriverRegistry,
  options: SessionFromEnvOptions<T> = {},
): Promise<ConfiguredSession<T>> {
  const env = new Env(variables, '', [...(options.problems ?? [])])
  const { index, idleTimeout } = options.sessions ?? {}
  const configured = readSecrets(env)
  const secret = configured ?? [generatedSecret()]
  const indexSecret = index && readIndexSecret(env, secret)
  const cookie = readCookie(env)
  const name = readName(env)
  const [idle, lifetime] = [env.duration('SESSION_IDLE'), env.duration('SESSION_LIFETIME')]
  const caches = await cachesFromEnv(variables, registry, {
    ...options,
    knownVariables: [...sessionVariables, ...(options.knownVariables ?? [])],
    problems: env.problems,
  })
  warnOfLostLogouts(variables)
  const cache = caches.use('session')
  const sessions = new Sessions<T>({
    cache,
    ...options.sessions,
    ...(idle !== undefined && { idleTimeout: withUnit(idle) }),
    ...(idle !== undefined && lifetime !== undefined && { absoluteTimeout: withUnit(lifetime) }),
    ...(indexSecret !== undefined && { indexSecret }),
  })
  // The cookie expires with the session.
  const maxAge = idle ?? (idleTimeout === undefined ? cache.ttl : milliseconds(idleTimeout))
  const middleware = session({
    secret,
    store: sessions,
    ...options.middleware,
    cookie: withAttributes(maxAge, options.middleware?.cookie, cookie),
    ...(name !== undefined && { name }),
  })
  return { middleware, sessions, caches, isSecretGenerated: configured === undefined }
}

/** Without the last secret of the list, the sessions of a user are not found, and not ended with the others. */
function warnOfIndexSecret(): void {
  warnOnce(
    'STOWAGE_INDEX_SECRET',
    'The last secret of SESSION_SECRET is also that of the index of sessions by user. Set SESSION_INDEX_SECRET to it before ' +
      'you remove it from the list: otherwise sessions that exist are not ended when their user is signed out everywhere.',
  )
}

/** The last secret of the cookie is the one that stays when a new one is put before it. */
function readIndexSecret(env: Env, secrets: readonly string[]): string {
  const own = env.text('SESSION_INDEX_SECRET')
  const indexSecret = own ?? (secrets.at(-1) as string)
  if (own === undefined && secrets.length > 1) warnOfIndexSecret()
  if (indexSecret.length < minIndexSecretLength) {
    const name = own === undefined ? 'SESSION_SECRET' : 'SESSION_INDEX_SECRET'
    const remedy = `must have at least ${minIndexSecretLength} characters, as the sessions have an index.`
    env.problem(name, remedy)
  }
  return indexSecret
}

function readName(env: Env): string | undefined {
  const remedy = 'is not the name of a cookie. Use letters, digits, "-", "_" and ".".'
  return readText(env, 'SESSION_COOKIE_NAME', cookieName, remedy)
}

function readText(env: Env, name: string, pattern: RegExp, remedy: string): string | undefined {
  const text = env.text(name)
  if (text !== undefined && !pattern.test(text)) env.problem(name, remedy)
  return text
}

function readCookie(env: Env): CookieOptions {
  const secure = env.choice('SESSION_COOKIE_SECURE', ['true', 'false', 'auto'])
  const sameSite = env.choice('SESSION_COOKIE_SAME_SITE', sameSites)
  const [path, domain] = ['SESSION_COOKIE_PATH', 'SESSION_COOKIE_DOMAIN'].map((name) =>
    readText(env, name, cookieAttribute, 'is not an attribute of a cookie. Use ASCII without ";".'),
  )
  const partitioned = env.flag('SESSION_COOKIE_PARTITIONED')
  if (partitioned && secure === 'false') {
    env.problem('SESSION_COOKIE_PARTITIONED', 'requires a secure cookie.')
  }
  if (sameSite === 'none' && secure === 'false') {
    env.problem(
      'SESSION_COOKIE_SAME_SITE',
      'none requires a secure cookie. Set SESSION_COOKIE_SECURE to true or auto.',
    )
  }
  return {
    ...(secure !== undefined && { secure: secure === 'auto' ? secure : secure === 'true' }),
    ...(sameSite !== undefined && { sameSite }),
    ...(path !== undefined && { path }),
    ...(domain !== undefined && { domain }),
    ...(partitioned !== undefined && { partitioned }),
  }
}

type CookieOption = SessionMiddlewareOptions['cookie']

/** Adds attributes to the cookie of the application: defaults, which it may change, and those of variables. */
function withAttributes(
  maxAge: number | undefined,
  cookie: CookieOption,
  variables: CookieOptions,
): CookieOption {
  const defaults: CookieOptions = {
    maxAge: maxAge && withUnit(maxAge),
    secure: 'auto',
    sameSite: 'lax',
  }
  if (typeof cookie !== 'function') return { ...defaults, ...cookie, ...variables }
  return (request) => ({ ...defaults, ...attributesOf(cookie, request), ...variables })
}

/**
 * Returns the problems of the variables that `sessionFromEnv` reads in addition to `cachesFromEnv`, for tools. A problem
 * without a value is a missing variable.
 *
 * @example
 * for (const { variable, remedy } of sessionProblems(process.env)) console.log(variable, remedy)
 */
export function sessionProblems(variables: Variables): readonly ConfigProblem[] {
  const env = new Env(variables)
  readSecrets(env)
  readCookie(env)
  readName(env)
  env.duration('SESSION_IDLE')
  return env.problems
}

/**
 * Warns once if sessions are stored on replicated Redis without waiting for a replica: after a failover, the new primary
 * may have a session whose logout was acknowledged.
 */
function warnOfLostLogouts(variables: Variables): void {
  const env = new Env(variables, 'session')
  const driver = env.text('SESSION_DRIVER') ?? env.text('CACHE_DRIVER')
  const topology = ['REDIS_REPLICAS', 'REDIS_SENTINELS', 'REDIS_CLUSTER_NODES'].find(
    (name) => env.text(name) !== undefined,
  )
  const waits = (env.integer('REDIS_WAIT_REPLICAS') ?? 0) > 0
  if (driver !== 'redis' || topology === undefined || waits) return
  warnOnce(
    'STOWAGE_LOST_LOGOUTS',
    `Sessions are stored on replicated Redis (${topology}) without REDIS_WAIT_REPLICAS. After a failover, a session may ` +
      'exist again although its logout was acknowledged. Set SESSION_REDIS_WAIT_REPLICAS to the number of replicas.',
  )
}
