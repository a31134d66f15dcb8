import type { CacheStore } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { dynamodb, ensureTable } from '@stowage/dynamodb'
import { memcached } from '@stowage/memcached'
import { memory } from '@stowage/memory'
import { redis } from '@stowage/redis'
import { isFullTier, sharedDynamoDB, startMemcached, startRedis } from '@stowage/test-servers'
import { afterAll, beforeAll, onTestFinished } from 'vitest'

/** A backend that a test file uses. Its server starts before the first test. */
export class Backend {
  readonly name: string
  readonly listsKeys: boolean
  readonly #start: () => Promise<{ create: () => CacheStore; stop: () => Promise<unknown> }>
  #create: (() => CacheStore) | undefined

  constructor(
    name: string,
    start: () => Promise<{ create: () => CacheStore; stop: () => Promise<unknown> }>,
    listsKeys = true,
  ) {
    this.name = name
    this.#start = start
    this.listsKeys = listsKeys
  }

  /** Starts the server before the tests of the current block, and stops it and all stores afterwards. */
  use(): () => CacheStore {
    const stores: CacheStore[] = []
    let stop: () => Promise<unknown>
    beforeAll(async () => {
      const { create, stop: stopServer } = await this.#start()
      this.#create = create
      stop = stopServer
    })
    afterAll(async () => {
      await Promise.all(stores.map((store) => store.close()))
      await stop()
    })
    return () => {
      const store = this.#create?.()
      if (store === undefined) throw new Error('Call this in a test.')
      stores.push(store)
      return store
    }
  }
}

// Stalls of a busy machine must not be taken for outages.
const timeout = '20s' as const
const inMemory = new Backend('memory', async () => ({
  create: () => memory() as CacheStore,
  stop: async () => {},
}))

export const onRedis: Backend = new Backend('Redis', async () => {
  const server = await startRedis()
  return { create: () => redis({ url: server.url, timeout }), stop: () => server.stop() }
})

export const onMemcached: Backend = new Backend(
  'memcached',
  async () => {
    const server = await startMemcached()
    return {
      create: () => memcached({ servers: [server.address], timeout }),
      stop: () => server.stop(),
    }
  },
  false,
)

const onDynamoDB = new Backend('DynamoDB', async () => {
  const { url, env, stop } = await sharedDynamoDB()
  const { AWS_REGION: region, AWS_ACCESS_KEY_ID: accessKeyId } = env
  const credentials = { accessKeyId, secretAccessKey: env.AWS_SECRET_ACCESS_KEY }
  const connection = { endpoint: url, region, credentials, timeout, requestTimeout: timeout }
  const options = { table: 'bridges', scan: true, ...connection }
  await ensureTable(options)
  return { create: () => dynamodb(options), stop }
})

/** The memory in `npm test`, and every backend in the full tier. */
export const backends: readonly Backend[] = isFullTier
  ? [inMemory, onRedis, onMemcached, onDynamoDB]
  : [inMemory]

/** A store whose server refuses connections. It is closed when the test ends. */
export function unreachable(): CacheStore {
  const store = redis({ url: 'redis://127.0.0.1:1', timeout: '200ms' })
  onTestFinished(() => store.close())
  return store
}

/** A memory store that records its calls. */
export function recorded(): {
  store: CacheStore
  calls: (readonly [name: string, args: readonly unknown[]])[]
} {
  const calls: [string, readonly unknown[]][] = []
  const store = wrapStore(memory(), (operation, next, args) => {
    calls.push([operation, args])
    return next()
  })
  return { store, calls }
}
