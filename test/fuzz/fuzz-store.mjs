import { setTimeout as sleep } from 'node:timers/promises'
import { startProxy } from '@stowage/test-servers'
import { watchSockets } from './client-sockets.mjs'
import { injectFaults } from './faults.mjs'
import { countCorrectKeys, createTally, keyCount, runWorker } from './workload.mjs'

const workers = 8
const recoveryTimeoutMs = 20_000

/** @typedef {import('@stowage/core/driver').ByteStore} Store */
/** @typedef {import('@stowage/test-servers').FaultProxy} FaultProxy */
/** @typedef {import('@stowage/test-servers').ServerProcess & { readonly port: number }} Server */

/**
 * @typedef {object} FuzzResult
 * @property {number} succeeded calls with a correct result
 * @property {number} failed calls that failed with a retryable CacheError
 * @property {string[]} wrong incorrect results and unexpected errors
 * @property {number} hung calls that were still pending long after their deadline
 * @property {number} faults faults injected
 * @property {number} checkedKeys keys written and read after the faults
 * @property {number} correctKeys those of them that had the value written
 * @property {number} connections connections through the proxy at the end
 * @property {number} sockets sockets of the store that are not destroyed at the end. Those of pg are not seen
 * @property {number} maxConnections how many of both the store may have
 */

/**
 * @typedef {object} FuzzOptions
 * @property {readonly (() => unknown)[]} [faults] further ones of this kind of server
 * @property {number} [maxConnections] of the store. By default 1
 */

/**
 * Runs a workload on a real server while its connections are cut, muted, delayed and refused, and the server is
 * stopped. Each value contains its key, so that a value returned for another key is detected.
 * @param {number} ms
 * @param {Server} server which is stopped at the end
 * @param {(proxy: FaultProxy) => Store} createStore
 * @param {FuzzOptions} [options]
 * @returns {Promise<FuzzResult>}
 */
export async function fuzzStore(
  ms,
  server,
  createStore,
  { faults: further = [], maxConnections = 1 } = {},
) {
  const proxy = await startProxy(server.port)
  const store = createStore(proxy)
  const watch = watchSockets(proxy.port)
  const tally = createTally()
  const stop = new AbortController()
  try {
    const working = Array.from({ length: workers }, () => runWorker(store, tally, stop.signal))
    const faults = await injectFaults(proxy, server, ms, further)
    stop.abort()
    await Promise.all(working)
    // Cancels a reply cut that has not happened yet.
    proxy.cutReplies({ after: Infinity })
    await recovered(store)
    const { succeeded, failed, wrong, hung } = tally
    const correctKeys = await countCorrectKeys(store)
    const connections = await settledConnections(proxy, maxConnections)
    const checked = { checkedKeys: keyCount, correctKeys }
    return {
      succeeded,
      failed,
      wrong,
      hung,
      faults,
      ...checked,
      connections,
      sockets: watch.open(),
      maxConnections,
    }
  } finally {
    stop.abort()
    watch.stop()
    await store.close()
    await proxy.stop()
    await server.stop()
  }
}

/** Waits until the store reaches the server again. @param {Store} store */
async function recovered(store) {
  const deadline = performance.now() + recoveryTimeoutMs
  for (;;) {
    try {
      await store.ping()
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      await sleep(20)
    }
  }
}

/**
 * A connection that was closed on one side stays open on the other for a moment.
 * @param {FaultProxy} proxy @param {number} max
 */
async function settledConnections(proxy, max) {
  for (let left = 250; left > 0 && proxy.connections > max; left--) await sleep(20)
  return proxy.connections
}

/** Whether all results were correct, and the store has recovered. @param {FuzzResult} result */
export function isCorrect({ wrong, hung, correctKeys, checkedKeys, ...counts }) {
  const { connections, sockets, maxConnections } = counts
  const isConnected = connections >= 1 && Math.max(connections, sockets) <= maxConnections
  return wrong.length === 0 && hung === 0 && correctKeys === checkedKeys && isConnected
}

/** @param {string} name @param {FuzzResult} result */
export function describeResult(name, result) {
  const { wrong, ...numbers } = result
  const cells = Object.entries(numbers).map(([label, value]) => `${label} ${value}`)
  const mark = isCorrect(result) ? '✓' : '✗'
  const lines = [`${mark} ${name}: wrong ${wrong.length}, ${cells.join(', ')}`]
  return [...lines, ...wrong.map((each) => `    ${each}`)].join('\n')
}
