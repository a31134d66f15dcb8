import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@stowage/core'
import { type RedisOptions, redis } from '@stowage/redis'
import {
  command,
  isFullTier,
  type Replicated,
  type Sentinels,
  variantGroups,
} from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { addressesOf, cleanUp, cleanups, start } from './sentinel-servers.ts'

describe('a primary discovered through Sentinels', () => {
  let options: RedisOptions
  let serverCleanups: typeof cleanups

  beforeAll(async () => {
    const { sentinels } = await start()
    serverCleanups = cleanups.splice(0)
    // A busy machine is not a failure.
    const patient = { timeout: '20s', connectTimeout: '20s' } as const
    options = { sentinels: addressesOf(sentinels), maxValueBytes: 1_048_576, ...patient }
  })

  afterAll(async () => {
    for (const cleanup of serverCleanups.reverse()) await cleanup()
  })

  conform(test, () => redis(options), { wait: async (ms) => sleep(ms), groups: variantGroups })
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
        const store = redis({ ...options, readFrom, timeout: '2s', connectTimeout: '2s' })
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

  test.each(isFullTier ? Object.keys(causes) : ['after the primary was killed'])(
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
