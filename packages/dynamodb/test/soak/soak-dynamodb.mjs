import { setTimeout as sleep } from 'node:timers/promises'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { dynamodb, ensureTable } from '@stowage/dynamodb'
import { startDynamoDB } from '@stowage/test-servers'
import { FaultyProxy, faults } from './faulty-proxy.mjs'
import { createTally, Worker } from './workload.mjs'

const workers = 24
const table = 'soak'
const timeoutMs = 1_000
const requestTimeoutMs = 400
const region = 'eu-central-1'
const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
const recoveryTimeoutMs = 20_000
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'

/**
 * @typedef {object} SoakResult
 * @property {number} succeeded
 * @property {number} failed calls that failed with a retryable CacheError
 * @property {string[]} wrong incorrect results and unexpected errors
 * @property {number} hung calls that were still pending long after their deadline
 * @property {number} slowestMs
 * @property {number} faults requests with an injected fault
 * @property {number} recoveryMs until a call succeeded after the last fault
 * @property {number} connections most connections at the same time
 * @property {number} openConnections connections after close()
 */

/**
 * Runs a workload on DynamoDB Local through a proxy whose replies are missing, cut, late, or errors. Each worker knows
 * which values its keys may have.
 * @param {number} ms
 * @param {'lean' | 'sdk'} transport
 * @returns {Promise<SoakResult>}
 */
export async function soakDynamoDB(ms, transport) {
  const server = await startDynamoDB()
  const proxy = new FaultyProxy(server.url)
  await proxy.listen()
  const client = new DynamoDBClient({ endpoint: proxy.url, region, credentials, maxAttempts: 1 })
  const place = transport === 'sdk' ? { client } : { endpoint: proxy.url, region, credentials }
  // An engine that has just started takes seconds for its first requests.
  const slow = /** @type {const} */ ({ timeout: '30s', requestTimeout: '20s' })
  await ensureTable({ table, endpoint: server.url, region, credentials, ...slow })
  const store = dynamodb({
    table,
    timeout: timeoutMs,
    requestTimeout: requestTimeoutMs,
    ...place,
  })
  const tally = createTally()
  const stop = new AbortController()
  try {
    await store.ping()
    // A call may wait for an earlier one of its key, and then has its own time.
    const maxMs = 2 * timeoutMs + 500
    const all = Array.from({ length: workers }, (_, n) => new Worker(store, tally, `w${n}`, maxMs))
    const working = all.map((worker) => worker.run(stop.signal))
    const connections = await injectFaults(proxy, ms)
    const recoveryMs = await recovered(store)
    stop.abort()
    await Promise.all(working)
    await Promise.all(all.map((worker) => worker.verify()))
    await store.close()
    client.destroy()
    const openConnections = await settledConnections(proxy)
    return { ...tally, faults: proxy.injected, recoveryMs, connections, openConnections }
  } finally {
    stop.abort()
    await store.close()
    proxy.stop()
    await server.stop()
  }
}

/**
 * @param {FaultyProxy} proxy
 * @param {number} ms
 * @returns {Promise<number>} most connections at the same time
 */
async function injectFaults(proxy, ms) {
  const end = performance.now() + ms
  let connections = 0
  while (performance.now() < end) {
    proxy.share = Math.random() < 0.5 ? 1 : 0.3
    proxy.fault = faults[Math.floor(Math.random() * faults.length)] ?? 'none'
    await sleep(200 + Math.random() * 2_000)
    connections = Math.max(connections, proxy.connections)
    proxy.fault = 'none'
    await sleep(Math.random() * 1_500)
  }
  return connections
}

/** @param {import('@stowage/core/driver').ByteStore} store */
async function recovered(store) {
  const start = performance.now()
  while (performance.now() - start < recoveryTimeoutMs) {
    const isUp = await Promise.resolve(store.ping()).then(
      () => true,
      () => false,
    )
    if (isUp) break
    await sleep(20)
  }
  return performance.now() - start
}

/** @param {FaultyProxy} proxy */
async function settledConnections(proxy) {
  // The proxy closes its side of a half answered connection only after some seconds.
  for (let waits = 0; waits < 100 && proxy.connections > 0; waits++) await sleep(100)
  return proxy.connections
}
