// A process with caches of its own: node cache-process.mjs '<options as JSON>'. Each line of its input is a call,
// [prefix, method, ...arguments] as JSON, and each line of its output the result, { value } or { code }.
import { createInterface } from 'node:readline'
import { Cache } from '@stowage/core'
import { memcached } from '@stowage/memcached'

const store = memcached(JSON.parse(process.argv[2] ?? '{}'))
/** @type {Map<string, any>} */
const caches = new Map()

/** @param {string} prefix */
function cacheFor(prefix) {
  const cache = caches.get(prefix) ?? new Cache(store, { prefix })
  caches.set(prefix, cache)
  return cache
}

for await (const line of createInterface({ input: process.stdin })) {
  const [prefix, method, ...args] = JSON.parse(line)
  try {
    console.log(JSON.stringify({ value: await cacheFor(prefix)[method](...args) }))
  } catch (error) {
    console.log(JSON.stringify({ code: /** @type {any} */ (error).code ?? String(error) }))
  }
}
await store.close()
