import { redis } from '@stowage/redis'
import type { Cluster } from '@stowage/test-servers'

/** What `closeStores` closes. */
export const stores: ReturnType<typeof redis>[] = []

export function createStore({ addresses }: Cluster, options: Parameters<typeof redis>[0] = {}) {
  const clusterNodes = addresses.map(({ host, port }) => `${host}:${port}`)
  // A busy machine is not a failure. Tests of timeouts have their own.
  const defaults = { timeout: '20s', connectTimeout: '20s', maxValueBytes: 1_048_576 } as const
  const store = redis({ clusterNodes, ...defaults, ...options })
  stores.push(store)
  return store
}

/** Call it after each test. */
export async function closeStores(): Promise<void> {
  await Promise.all(stores.splice(0).map((store) => store.close()))
}
