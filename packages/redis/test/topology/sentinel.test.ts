import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@stowage/core'
import { type RedisOptions, redis } from '@stowage/redis'
import {
  command,
  type Replicated,
  type Sentinels,
  startProxy,
  startReplicated,
  startSentinels,
  variantGroups,
} from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { serverOptions } from '../../src/connection/client-options.ts'
import { ManagedConnection } from '../../src/connection/managed-connection.ts'
import { resolveOptions } from '../../src/redis-options.ts'
import { serve, waitUntil, waitUntilServed, waitUntilSucceeds } from '../helpers.ts'

const cleanups: (() => Promise<unknown>)[] = []

async function start(): Promise<{ servers: Replicated; sentinels: Sentinels }> {
  const servers = await startReplicated()
  cleanups.push(servers.stop)
  const sentinels = await startSentinels({ replicated: servers })
  cleanups.push(sentinels.stop)
  return { servers, sentinels }
}

async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
}

const addressesOf = ({ addresses }: Sentinels) =>
  addresses.map(({ host, port }) => `${host}:${port}`)

describe('a primary discovered through Sentinels', () => {
  let options: RedisOptions
  let serverCleanups: typeof cleanups

  beforeAll(async () => {
    const { sentinels } = await start()
    serverCleanups = cleanups.splice(0)
    options = { sentinels: addressesOf(sentinels), maxValueBytes: 1_048_576 }
  })

  afterAll(async () => {
    for (const cleanup of serverCleanups.reverse()) await cleanup()
  })

  conform(test, () => redis(options), { wait: async (ms) => sleep(ms), groups: variantGroups })
})

describe('replicas discovered through Sentinels', () => {
  afterEach(cleanUp)

  test('serve no stale reads; after a failover the old primary serves reads instead of the promoted replica', async () => {
    const { servers, sentinels } = await start()
    const store = redis({ sentinels: addressesOf(sentinels), readFrom: 'replicaPreferred' })
    cleanups.push(() => store.close())
    const readRepeatedly = async () => {
      for (let read = 0; read < 4; read++) await Promise.resolve(store.get('k')).catch(() => {})
    }
    await store.set('k', 'v')
    for (const { port } of servers.replicas) await waitUntilServed([port], readRepeatedly)
    const promoted = (await sentinels.failover()).port
    await waitUntil('the promoted replica serves no reads', async () => {
      return !(await serve([promoted], readRepeatedly).catch(() => true))
    })
    await waitUntilServed([servers.primary.port], readRepeatedly)
    for (let round = 0; round < 50; round++) {
      await store.set('k', `${round}`)
      expect(String(await store.get('k'))).toBe(`${round}`)
    }
  })

  test('are skipped when they freeze, until only the primary is left', async () => {
    const { servers, sentinels } = await start()
    const store = redis({
      sentinels: addressesOf(sentinels),
      readFrom: 'replica',
      timeout: '4s',
    })
    cleanups.push(() => store.close())
    await store.set('k', 'v')
    const ports = servers.replicas.map(({ port }) => port)
    await waitUntilServed(ports, () => store.get('k'))
    for (const { kill } of servers.replicas) {
      kill('SIGSTOP')
      for (let read = 0; read < 20; read++) expect(String(await store.get('k'))).toBe('v')
    }
    for (const { kill } of servers.replicas) kill('SIGCONT')
  })
})

describe('Sentinels that report no primary', () => {
  afterEach(cleanUp)

  test.each(['primary', 'replicaPreferred'] as const)(
    'fail calls, and nothing else, with readFrom: %s',
    async (readFrom) => {
      const { sentinels } = await start()
      const unreachable = ['127.0.0.1:1', '127.0.0.1:2']
      for (const { reason, ...options } of [
        { sentinels: unreachable, reason: 'the Sentinel 127.0.0.1:2 is unreachable' },
        {
          sentinels: addressesOf(sentinels),
          sentinelName: 'typo',
          reason: 'monitors no primary named typo. Set sentinelName',
        },
      ]) {
        const store = redis({ ...options, readFrom, timeout: '200ms', connectTimeout: '200ms' })
        cleanups.push(() => store.close())
        // An unhandled rejection fails the test run.
        await sleep(50)
        for (let call = 0; call < 3; call++) {
          await expect(store.get('k')).rejects.toMatchObject({
            code: 'ERR_CACHE_UNAVAILABLE',
            message: expect.stringContaining(reason),
          })
          await sleep(50)
        }
      }
    },
  )
})

