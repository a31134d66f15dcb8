import { CacheError } from '@stowage/core'
import memjs from 'memjs'

/** What is used or replaced of a memjs `Server`. */
const members = ['sock', 'write', 'error', 'close', 'responseHandler', 'saslAuth', 'writeSASL']

/** @throws CacheError `ERR_CACHE_CONFIG` for a memjs without one of the members this driver uses or replaces */
export function usable<Server extends { readonly prototype: object }>(base: Server): Server {
  const missing = members.filter(
    (name) => typeof Reflect.get(base?.prototype ?? {}, name) !== 'function',
  )
  if (missing.length === 0) return base
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    `memcached: the installed memjs has no Server.prototype.${missing.join(', ')}. Install memjs 1.3.2.`,
  )
}

/** The wire base: one server, its credentials and the handshake that presents them. */
export const Server: typeof memjs.Server = usable(memjs.Server)
