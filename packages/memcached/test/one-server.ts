import { type MemcachedOptions, memcached } from '@stowage/memcached'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { afterAll, beforeAll, onTestFinished } from 'vitest'

/** A server for all tests of a file. A store that a test creates is closed at the end of the test. */
export function useOneServer() {
  let server: MemcachedServer
  beforeAll(async () => {
    server = await startMemcached()
  })
  afterAll(() => server.stop())
  return {
    get port() {
      return server.port
    },
    createStore(options: MemcachedOptions = {}) {
      const store = memcached({ servers: [server.address], timeout: '5s', ...options })
      onTestFinished(() => store.close())
      return store
    },
  }
}
