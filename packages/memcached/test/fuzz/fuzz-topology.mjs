import { setTimeout as sleep } from 'node:timers/promises'
import { Cache, CacheError } from '@stowage/core'
import { memcached } from '@stowage/memcached'
import { startMemcached } from '@stowage/test-servers'
import { configurationEndpoint } from '@stowage/testing'
import { random } from '../../../../test/fuzz/random.mjs'
import { startCacheProcess } from './start-cache-process.mjs'

const prefixes = Array.from({ length: 10 }, (_, index) => `app${index}:`)
const keys = Array.from({ length: 8 }, (_, index) => `key${index}`)
const storeCount = 3
const settleMs = 1_500
const readStrongly = { consistency: 'strong' }

/** @typedef {ReturnType<typeof memcached>} Store */
/** @typedef {import('@stowage/test-servers').MemcachedServer} Server */

/**
 * @typedef {object} TopologyResult
 * @property {number} changes of the nodes
 * @property {number} clears
 * @property {number} reads
 * @property {number} hits
 * @property {number} failed calls that failed with a retryable CacheError
 * @property {string[]} undone values that were read although they had been cleared, and unexpected errors
 */

/**
 * Adds, removes and replaces nodes under load, and clears prefixes meanwhile. Each value contains the number of clears
 * of its prefix, so that a value from before a clear is detected. One of the processes is idle most of the time.
 * @param {number} changes
 * @param {(result: TopologyResult) => void} [onProgress] called after every 10 changes
 * @returns {Promise<TopologyResult>}
 */
export async function fuzzTopology(changes, onProgress = () => {}) {
  const servers = await Promise.all(Array.from({ length: 4 }, () => startMemcached()))
  const nodes = servers.map(({ address }) => address)
  const endpoint = await configurationEndpoint({ nodes: nodes.slice(0, 3), target: nodes[0] })
  const options = {
    configurationEndpoint: `127.0.0.1:${endpoint.port}`,
    pollInterval: 50,
    retryInterval: 50,
    timeout: 500,
  }
  const stores = Array.from({ length: storeCount }, () => memcached(options))
  const idle = startCacheProcess(options)
  const load = new Load(stores, idle)
  const stop = new AbortController()
  try {
    const working = stores.map((_, index) => load.run(index, stop.signal))
    while (load.result.changes < changes) {
      await changeNodes(load.result.changes++, servers, endpoint, stores)
      await load.clear(prefixes[random(prefixes.length)])
      await sleep(20)
      if (load.result.changes % 10 > 0) continue
      // The idle process, which the test does not see, has to receive the list of nodes as well.
      await sleep(settleMs)
      await load.readIdle()
      onProgress(load.result)
    }
    stop.abort()
    await Promise.all(working)
    return load.result
  } finally {
    stop.abort()
    await idle.stop()
    await Promise.all(stores.map((store) => store.close()))
    await endpoint.stop()
    await Promise.all(servers.map((server) => server.stop()))
  }
}

/**
 * 3 nodes, 4 nodes, 3 nodes, and then 3 nodes of which one has been replaced by an empty one.
 * @param {number} step @param {Server[]} servers @param {{ scale(nodes: string[]): void }} endpoint @param {Store[]} stores
 */
async function changeNodes(step, servers, endpoint, stores) {
  if (step % 3 === 2) {
    const index = random(3)
    await servers[index].stop()
    servers[index] = await servers[index].restart()
    return
  }
  const nodes = servers.map(({ address }) => address).slice(0, step % 3 === 0 ? 4 : 3)
  endpoint.scale(nodes)
  while (stores.some((store) => store.nodes().length !== nodes.length)) await sleep(5)
}

/** Calls of several stores, and what they have read. */
class Load {
  /** @type {TopologyResult} */
  result = { changes: 0, clears: 0, reads: 0, hits: 0, failed: 0, undone: [] }
  /** @type {Cache[][]} */
  #caches
  #idle
  /** The number of clears of each prefix. @type {Map<string, number>} */
  #clears = new Map(prefixes.map((prefix) => [prefix, 0]))
  /** Writes in flight. A write that began before a clear may take effect after it. @type {Map<string, Promise<unknown>>} */
  #writes = new Map()
  /** The prefix that is being cleared. @type {string | undefined} */
  #clearing

  /** @param {Store[]} stores @param {ReturnType<typeof startCacheProcess>} idle */
  constructor(stores, idle) {
    this.#caches = stores.map((store) => prefixes.map((prefix) => new Cache(store, { prefix })))
    this.#idle = idle
  }

  /** @param {number} store @param {AbortSignal} signal */
  async run(store, signal) {
    while (!signal.aborted) {
      await Promise.all(prefixes.map((_, index) => this.#call(store, index)))
      await sleep(2)
    }
  }

  /** Clears a prefix, repeatedly if necessary. @param {string} prefix */
  async clear(prefix) {
    this.#clearing = prefix
    await this.#writes.get(prefix)
    const cache = this.#caches[random(storeCount)][prefixes.indexOf(prefix)]
    const clear = () => cache.clear().then(() => true)
    while (!(await this.#attempt(clear))) await sleep(5)
    this.#clears.set(prefix, this.#clearsOf(prefix) + 1)
    this.result.clears++
    this.#clearing = undefined
  }

  /** Reads all keys in the idle process. */
  async readIdle() {
    for (const prefix of prefixes) {
      const clears = this.#clearsOf(prefix)
      for (const key of keys) {
        const { value } = await this.#idle.call(prefix, 'get', key, readStrongly)
        this.#check(prefix, value, clears, 'the idle process')
      }
    }
  }

  /** @param {number} store @param {number} index */
  async #call(store, index) {
    const prefix = prefixes[index]
    const cache = this.#caches[store][index]
    const key = keys[random(keys.length)]
    const clears = this.#clearsOf(prefix)
    if (random(3) > 0 || this.#clearing === prefix) {
      const value = await this.#attempt(() => cache.get(key, readStrongly))
      return this.#check(prefix, value, clears, `store ${store}`)
    }
    const write = this.#attempt(() => cache.set(key, { clears }, { ttl: '1d' }))
    this.#writes.set(prefix, Promise.all([this.#writes.get(prefix), write]))
    await write
  }

  /** @param {string} prefix @param {any} value @param {number} clears @param {string} reader */
  #check(prefix, value, clears, reader) {
    this.result.reads++
    if (value === undefined) return
    this.result.hits++
    if (value.clears >= clears) return
    const what = `${prefix} has a value from before clear ${value.clears + 1} of ${clears}`
    this.result.undone.push(`change ${this.result.changes}, ${reader}: ${what}`)
  }

  /** @param {() => any} call */
  async #attempt(call) {
    try {
      return await call()
    } catch (error) {
      if (CacheError.is(error) && error.retryable) this.result.failed++
      else this.result.undone.push(String(error))
      return undefined
    }
  }

  /** @param {string} prefix */
  #clearsOf(prefix) {
    return this.#clears.get(prefix) ?? 0
  }
}
