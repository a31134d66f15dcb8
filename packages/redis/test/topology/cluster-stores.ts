import { redis } from '@stowage/redis'
import type { Cluster } from '@stowage/test-servers'
import { afterEach } from 'vitest'

/** The stores that are closed after the test. */
export const stores: ReturnType<typeof redis>[] = []

export function createStore({ addresses }: Cluster, options: Parameters<typeof redis>[0] = {}) {
  const clusterNodes = addresses.map(({ host, port }) => `${host}:${port}`)
  // A busy machine is not a failure. Tests of timeouts have their own.
  const defaults = { timeout: '20s', connectTimeout: '20s', maxValueBytes: 1_048_576 } as const
  const store = redis({ clusterNodes, ...defaults, ...options })
  stores.push(store)
  return store
}

afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()))
})
