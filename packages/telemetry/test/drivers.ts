import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CacheStore } from '@stowage/core'
import { dynamodb } from '@stowage/dynamodb'
import { lmdb } from '@stowage/lmdb'
import { memcached } from '@stowage/memcached'
import { memory } from '@stowage/memory'
import { postgres } from '@stowage/postgres'
import { redis } from '@stowage/redis'
import { sharedDynamoDB, sharedPostgres, startMemcached, startRedis } from '@stowage/test-servers'

/** A driver with a server of its own. */
export interface Backend {
  createStore(): CacheStore
  stop(): Promise<void>
}

export type DriverName = 'memory' | 'lmdb' | 'postgres' | 'redis' | 'memcached' | 'dynamodb'

/** So that no call fails because the machine is slow. */
const timeout = '1m'

const starts: Record<DriverName, () => Promise<Backend>> = {
  memory: async () => ({ createStore: () => memory() as CacheStore, stop: async () => {} }),
  lmdb: async () => {
    const path = mkdtempSync(join(tmpdir(), 'stowage-telemetry-'))
    const stop = async () => rmSync(path, { recursive: true, force: true })
    return { createStore: () => lmdb({ path }), stop }
  },
  postgres: async () => {
    const { url, stop } = await sharedPostgres()
    const createStore = () => postgres({ url, table: 'telemetry', ensureTable: 'create', timeout })
    return { createStore, stop }
  },
  redis: async () => {
    const server = await startRedis()
    return { createStore: () => redis({ url: server.url, timeout }), stop: () => server.stop() }
  },
  memcached: async () => {
    const server = await startMemcached()
    return {
      createStore: () => memcached({ servers: [server.address], timeout }),
      stop: () => server.stop(),
    }
  },
  dynamodb: async () => {
    const { url, env, stop } = await sharedDynamoDB()
    Object.assign(process.env, env)
    const address = { endpoint: url, table: 'telemetry' }
    const createStore = () =>
      dynamodb({ ...address, ensureTable: 'create', timeout, requestTimeout: timeout })
    return { createStore, stop }
  },
}

export const drivers = Object.keys(starts) as DriverName[]

export function startBackend(name: DriverName): Promise<Backend> {
  return starts[name]()
}
