import { join } from 'node:path'
import type { ByteStore, Driver, Env } from '@stowage/core/driver'
import { lmdbDiagnostics } from './lmdb-diagnostics.ts'
import {
  durabilities,
  type LmdbOptions,
  minBytes,
  onDamageChoices,
  resolveOptions,
} from './lmdb-options.ts'
import { LmdbStore } from './lmdb-store.ts'

/**
 * Creates a store in a file that the processes of this machine share and that survives restarts. The first command opens
 * it.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @throws TypeError for unknown options
 * @example
 * const cache = new Cache(lmdb({ path: '.cache/app', maxBytes: '64MiB' }))
 * await cache.set('k', { n: 1 }, { ttl: '10m' })
 * await cache.close()
 */
export function lmdb(options: LmdbOptions = {}): ByteStore {
  const resolved = resolveOptions(options)
  return Object.assign(new LmdbStore(resolved), { diagnostics: lmdbDiagnostics(resolved.path) })
}

/**
 * The driver for `CACHE_DRIVER=lmdb` and `SESSION_DRIVER=lmdb`. Each role has a directory of its own below `CACHE_PATH`,
 * so that a full cache never evicts sessions; and a damaged file of sessions is an error.
 *
 * @example
 * const registry = new DriverRegistry({ lmdb: () => import('@stowage/lmdb') })
 * const configured = await cachesFromEnv({ CACHE_DRIVER: 'lmdb', CACHE_PATH: '.cache' }, registry)
 * await configured.close()
 */
const driver: Driver<LmdbOptions> = {
  name: 'lmdb',
  create: lmdb,
  fromEnv: (env) => ({
    path: pathFromEnv(env),
    maxBytes: env.bytes('LMDB_MAX_BYTES', minBytes),
    durability: env.choice('LMDB_DURABILITY', durabilities),
    onDamage:
      env.choice('LMDB_ON_DAMAGE', onDamageChoices) ??
      (env.role === 'session' ? 'error' : undefined),
    timeout: env.timeout('LMDB_TIMEOUT'),
  }),
  backendId: ({ path = '.cache' }) => path,
}
export default driver

function pathFromEnv(env: Env): string {
  const own = env.role === 'session' ? env.text('SESSION_PATH') : undefined
  return own ?? join(env.text('CACHE_PATH') ?? '.cache', env.role)
}
