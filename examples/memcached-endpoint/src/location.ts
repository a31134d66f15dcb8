import type { MemcachedOptions } from '@stowage/memcached'

/**
 * The options for one setting, `CACHE_LOCATION`, as in django-elasticache:
 *
 * | location | nodes |
 * |---|---|
 * | `10.0.0.1:11211,10.0.0.2:11211` | those of the list |
 * | `shop.x1y2z3.cfg.euc1.cache.amazonaws.com:11211` | those that the configuration endpoint returns; its errors are errors |
 * | `127.0.0.1:11211` | those that the endpoint returns, if it does; else itself: a laptop, a proxy |
 */
export function optionsOf(location: string): MemcachedOptions {
  const addresses = location.split(',').map((address) => address.trim())
  if (addresses.length > 1) return { servers: addresses }
  const isEndpointOfAws = /\.cfg\./.test(location)
  return { configurationEndpoint: location, ignoreClusterErrors: !isEndpointOfAws }
}
