import { type CacheDefinition, Caches } from '../../caches.ts'
import { ConfigError, type ConfigProblem, type ConfigProblemCode } from '../../errors.ts'
import { checkEnvironment } from '../../options/check-arguments.ts'
import type { CacheStore } from '../../store.ts'
import { type Duration, milliseconds } from '../../time/duration.ts'
import type { Codec } from '../../values/codec.ts'
import type { DriverRegistry } from '../driver-registry.ts'
import { Env, type Variables } from '../env.ts'
import { type Codecs, codecFromEnv } from './codec-from-env.ts'
import { failoverFromEnv, type StoreChoice } from './failover-from-env.ts'
import { nearFromEnv } from './near-from-env.ts'
import { type UnreadVariable, VariableReads } from './unread-variables.ts'

/** A cache that the environment configures: the one of the application, or the one of its sessions. */
export type Role = 'cache' | 'session'

interface RoleDefaults {
  /** Variable of the default ttl. */
  readonly ttlVariable: string
  /** The default ttl if the variable is not set. */
  readonly defaultTtl: '1d' | null
}

const roleDefaults: Readonly<Record<Role, RoleDefaults>> = {
  cache: { ttlVariable: 'CACHE_TTL', defaultTtl: null },
  session: { ttlVariable: 'SESSION_LIFETIME', defaultTtl: '1d' },
}

export interface CachesFromEnvOptions {
  /** Stores of the application, which `CACHE_STORE` and `SESSION_STORE` select by name. */
  readonly stores?: Readonly<Record<string, () => CacheStore>>
  /** Codecs of the application, which `CACHE_CODEC` and `SESSION_CODEC` select by name, besides `json` and `structured`. */
  readonly codecs?: Codecs
  /** Names of further variables that the application reads. Similar names that are not read are reported. */
  readonly knownVariables?: readonly string[]
  /** Problems with other variables of the application, reported together with those found here. */
  readonly problems?: readonly ConfigProblem[]
}

/**
 * Creates the caches of both roles from environment variables:
 *
 * | variable | meaning | default |
 * |---|---|---|
 * | `CACHE_DRIVER`, `SESSION_DRIVER` | name of a driver; `null` for a cache that keeps nothing | `memory`; sessions: the choice of the cache |
 * | `CACHE_STORE`, `SESSION_STORE` | name of a store in `options.stores` | sessions: the choice of the cache |
 * | `CACHE_FAILOVER` | drivers of the stores that `failover()` puts behind the cache, separated by commas: `memory` | none |
 * | `CACHE_PREFIX`, `SESSION_PREFIX` | prepended to every key | `cache:`, `session:` |
 * | `CACHE_TTL`, `SESSION_LIFETIME` | default ttl with a unit: `10m` | none, `1d` |
 * | `CACHE_GENERATIONS`, `SESSION_GENERATIONS` | option `generations` of the cache | `true` |
 * | `CACHE_CODEC`, `SESSION_CODEC` | `json`, `structured` or a name in `options.codecs` | `json`; sessions: the choice of the cache |
 * | `CACHE_COMPRESS_FROM`, `SESSION_COMPRESS_FROM` | size in bytes from which values are compressed | never; sessions: the choice of the cache |
 * | `CACHE_ENCRYPTION_KEYS`, `SESSION_ENCRYPTION_KEYS` | keys of `encrypted()`, separated by commas: `2026:base64` | no encryption; sessions: the choice of the cache |
 * | `CACHE_NEAR_BYTES`, `SESSION_NEAR_BYTES` | size of a near cache in the process: `64MiB` | no near cache |
 * | `CACHE_NEAR_TTL`, `SESSION_NEAR_TTL` | longest time for which it serves an entry | `1m` with a bus, `1s` without |
 * | `CACHE_BUS`, `SESSION_BUS` | how it receives changes: `redis` or `redis-tracking` | none |
 * | `CACHE_AUDIT_SAMPLE` | share of the hits that an audit compares with the source: `1/1000` | no audit |
 *
 * The variables of a driver, such as `REDIS_URL`, apply to both roles. With the prefix `CACHE_` or `SESSION_`, they
 * apply to that role only; with `FAILOVER_`, to the stores of `CACHE_FAILOVER`. Sessions never fail over. Only the selected
 * drivers are imported.
 *
 * A variable with a similar name that is not read, such as `CACHE_DRVER`, is a problem if the default driver would be
 * used instead. All others are named in one warning of the process (`process.on('warning')`), with the code
 * `STOWAGE_UNREAD_VARIABLES`. Names in `options.knownVariables` are not reported.
 *
 * @throws ConfigError with all problems
 * @example
 * const registry = new DriverRegistry({
 *   memory: () => import('@stowage/memory'),
 *   redis: () => import('@stowage/redis'),
 * })
 * const configured = await cachesFromEnv(process.env, registry)
 * await configured.use('cache').set('k', 1)
 */
