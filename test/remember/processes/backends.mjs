import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureTable } from '@stowage/dynamodb'
import { ensureTable as ensurePostgresTable } from '@stowage/postgres'
import {
  startCluster,
  startDynamoDB,
  startMemcached,
  startPostgres,
  startRedis,
  startReplicated,
} from '@stowage/test-servers'

const table = 'cache'
/** No test is about a server that does not reply, and a busy machine is not a failure. */
const patient = { timeout: '20s', connectTimeout: '20s' }

/**
 * Running servers, and how another process opens a store on them.
 * @typedef {object} Backend
 * @property {string} driver name of the package
 * @property {Record<string, unknown>} options of the driver, as JSON
 * @property {Record<string, string>} env environment variables of the processes
 * @property {boolean} hasLag whether reads that are not strong may be served by a replica that lags behind
 * @property {boolean} canList whether the store lists its keys. Otherwise, other processes notice a `clear()` within one
 * second, except with strong reads
 * @property {number} ttlSlackMs how much longer than its ttl an item may exist
 * @property {() => Promise<unknown>} stop
 */

/** Starts the servers of a backend. @type {Record<string, () => Promise<Backend>>} */
export const backends = {
  redis: async () => {
    const { url, stop } = await startRedis()
    return backendOf('redis', { options: { url, ...patient }, canList: true, stop })
  },
  'redis-replicas': async () => {
    const { primary, replicas, stop } = await startReplicated({ replicas: 2 })
    const options = { url: primary.url, replicas: replicas.map(addressOf), ...patient }
    return backendOf('redis', { options, canList: true, hasLag: true, stop })
  },
  'redis-cluster': async () => {
    const { nodes, stop } = await startCluster({ primaries: 3 })
    const options = { clusterNodes: nodes.map(addressOf), ...patient }
    return backendOf('redis', { options, canList: true, stop })
  },
  memcached: () => memcachedWith(3),
  'memcached-one-node': () => memcachedWith(1),
  // Each process has its own.
  memory: async () => backendOf('memory', { options: {}, canList: true, stop: async () => {} }),
  lmdb: async () => {
    const path = await mkdtemp(join(tmpdir(), 'stowage-lmdb-'))
    const stop = () => rm(path, { recursive: true, force: true })
    return backendOf('lmdb', { options: { path }, canList: true, stop })
  },
  postgres: async () => {
    const { url, stop } = await startPostgres()
    const options = { url, timeout: '20s', logged: true }
    await ensurePostgresTable(options)
    return backendOf('postgres', { options, canList: true, stop })
  },
  dynamodb: async () => {
    const { url, env, stop } = await startDynamoDB()
    Object.assign(process.env, env)
    const address = { table, endpoint: url, region: env.AWS_REGION }
    // It executes one request after the other, and starts slowly.
    const options = { ...address, timeout: '20s', requestTimeout: '20s' }
    await ensureTable(options)
    return backendOf('dynamodb', { options, env: { ...env }, stop })
  },
}

/** @param {number} count of nodes @returns {Promise<Backend>} */
async function memcachedWith(count) {
  const nodes = await Promise.all(Array.from({ length: count }, () => startMemcached()))
  const options = { servers: nodes.map(({ address }) => address), ...patient }
  const stop = () => Promise.all(nodes.map((node) => node.stop()))
  return backendOf('memcached', { options, ttlSlackMs: 2_000, stop })
}

/** @param {string} driver @param {Partial<Backend> & Pick<Backend, 'options' | 'stop'>} backend @returns {Backend} */
function backendOf(driver, backend) {
  return { driver, env: {}, hasLag: false, canList: false, ttlSlackMs: 0, ...backend }
}

/** @param {{ port: number }} server */
function addressOf({ port }) {
  return `127.0.0.1:${port}`
}