describe('Sentinels that answer slowly', () => {
  afterEach(cleanUp)

  test('are given more time, until one of them has returned the primary', async () => {
    const { sentinels } = await start()
    const proxies = await Promise.all(sentinels.ports.map((port) => startProxy(port)))
    cleanups.push(() => Promise.all(proxies.map((proxy) => proxy.stop())))
    for (const proxy of proxies) proxy.delay(400)
    const store = redis({ sentinels: proxies.map(({ port }) => `127.0.0.1:${port}`) })
    cleanups.push(() => store.close())
    await waitUntilSucceeds(() => store.set('k', 'v'))
  })
})

describe('a failover', () => {
  let servers: Replicated
  let sentinels: Sentinels

  beforeEach(async () => {
    ;({ servers, sentinels } = await start())
  })
  afterEach(cleanUp)

  const causes: Record<string, (primary: Replicated['primary']) => unknown> = {
    'after the primary was killed': ({ kill }) => kill('SIGKILL'),
    'after the primary froze': ({ kill }) => kill('SIGSTOP'),
    'on request': () => sentinels.failover(),
  }

  test.each(Object.keys(causes))(
    '%s: no call hangs, each failed call rejects, and writes succeed again',
    async (cause) => {
      const store = redis({ sentinels: addressesOf(sentinels), timeout: '200ms' })
      cleanups.push(() => store.close())
      const load = new IncrementLoad(store)
      await load.waitUntil(({ succeeded }) => succeeded > 20)
      const old = (await sentinels.currentPrimary()).port
      await causes[cause]?.(servers.primary)
      await load.waitUntil(
        async () => (await sentinels.currentPrimary().catch(() => ({ port: old }))).port !== old,
      )
      const { port } = await sentinels.currentPrimary()
      const before = load.succeeded
      await load.waitUntil(({ succeeded }) => succeeded > before + 20)
      const counter = Number(await load.stop(port))
      // Only a call that failed without a reply may have been executed in addition.
      expect(counter).toBeLessThanOrEqual(load.succeeded + load.unknown)
      expect(load.unexpectedErrors).toEqual([])
    },
  )
})

/** Increments a counter every few milliseconds, and counts the outcomes. */
class IncrementLoad {
  succeeded = 0
  /** Calls that failed, and may have been executed. */
  unknown = 0
  readonly unexpectedErrors: unknown[] = []
  readonly #store: ReturnType<typeof redis>
  #running = true
  readonly #inFlight = new Set<Promise<void>>()
  readonly #loop: Promise<void>

  constructor(store: ReturnType<typeof redis>) {
    this.#store = store
    this.#loop = this.#run()
  }

  async waitUntil(isMet: (load: IncrementLoad) => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 40_000
    while (!(await isMet(this))) {
      if (Date.now() > deadline) throw new Error(`not within 40 s: ${isMet}`)
      await sleep(10)
    }
  }

  /** Stops the load, waits for the calls in flight, and reads the counter from the server. */
  async stop(port: number): Promise<unknown> {
    this.#running = false
    await this.#loop
    await Promise.all(this.#inFlight)
    return command(port, 'GET', 'counter')
  }

  async #run(): Promise<void> {
    while (this.#running) {
      const call = this.#increment()
      this.#inFlight.add(call)
      void call.finally(() => this.#inFlight.delete(call))
      await sleep(5)
    }
  }

  async #increment(): Promise<void> {
    try {
      await this.#store.increment('counter', 1)
      this.succeeded++
    } catch (error) {
      if (!CacheError.is(error)) this.unexpectedErrors.push(error)
      else if (error.operation === 'increment') this.unknown++
    }
  }
}

describe('a failover that is announced while ioredis looks for the primary', () => {
  afterEach(cleanUp)

  test('does not stop reconnecting', async () => {
    const { sentinels } = await start()
    const connection = new ManagedConnection(
      serverOptions({ sentinels: addressesOf(sentinels) }),
      resolveOptions({}),
    )
    cleanups.push(() => connection.close())
    await connection.ready()
    const { client } = connection
    const connector = Reflect.get(client, 'connector') as { disconnect(): void }
    // ioredis does this on a failover. No call follows that would connect: a bus only receives messages.
    client.once('connecting', () => process.nextTick(() => connector.disconnect()))
    const ended = new Promise((resolve) => client.once('end', resolve))
    client.stream.destroy()
    await ended
    await waitUntil('it is connected again', () => client.status === 'ready')
  })
})
