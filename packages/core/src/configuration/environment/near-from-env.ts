import type { InvalidationBus } from '../../bus.ts'
import type { NearOptions } from '../../near/near-options.ts'
import type { DriverRegistry } from '../driver-registry.ts'
import type { Env } from '../env.ts'

/**
 * Reads the options of a near cache: `CACHE_NEAR_BYTES`, which enables it, `CACHE_NEAR_TTL` and `CACHE_BUS`.
 *
 * @param name returns the name of a variable for the role: `NEAR_BYTES` becomes `CACHE_NEAR_BYTES`
 */
export async function nearFromEnv(
  env: Env,
  name: (variable: string) => string,
  registry: DriverRegistry,
): Promise<NearOptions | undefined> {
  const sizeVariable = name('NEAR_BYTES')
  const maxBytes = env.bytes(sizeVariable)
  const ttl = env.duration(name('NEAR_TTL'))
  const busName = env.text(name('BUS'))
  if (maxBytes === undefined) {
    if (env.text(sizeVariable) === undefined) {
      checkUnused(env, sizeVariable, name('NEAR_TTL'), name('BUS'))
    }
    return undefined
  }
  const bus = busName === undefined ? undefined : await readBus(env, name('BUS'), busName, registry)
  return { maxBytes, ttl, bus }
}

/** They belong to a near cache, which only its size enables. */
function checkUnused(env: Env, sizeVariable: string, ...variables: readonly string[]): void {
  for (const variable of variables) {
    if (env.text(variable) === undefined) continue
    env.problem(variable, `has no effect without ${sizeVariable}. Set both, or remove it.`)
  }
}

/** `redis`, or with a kind `redis-tracking`. The cache creates the bus, and closes it. */
async function readBus(
  env: Env,
  variable: string,
  text: string,
  registry: DriverRegistry,
): Promise<(() => InvalidationBus) | undefined> {
  const [driverName = '', ...kind] = text.split('-')
  try {
    const driver = registry.has(driverName) ? await registry.load(driverName) : undefined
    const bus = driver?.busFromEnv?.(env, kind.join('-'))
    if (bus !== undefined) return () => bus
    env.problem(variable, 'is not an invalidation bus. Use redis or redis-tracking.')
  } catch (error) {
    env.problem(variable, (error as Error).message)
  }
  return undefined
}