export async function cachesFromEnv(
  variables: Variables,
  registry: DriverRegistry,
  options: CachesFromEnvOptions = {},
): Promise<Caches<Role>> {
  const report = await readEnv(variables, registry, options)
  if (report.problems.length > 0) throw new ConfigError(report.problems)
  if (report.warning !== undefined) {
    process.emitWarning(report.warning, { code: 'STOWAGE_UNREAD_VARIABLES' })
  }
  return report.createCaches()
}

/** What the environment configures for a role. */
export interface RoleReport {
  /** Name of the driver, or of the store of the application. `undefined` if none can be selected. */
  readonly store: string | undefined
  /** Names of the drivers of `CACHE_FAILOVER`. */
  readonly failover: readonly string[]
  /** Equal for roles that share a backend. May contain a password: never print it. */
  readonly backendId: string | undefined
  readonly prefix: string
  /** Default ttl in milliseconds; `null` for none. */
  readonly ttl: number | null
}

/** What the environment configures, and its problems. */
export interface EnvReport {
  readonly roles: Readonly<Record<Role, RoleReport>>
  readonly problems: readonly ConfigProblem[]
  /** Variables that are not read and have a similar name. Those that select a driver are among the problems. */
  readonly unread: readonly UnreadVariable[]
  /** A text that names the unread variables. */
  readonly warning: string | undefined
  /** Names of the variables that are set and were read. */
  readonly used: readonly string[]
  /** Creates the caches. The one of a role without a store cannot be used. */
  createCaches(): Caches<Role>
}

/**
 * Reads the same variables as {@link cachesFromEnv}, for tools: reports the problems instead of throwing them.
 *
 * @example
 * const registry = new DriverRegistry({ memory: () => import('@stowage/memory') })
 * const { roles, problems } = await readEnv(process.env, registry)
 * console.log(roles.cache.store, problems.length)
 */
export async function readEnv(
  variables: Variables,
  registry: DriverRegistry,
  options: CachesFromEnvOptions = {},
): Promise<EnvReport> {
  checkEnvironment(variables, registry)
  const problems: ConfigProblem[] = [...(options.problems ?? [])]
  const reads = new VariableReads(variables, options.knownVariables)
  const reader = new RoleReader(reads, registry, options, problems)
  const choices = { cache: await reader.choose('cache'), session: await reader.choose('session') }
  reader.checkPrefixes(choices)
  const stores = {
    cache: await reader.definition('cache', choices.cache),
    session: await reader.definition('session', choices.session),
  }
  problems.push(...reads.problems())
  return {
    roles: {
      cache: reportOf(choices.cache, stores.cache),
      session: reportOf(choices.session, stores.session),
    },
    problems: unique(problems),
    unread: reads.unread(),
    warning: reads.warning(),
    used: reads.used(),
    createCaches: () => new Caches({ default: 'cache', stores }),
  }
}

function reportOf(
  choice: StoreChoice | undefined,
  { prefix = '', ttl }: CacheDefinition,
): RoleReport {
  return {
    store: choice?.name,
    failover: choice?.fallbacks ?? [],
    backendId: choice?.backendId,
    prefix,
    ttl: ttl === undefined || ttl === null ? null : milliseconds(ttl),
  }
}

/** The variable has a unit: unlike a number below a second, it needs no warning. */
function withUnit(ms: number): Duration {
  return ms < 1_000 ? `${Math.ceil(ms)}ms` : ms
}

class RoleReader {
  readonly #reads: VariableReads
  readonly #registry: DriverRegistry
  readonly #stores: Readonly<Record<string, () => CacheStore>>
  readonly #codecs: Codecs
  readonly #problems: ConfigProblem[]

  constructor(
    reads: VariableReads,
    registry: DriverRegistry,
    { stores = {}, codecs = {} }: CachesFromEnvOptions,
    problems: ConfigProblem[],
  ) {
    this.#reads = reads
    this.#registry = registry
    this.#stores = stores
    this.#codecs = codecs
    this.#problems = problems
  }

  /** Returns the choice for a role: sessions fall back to the variables of the cache. `undefined` after a problem. */
  async choose(role: Role): Promise<StoreChoice | undefined> {
    const env = this.#env(role)
    const choice = await this.#choosePrimary(role, env)
    if (role === 'session') {
      this.#refuseFailover(env)
      return choice
    }
    return choice && failoverFromEnv(choice, this.#reads.variables, this.#registry, env)
  }

  /** The store that a session was read from must also learn of a logout. */
  #refuseFailover(env: Env): void {
    if (env.text('SESSION_FAILOVER') === undefined) return
    env.problem('SESSION_FAILOVER', 'is not supported: logouts could be undone. Remove it.')
  }

