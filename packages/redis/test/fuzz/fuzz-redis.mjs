import { redis } from '@stowage/redis'
import { startRedis } from '@stowage/test-servers'
import { fuzzStore } from '../../../../test/fuzz/fuzz-store.mjs'

/**
 * @param {number} ms
 * @returns {Promise<import('../../../../test/fuzz/fuzz-store.mjs').FuzzResult>}
 */
export async function fuzzRedis(ms) {
  return fuzzStore(ms, await startRedis(), ({ url }) =>
    redis({ url, timeout: '150ms', connectTimeout: '150ms' }),
  )
}
