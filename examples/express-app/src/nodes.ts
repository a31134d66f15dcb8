import type { DriverLoader } from '@stowage/core'
import type { MemcachedByteStore, MemcachedOptions, NodeStatus } from '@stowage/memcached'

/** The nodes behind each role that is kept in Memcached. A cache hides its store, so the driver makes a note of it. */
export class MemcachedNodes {
  readonly #stores = new Map<string | undefined, MemcachedByteStore>()

  /** The driver as it is, and the note. */
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

  /** As they are now; none for a role that is kept elsewhere. */
  of(role: string): readonly NodeStatus[] {
    return this.#stores.get(role)?.nodes() ?? []
  }
}
