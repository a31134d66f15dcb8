import type { DriverLoader } from '@stowage/core'
import type { MemcachedByteStore, MemcachedOptions, NodeStatus } from '@stowage/memcached'

/**
 * The Memcached nodes of each role, for the status page. A cache does not expose its store, so this class wraps the
 * driver and records every store it creates.
 */
export class MemcachedNodes {
  readonly #stores = new Map<string | undefined, MemcachedByteStore>()

  /** Loads the driver with a `create` that records the store. */
  readonly load: DriverLoader = async () => {
    const { default: driver, memcached } = await import('@stowage/memcached')
    const roles = new Map<MemcachedOptions, string>()
    return {
      default: {
        ...driver,
        fromEnv: (env) => {
          const options = driver.fromEnv(env)
          roles.set(options, env.role)
          return options
        },
        create: (options: MemcachedOptions) => {
          const store = memcached(options)
          this.#stores.set(roles.get(options), store)
          return store
        },
      },
    }
  }

  /** The current nodes of a role. Empty if the role uses another driver. */
  of(role: string): readonly NodeStatus[] {
    return this.#stores.get(role)?.nodes() ?? []
  }
}
