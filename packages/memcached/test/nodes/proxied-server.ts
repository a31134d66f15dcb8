import { type MemcachedOptions, memcached } from '@stowage/memcached'
import {
  type FaultProxy,
  type MemcachedServer,
  startMemcached,
  startProxy,
} from '@stowage/test-servers'
import { beforeEach } from 'vitest'

/** Longer than a busy machine stops a server, as only tests of silent servers wait for it. */
export const timeoutMs = 1_500

/** A server for each test, and a proxy before it. A store that a test creates is closed at the end of the test. */
export function useProxiedServer(args: readonly string[] = []) {
  let server: MemcachedServer
  let proxy: FaultProxy
  const stores: { close(): Promise<void> }[] = []
  beforeEach(async () => {
    server = await startMemcached({ args })
    proxy = await startProxy(server.port)
    return async () => {
      await Promise.all(stores.splice(0).map((store) => store.close()))
      await proxy.stop()
      await server.stop()
    }
  })
  const opened = (options: MemcachedOptions) => {
    const store = memcached(options)
    stores.push(store)
    return store
  }
  return {
    get server() {
      return server
    },
    get proxy() {
      return proxy
    },
    createStore: (options: MemcachedOptions = {}) =>
      opened({
        servers: [`127.0.0.1:${proxy.port}`],
        timeout: timeoutMs,
        connectTimeout: timeoutMs,
        ...options,
      }),
    createDirectStore: (options: MemcachedOptions = {}) =>
      opened({ servers: [server.address], ...options }),
  }
}
