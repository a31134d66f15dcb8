import { Cache } from '@stowage/core'
import { memcached } from '@stowage/memcached'
import { optionsOf } from './location.ts'

const store = memcached(optionsOf(process.env.CACHE_LOCATION ?? '127.0.0.1:11211'))
const cache = new Cache(store, { prefix: 'stowage-example:', ttl: '1m' })

for (let page = 0; page < 100; page++) await cache.set(`page:${page}`, `<h1>Page ${page}</h1>`)
const found = await cache.getMany(Array.from({ length: 100 }, (_, page) => `page:${page}`))
console.log(`${found.filter((page) => page !== undefined).length} of 100 pages found`)
for (const { host, port, state } of store.nodes()) console.log(`  ${host}:${port} ${state}`)
await cache.close()
