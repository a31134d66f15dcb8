import { type CacheDefinition, Caches } from '../caches.ts'
import { ConfigError, type ConfigProblem } from '../errors.ts'
import type { CacheStore } from '../store.ts'
import type { Codec } from '../values/codec.ts'
import { type Codecs, codecFromEnv } from './codec-from-env.ts'
import type { DriverRegistry } from './driver-registry.ts'
import { Env, type Variables } from './env.ts'

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
  /** Problems with other variables of the application, reported together with those found here. */
  readonly problems?: readonly ConfigProblem[]
}

/** The store that the environment selects for a role. */
interface StoreChoice {
  readonly store: () => CacheStore
  /** Equal for two roles that share a backend and therefore its keys. */
  readonly backendId: string
}

/**
 * Creates the caches of both roles from environment variables:
 *
 * | variable | meaning | default |
 * |---|---|---|
 * | `CACHE_DRIVER`, `SESSION_DRIVER` | name of a driver | `memory`; sessions: the choice of the cache |
 * | `CACHE_STORE`, `SESSION_STORE` | name of a store in `options.stores` | sessions: the choice of the cache |
 * | `CACHE_PREFIX`, `SESSION_PREFIX` | prepended to every key | `cache:`, `session:` |
 * | `CACHE_TTL`, `SESSION_LIFETIME` | default ttl with a unit: `10m` | none, `1d` |
 * | `CACHE_GENERATIONS`, `SESSION_GENERATIONS` | option `generations` of the cache | `true` |
 * | `CACHE_CODEC`, `SESSION_CODEC` | `json`, `structured` or a name in `options.codecs` | `json`; sessions: the choice of the cache |
 * | `CACHE_COMPRESS_FROM`, `SESSION_COMPRESS_FROM` | size in bytes from which values are compressed | never; sessions: the choice of the cache |
 * | `CACHE_ENCRYPTION_KEYS`, `SESSION_ENCRYPTION_KEYS` | keys of `encrypted()`, separated by commas: `2026:base64` | no encryption; sessions: the choice of the cache |
 *
 * The variables of a driver, such as `REDIS_URL`, apply to both roles. With the prefix `CACHE_` or `SESSION_`, they
 * apply to that role only. Only the selected drivers are imported.
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
  const problems: ConfigProblem[] = [...(options.problems ?? [])]
  const reader = new RoleReader(variables, registry, options, problems)
  const choices = { cache: await reader.choose('cache'), session: await reader.choose('session') }
  reader.checkPrefixes(choices)
  const stores = {
    cache: reader.definition('cache', choices.cache),
    session: reader.definition('session', choices.session),
  }
  if (problems.length > 0) throw new ConfigError(unique(problems))
  return new Caches({ default: 'cache', stores })
}

class RoleReader {
  readonly #variables: Variables
  readonly #registry: DriverRegistry
  readonly #stores: Readonly<Record<string, () => CacheStore>>
  readonly #codecs: Codecs
  readonly #problems: ConfigProblem[]

  constructor(
    variables: Variables,
    registry: DriverRegistry,
    { stores = {}, codecs = {} }: CachesFromEnvOptions,
    problems: ConfigProblem[],
  ) {
    this.#variables = variables
    this.#registry = registry
    this.#stores = stores
    this.#codecs = codecs
    this.#problems = problems
  }

  /** Returns the choice for a role: sessions fall back to the variables of the cache. `undefined` after a problem. */
  async choose(role: Role): Promise<StoreChoice | undefined> {
    const env = this.#env(role)
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

  definition(role: Role, choice: StoreChoice | undefined): CacheDefinition {
    const { ttlVariable, defaultTtl } = roleDefaults[role]
    return {
      // Without a choice there is a problem, and the caches are not created.
      store: choice?.store as () => CacheStore,
      prefix: this.#prefix(role),
      ttl: this.#env(role).duration(ttlVariable) ?? defaultTtl,
      generations: this.#env(role).flag(`${upper(role)}_GENERATIONS`),
      codec: this.#codec(role),
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
    )
  }

  #fromStore(env: Env, variable: string, name: string): StoreChoice | undefined {
    const store = Object.hasOwn(this.#stores, name) ? this.#stores[name] : undefined
    if (store !== undefined) return { store, backendId: `store ${name}` }
    const names = Object.keys(this.#stores).join(', ') || 'none'
    env.problem(variable, `is not a store of this application. Defined: ${names}.`)
    return undefined
  }

  async #fromDriver(env: Env, variable: string, name: string): Promise<StoreChoice | undefined> {
    if (!this.#registry.has(name)) {
      env.problem(variable, `is not a known driver. ${this.#registry.suggestion(name)}`)
      return undefined
    }
    try {
      const driver = await this.#registry.load(name)
      const options = driver.fromEnv(env)
      const backendId = driver.backendId?.(options) ?? JSON.stringify(options)
      return { store: () => driver.create(options), backendId: `${name} ${backendId}` }
    } catch (error) {
      env.problem(variable, (error as Error).message)
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
    return new Env(this.#variables, role, this.#problems)
  }
}

function upper(role: Role): string {
  return role.toUpperCase()
}

/** Both roles read the same variables, so that a problem may be found twice. */
function unique(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()]
}
