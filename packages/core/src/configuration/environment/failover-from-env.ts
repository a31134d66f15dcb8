import { failover } from '../../failover/failover.ts'
import type { ByteStore, CacheStore } from '../../store.ts'
import type { DriverRegistry } from '../driver-registry.ts'
import { Env, type Variables } from '../env.ts'

/** A store that the environment selects, and a text that is equal for two selections of the same backend. */
export interface StoreChoice {
  /** Name of the driver, or of the store of the application. */
  readonly name: string
  readonly store: () => CacheStore
  readonly backendId: string
  /** Names of the drivers of its fallback stores. */
  readonly fallbacks?: readonly string[]
}

const variable = 'CACHE_FAILOVER'

/**
 * Returns the stores of `CACHE_FAILOVER` behind the chosen one: names of drivers, separated by commas. They read the
 * variables of their drivers, and those with the prefix `FAILOVER_` first. Returns `undefined` after a problem.
 */
export async function failoverFromEnv(
  choice: StoreChoice,
  variables: Variables,
  registry: DriverRegistry,
  env: Env,
): Promise<StoreChoice | undefined> {
  const names = env.text(variable)?.split(',') ?? []
  const backendIds = new Set([choice.backendId])
  const fallbacks: StoreChoice[] = []
  for (const name of names) {
    const fallback = await fallbackFromEnv(name.trim(), variables, registry, env)
    if (fallback === undefined) return undefined
    if (backendIds.has(fallback.backendId)) {
      const remedy = `contains ${name.trim()}, which is the backend of the cache itself. Choose another one, or set its address with the prefix FAILOVER_.`
      env.problem(variable, remedy)
      return undefined
    }
    backendIds.add(fallback.backendId)
    fallbacks.push(fallback)
  }
  if (fallbacks.length === 0) return choice
  // A store that keeps entries by reference is rejected there.
  const create = ({ store }: StoreChoice) => store() as ByteStore
  return {
    name: choice.name,
    store: () => failover([create(choice), ...fallbacks.map(create)]),
    backendId: choice.backendId,
    fallbacks: fallbacks.map(({ name }) => name),
  }
}

async function fallbackFromEnv(
  name: string,
  variables: Variables,
  registry: DriverRegistry,
  env: Env,
): Promise<StoreChoice | undefined> {
  if (!registry.has(name)) {
    env.problem(variable, `contains an unknown driver. ${registry.suggestion(name)}`)
    return undefined
  }
  try {
    const driver = await registry.load(name)
    const options = driver.fromEnv(new Env(variables, 'failover', env.problems))
    const backendId = driver.backendId?.(options) ?? JSON.stringify(options)
    return { name, store: () => driver.create(options), backendId: `${name} ${backendId}` }
  } catch (error) {
    env.problem(variable, (error as Error).message)
    return undefined
  }
}
