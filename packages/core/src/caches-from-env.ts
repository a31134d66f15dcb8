import { type CacheDefinition, Caches } from './caches.ts'
import type { Driver } from './driver.ts'
import { Env, type Variables } from './env.ts'
import { ConfigError, type ConfigProblem } from './errors.ts'
import type { DriverRegistry } from './registry.ts'
import type { CacheStore } from './store.ts'

/** What the environment configures: the application's cache, and its sessions. */
export type Role = 'cache' | 'session'

interface RoleRules {
  /** Variable of the default ttl, and the ttl without it. */
  readonly ttl: string
  readonly defaultTtl: '1d' | null
}

const roles: Readonly<Record<Role, RoleRules>> = {
  cache: { ttl: 'CACHE_TTL', defaultTtl: null },
  session: { ttl: 'SESSION_LIFETIME', defaultTtl: '1d' },
}

export interface CachesFromEnvOptions {
  /** Stores of the application's own, which `CACHE_STORE` and `SESSION_STORE` choose by name. */
  readonly stores?: Readonly<Record<string, () => CacheStore>>
  /** Problems the application has found in variables of its own, to be reported together with those found here. */
  readonly problems?: readonly ConfigProblem[]
}

/** What was chosen for a role; `undefined` when the choice itself is a problem. */
interface Chosen {
  readonly driver: Driver
  readonly options: unknown
}

/**
 * The caches of the two roles, as the environment says:
 *
 * | variable | meaning | default |
 * |---|---|---|
 * | `CACHE_DRIVER`, `SESSION_DRIVER` | name of a driver | `memory`; sessions: as the cache |
 * | `CACHE_STORE`, `SESSION_STORE` | name of a store in `options.stores`, instead of a driver | |
 * | `CACHE_PREFIX`, `SESSION_PREFIX` | in front of every key | `cache:`, `session:` |
 * | `CACHE_TTL`, `SESSION_LIFETIME` | default ttl, such as `10m` | none, `1d` |
 *
 * Driver variables such as `REDIS_URL` are the driver's; `CACHE_` or `SESSION_` in front gives one for that
 * role alone. Only the chosen drivers are imported.
 *
 * @throws ConfigError with every problem there is
 */
export async function cachesFromEnv(
  variables: Variables,
  registry: DriverRegistry,
  options: CachesFromEnvOptions = {},
): Promise<Caches<Role>> {
  const problems: ConfigProblem[] = [...(options.problems ?? [])]
  const reader = new RoleReader(variables, registry, options.stores ?? {}, problems)
  const stores = {
    cache: await reader.definition('cache'),
    session: await reader.definition('session'),
  }
  reader.checkPrefixes(stores)
  if (problems.length > 0) throw new ConfigError(unique(problems))
  return new Caches({ default: 'cache', stores })
}

class RoleReader {
  readonly #variables: Variables
  readonly #registry: DriverRegistry
  readonly #stores: Readonly<Record<string, () => CacheStore>>
  readonly #problems: ConfigProblem[]

  constructor(
    variables: Variables,
    registry: DriverRegistry,
    stores: Readonly<Record<string, () => CacheStore>>,
    problems: ConfigProblem[],
  ) {
    this.#variables = variables
    this.#registry = registry
    this.#stores = stores
    this.#problems = problems
  }

  async definition(role: Role): Promise<CacheDefinition> {
    const env = new Env(this.#variables, role, this.#problems)
    const rules = roles[role]
    return {
      store: await this.#store(role, env),
      prefix: this.#prefix(role),
      ttl: env.duration(rules.ttl) ?? rules.defaultTtl,
    }
  }

  /** One store for both roles needs prefixes of which neither contains the other: `clear()` removes all below its own. */
  checkPrefixes({ cache, session }: Readonly<Record<Role, CacheDefinition>>): void {
    const [a, b] = [cache.prefix ?? '', session.prefix ?? '']
    if (this.#driverName('cache') !== this.#driverName('session')) return
    if (!a.startsWith(b) && !b.startsWith(a)) return
    this.#env('session').problem(
      'SESSION_PREFIX',
      `"${b}" and the cache's prefix "${a}" overlap, so clearing one would clear the other. Give both a prefix of its own.`,
    )
  }

  async #store(role: Role, env: Env): Promise<() => CacheStore> {
    const named = this.#namedStore(role, env)
    if (named !== undefined) return named
    const chosen = await this.#driver(role, env)
    return () => (chosen as Chosen).driver.create((chosen as Chosen).options)
  }

  #namedStore(role: Role, env: Env): (() => CacheStore) | undefined {
    const variable = `${role.toUpperCase()}_STORE`
    const name = env.text(variable)
    if (name === undefined) return undefined
    if (!Object.hasOwn(this.#stores, name)) {
      const names = Object.keys(this.#stores).join(', ') || 'none'
      env.problem(variable, `names no store of this application. Defined: ${names}.`)
    }
    return this.#stores[name]
  }

  async #driver(role: Role, env: Env): Promise<Chosen | undefined> {
    const name = this.#driverName(role)
    const variable = this.#driverVariable(role)
    if (!this.#registry.has(name)) {
      env.problem(variable, `is no driver. ${this.#registry.choices(name)}`)
      return undefined
    }
    try {
      const driver = await this.#registry.load(name)
      return { driver, options: driver.fromEnv(env) }
    } catch (error) {
      env.problem(variable, (error as Error).message)
      return undefined
    }
  }

  #driverName(role: Role): string {
    return this.#env(role).text(this.#driverVariable(role)) ?? 'memory'
  }

  /** Sessions are kept where the cache is, unless they have a driver of their own. */
  #driverVariable(role: Role): string {
    const own = role === 'session' && this.#env(role).text('SESSION_DRIVER') !== undefined
    return own ? 'SESSION_DRIVER' : 'CACHE_DRIVER'
  }

  #prefix(role: Role): string {
    return this.#env(role).text(`${role.toUpperCase()}_PREFIX`) ?? `${role}:`
  }

  #env(role: Role): Env {
    return new Env(this.#variables, role, this.#problems)
  }
}

/** Both roles read the same variables: what is wrong for both is said once. */
function unique(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()]
}
