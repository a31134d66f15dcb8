import { memcached } from '@stowage/memcached'
import { startMemcached } from '@stowage/test-servers'
import { fuzzStore } from '../../../../test/fuzz/fuzz-store.mjs'

/** @typedef {import('../../../../test/fuzz/fuzz-store.mjs').FuzzResult} FuzzResult */

/**
 * @param {number} ms
 * @param {import('@stowage/memcached').MemcachedOptions} [options]
 * @returns {Promise<FuzzResult>}
 */
export async function fuzzMemcached(ms, options = {}) {
  return fuzzStore(ms, await startMemcached(), ({ port }) =>
    memcached({
      servers: [`127.0.0.1:${port}`],
      timeout: '150ms',
      connectTimeout: '150ms',
      retryInterval: '100ms',
      ...options,
    }),
  )
}
