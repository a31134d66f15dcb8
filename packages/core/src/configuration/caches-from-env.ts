import { type CacheDefinition, Caches } from '../caches.ts'
import { ConfigError, type ConfigProblem } from '../errors.ts'
import type { CacheStore } from '../store.ts'
import type { DriverRegistry } from './driver-registry.ts'
import { Env, type Variables } from './env.ts'

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

/** Where a role keeps its entries. */
interface Choice {
  readonly store: () => CacheStore
  /** The same for two roles that share a backend, and so a space of keys. */
  readonly backendId: string
}

/**
 * The caches of the two roles, as the environment says:
 *
 * | variable | meaning | default |
 * |---|---|---|
 * | `CACHE_DRIVER`, `SESSION_DRIVER` | name of a driver | `memory`; sessions: as the cache |
 * | `CACHE_STORE`, `SESSION_STORE` | name of a store in `options.stores`, instead of a driver | sessions: as the cache |
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
  const chosen = { cache: await reader.choose('cache'), session: await reader.choose('session') }
  reader.checkPrefixes(chosen)
  const stores = {
    cache: reader.definition('cache', chosen.cache),
    session: reader.definition('session', chosen.session),
  }
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

  /** What the role's own variables choose, else for sessions what those of the cache do. `undefined`: a problem. */
  async choose(role: Role): Promise<Choice | undefined> {
    const env = this.#env(role)
    for (const chooser of role === 'session' ? (['session', 'cache'] as const) : [role]) {
      const [storeVariable, driverVariable] = [
        `${upper(chooser)}_STORE`,
        `${upper(chooser)}_DRIVER`,
      ]
      const [store, driver] = [env.text(storeVariable), env.text(driverVariable)]
      if (store !== undefined && driver !== undefined) {
        env.problem(storeVariable, `and ${driverVariable} are given. Choose by one of them.`)
        return undefined
      }
      if (store !== undefined) return this.#named(env, storeVariable, store)
      if (driver !== undefined) return this.#driven(env, driverVariable, driver)
    }
    return this.#driven(env, `${upper(role)}_DRIVER`, 'memory')
  }

  definition(role: Role, choice: Choice | undefined): CacheDefinition {
    const { ttl, defaultTtl } = roles[role]
    return {
      // Without a choice there is a problem, and nothing is made.
      store: choice?.store as () => CacheStore,
      prefix: this.#prefix(role),
      ttl: this.#env(role).duration(ttl) ?? defaultTtl,
    }
  }

  /** One backend for both roles needs prefixes of which neither contains the other: `clear()` removes all below its own. */
  checkPrefixes({ cache, session }: Readonly<Record<Role, Choice | undefined>>): void {
    const [a, b] = [this.#prefix('cache'), this.#prefix('session')]
    if (cache === undefined || session === undefined || cache.backendId !== session.backendId)
      return
    if (!a.startsWith(b) && !b.startsWith(a)) return
    this.#env('session').problem(
      'SESSION_PREFIX',
      `"${b}" and the cache's prefix "${a}" overlap, so clearing one would clear the other. Give both a prefix of its own.`,
    )
  }

  #named(env: Env, variable: string, name: string): Choice | undefined {
    const store = Object.hasOwn(this.#stores, name) ? this.#stores[name] : undefined
    if (store !== undefined) return { store, backendId: `store ${name}` }
    const names = Object.keys(this.#stores).join(', ') || 'none'
    env.problem(variable, `names no store of this application. Defined: ${names}.`)
    return undefined
  }

  async #driven(env: Env, variable: string, name: string): Promise<Choice | undefined> {
    if (!this.#registry.has(name)) {
      env.problem(variable, `is no driver. ${this.#registry.choices(name)}`)
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

/** Both roles read the same variables: what is wrong for both is said once. */
function unique(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()]
}
