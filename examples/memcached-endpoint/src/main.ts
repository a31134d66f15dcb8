import { Cache, type Duration } from '@stowage/core'
import { memcached } from '@stowage/memcached'
import { optionsOf } from './location.ts'

const { CACHE_LOCATION = '127.0.0.1:11211', CACHE_TIMEOUT } = process.env
const timeout = CACHE_TIMEOUT as Duration | undefined // such as 2s; checked by the driver
const store = memcached({ ...optionsOf(CACHE_LOCATION), timeout, connectTimeout: timeout })
const cache = new Cache(store, { prefix: 'stowage-example:', ttl: '1m' })

for (let page = 0; page < 100; page++) await cache.set(`page:${page}`, `<h1>Page ${page}</h1>`)
const found = await cache.getMany(Array.from({ length: 100 }, (_, page) => `page:${page}`))
console.log(`${found.filter((page) => page !== undefined).length} of 100 pages found`)
for (const { host, port, state } of store.nodes()) console.log(`  ${host}:${port} ${state}`)
await cache.close()
