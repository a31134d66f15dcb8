import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@stowage/core'
import { type RedisOptions, redis } from '@stowage/redis'
import {
  command,
  type Replicated,
  type Sentinels,
  startReplicated,
  startSentinels,
} from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { OwnConnection } from '../src/connection/connection.ts'
import { resolveOptions, serverOptions } from '../src/redis-options.ts'
import { readsOf, succeeds, until } from './helpers.ts'

const stopping: (() => Promise<unknown>)[] = []

async function start(): Promise<{ servers: Replicated; sentinels: Sentinels }> {
  const servers = await startReplicated()
  stopping.push(servers.stop)
  const sentinels = await startSentinels({ replicated: servers })
  stopping.push(sentinels.stop)
  return { servers, sentinels }
}

async function stop(): Promise<void> {
  for (const each of stopping.splice(0).reverse()) await each()
}

const addressesOf = ({ addresses }: Sentinels) =>
  addresses.map(({ host, port }) => `${host}:${port}`)

describe('found through Sentinels', () => {
  let options: RedisOptions
  let own: typeof stopping

  beforeAll(async () => {
    const { sentinels } = await start()
    own = stopping.splice(0)
    options = { sentinels: addressesOf(sentinels), maxValueBytes: 1_048_576 }
  })

  afterAll(async () => {
    for (const each of own.reverse()) await each()
  })

  conform(test, () => redis(options), { wait: async (ms) => sleep(ms) })
})

describe('replicas the Sentinels know of', () => {
  afterEach(stop)

  test('answer reads, never with older data; the promoted one no longer, the old primary once it follows', async () => {
    const { servers, sentinels } = await start()
    const store = redis({ sentinels: addressesOf(sentinels), readFrom: 'replicaPreferred' })
    stopping.push(() => store.close())
    const answering = async (port: number) => {
      const before = await readsOf(port)
      for (let read = 0; read < 4; read++) await succeeds(() => store.get('k'))
      return (await readsOf(port)) > before
    }
    await store.set('k', 'v')
    for (const { port } of servers.replicas) {
      await until('each replica answers', () => answering(port))
    }
    const promoted = (await sentinels.failover()).port
    await until('the promoted one is not asked for reads', async () => !(await answering(promoted)))
    await until('the old primary is', () => answering(servers.primary.port))
    for (let round = 0; round < 50; round++) {
      await store.set('k', `${round}`)
      expect(String(await store.get('k'))).toBe(`${round}`)
    }
  })

  test('are passed over when they die, down to the primary', async () => {
    const { servers, sentinels } = await start()
    const store = redis({
      sentinels: addressesOf(sentinels),
      readFrom: 'replica',
      timeout: '300ms',
    })
    stopping.push(() => store.close())
    await store.set('k', 'v')
    const all = servers.replicas.map(({ port }) => port)
    await until('replicas answer', async () => {
      const before = await readsOf(...all)
      await store.get('k')
      return (await readsOf(...all)) > before
    })
    for (const { kill } of servers.replicas) {
      kill('SIGSTOP')
      for (let read = 0; read < 20; read++) expect(String(await store.get('k'))).toBe('v')
    }
    for (const { kill } of servers.replicas) kill('SIGCONT')
  })
})

describe('a primary that is replaced', () => {
  let servers: Replicated
  let sentinels: Sentinels

  beforeEach(async () => {
    ;({ servers, sentinels } = await start())
  })
  afterEach(stop)

  const ways: Record<string, (primary: Replicated['primary']) => unknown> = {
    'because it was killed': ({ kill }) => kill('SIGKILL'),
    'because it does not answer': ({ kill }) => kill('SIGSTOP'),
    'on request': () => sentinels.failover(),
  }

  test.each(Object.keys(ways))(
    '%s: no call hangs, each failure is told, and writing goes on',
    async (way) => {
      const store = redis({ sentinels: addressesOf(sentinels), timeout: '200ms' })
      stopping.push(() => store.close())
      const load = new Load(store)
      await load.until(({ answered }) => answered > 20)
      const old = (await sentinels.currentPrimary()).port
      await ways[way]?.(servers.primary)
      await load.until(
        async () => (await sentinels.currentPrimary().catch(() => ({ port: old }))).port !== old,
      )
      const { port } = await sentinels.currentPrimary()
      const before = load.answered
      await load.until(({ answered }) => answered > before + 20)
      const counted = Number(await load.stop(port))
      // Executed more often than answered: only what failed without an answer may have been carried out.
      expect(counted).toBeLessThanOrEqual(load.answered + load.unknown)
      expect(load.problems).toEqual([])
    },
  )
})

/** Increments one counter, one call every few milliseconds, and keeps count of what it is told. */
class Load {
  answered = 0
  /** Calls that failed after they may have been sent. */
  unknown = 0
  readonly problems: unknown[] = []
  readonly #store: ReturnType<typeof redis>
  #running = true
  readonly #pending = new Set<Promise<void>>()
  readonly #loop: Promise<void>

  constructor(store: ReturnType<typeof redis>) {
    this.#store = store
    this.#loop = this.#run()
  }

  async until(holds: (load: Load) => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 40_000
    while (!(await holds(this))) {
      if (Date.now() > deadline) throw new Error(`not in time: ${holds}`)
      await sleep(10)
    }
  }

  /** Ends the load, waits for every call, and reads the counter where it is kept now. */
  async stop(port: number): Promise<unknown> {
    this.#running = false
    await this.#loop
    await Promise.all(this.#pending)
    return command(port, 'GET', 'counter')
  }

  async #run(): Promise<void> {
    while (this.#running) {
      const call = this.#increment()
      this.#pending.add(call)
      void call.finally(() => this.#pending.delete(call))
      await sleep(5)
    }
  }

  async #increment(): Promise<void> {
    try {
      await this.#store.increment('counter', 1)
      this.answered++
    } catch (error) {
      if (!CacheError.is(error)) this.problems.push(error)
      else if (error.operation === 'increment') this.unknown++
    }
  }
}

describe('a failover that is told while the primary is looked for', () => {
  afterEach(stop)

  test('does not end the connection', async () => {
    const { sentinels } = await start()
    const connection = new OwnConnection(
      serverOptions({ sentinels: addressesOf(sentinels) }),
      resolveOptions({}),
    )
    stopping.push(() => connection.close())
    await connection.ready()
    const { client } = connection
    const connector = Reflect.get(client, 'connector') as { disconnect(): void }
    // What ioredis does then. Nobody calls afterwards: a bus has only to listen.
    client.once('connecting', () => process.nextTick(() => connector.disconnect()))
    const ended = new Promise((resolve) => client.once('end', resolve))
    client.stream.destroy()
    await ended
    await until('it is connected again', () => client.status === 'ready')
  })
})