  async #choosePrimary(role: Role, env: Env): Promise<StoreChoice | undefined> {
    for (const source of role === 'session' ? (['session', 'cache'] as const) : [role]) {
      const [storeVariable, driverVariable] = [`${upper(source)}_STORE`, `${upper(source)}_DRIVER`]
      const [store, driver] = [env.text(storeVariable), env.text(driverVariable)]
      if (store !== undefined && driver !== undefined) {
        env.problem(storeVariable, `is set together with ${driverVariable}. Use one of them.`)
        return undefined
      }
      if (store !== undefined) return this.#fromStore(env, storeVariable, store)
      if (driver !== undefined) return this.#fromDriver(env, driverVariable, driver)
    }
    return this.#fromDriver(env, `${upper(role)}_DRIVER`, 'memory')
  }

  async definition(role: Role, choice: StoreChoice | undefined): Promise<CacheDefinition> {
    const { ttlVariable, defaultTtl } = roleDefaults[role]
    const ttl = this.#env(role).duration(ttlVariable)
    const variableOf = (name: string) => `${upper(role)}_${name}`
    // Sessions have no loader to compare them with.
    const sample = role === 'cache' ? this.#env(role).share('CACHE_AUDIT_SAMPLE') : undefined
    return {
      // Without a choice there is a problem, and the caches are not created.
      store: choice?.store as () => CacheStore,
      prefix: this.#prefix(role),
      ttl: ttl === undefined ? defaultTtl : withUnit(ttl),
      generations: this.#env(role).flag(`${upper(role)}_GENERATIONS`),
      codec: this.#codec(role),
      near: await nearFromEnv(this.#env(role), variableOf, this.#registry),
      audit: sample === undefined ? undefined : { sample },
    }
  }

  /** On a shared backend, no prefix may start with the other: `clear()` of one role would clear the other as well. */
  checkPrefixes({ cache, session }: Readonly<Record<Role, StoreChoice | undefined>>): void {
    if (cache === undefined || session === undefined || cache.backendId !== session.backendId)
      return
    const [cachePrefix, sessionPrefix] = [this.#prefix('cache'), this.#prefix('session')]
    if (!cachePrefix.startsWith(sessionPrefix) && !sessionPrefix.startsWith(cachePrefix)) return
    this.#env('session').problem(
      'SESSION_PREFIX',
      `the prefixes "${sessionPrefix}" (session) and "${cachePrefix}" (cache) overlap, so clearing one would delete ` +
        'entries of the other. Use two prefixes, neither of which starts with the other.',
      'prefix-overlap',
    )
  }

  #fromStore(env: Env, variable: string, name: string): StoreChoice | undefined {
    const store = Object.hasOwn(this.#stores, name) ? this.#stores[name] : undefined
    if (store !== undefined) return { name, store, backendId: `store ${name}` }
    const names = Object.keys(this.#stores).join(', ') || 'none'
    const driver = this.#registry.has(name)
      ? ` To select the driver ${name}, use ${variable.replace('STORE', 'DRIVER')}.`
      : ''
    env.problem(variable, `is not a store of this application. Defined: ${names}.${driver}`)
    return undefined
  }

  async #fromDriver(env: Env, variable: string, name: string): Promise<StoreChoice | undefined> {
    if (!this.#registry.has(name)) {
      const isDefault = env.text(variable) === undefined
      const problem = isDefault
        ? `is not set, and its default ${name} is not registered.`
        : 'is not a known driver.'
      env.problem(variable, `${problem} ${this.#registry.suggestion(name)}`)
      return undefined
    }
    try {
      const driver = await this.#registry.load(name)
      this.#reads.addForeign(driver.foreignVariables)
      if (driver.discards === true && env.role === 'session') {
        env.problem(
          'SESSION_DRIVER',
          'cannot be null, because it keeps nothing. Choose another driver.',
        )
        return undefined
      }
      const options = driver.fromEnv(env)
      const backendId = driver.backendId?.(options) ?? JSON.stringify(options)
      return { name, store: () => driver.create(options), backendId: `${name} ${backendId}` }
    } catch (error) {
      env.problem(variable, (error as Error).message, codeOf(error))
      return undefined
    }
  }

  /** Sessions fall back to each variable of the cache. */
  #codec(role: Role): Codec | undefined {
    const env = this.#env(role)
    const isSet = (variable: string) => env.text(variable) !== undefined
    const variableOf = (name: string) =>
      isSet(`${upper(role)}_${name}`) ? `${upper(role)}_${name}` : `CACHE_${name}`
    return codecFromEnv(env, variableOf, this.#codecs)
  }

  #prefix(role: Role): string {
    return this.#env(role).text(`${upper(role)}_PREFIX`) ?? `${role}:`
  }

  #env(role: Role): Env {
    return new Env(this.#reads.variables, role, this.#problems)
  }
}

function codeOf(error: unknown): ConfigProblemCode | undefined {
  const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException
  const isMissing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
  return isMissing ? 'package-missing' : undefined
}

function upper(role: Role): string {
  return role.toUpperCase()
}

/** Both roles read the same variables, so that a problem may be found twice. */
function unique(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()]
}
