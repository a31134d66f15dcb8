import { channels, type FailoverEvent, failover } from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { type RedisOptions, redis } from '@stowage/redis'
import { runningTimeOf } from '@stowage/test-servers'
import { afterEach, expect, test } from 'vitest'
import { type Backend, backends, deadlineMs } from './backends.ts'

const key = 'k'
/** For the ticks of a deadline, which may be late: more than 1 ms, and far less than a deadline. */
const slackMs = deadlineMs / 3
const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function setUp() {
  const backend = await backends.redis()
  cleanups.push(() => backend.stop())
  const fallback = memory()
  const [primary, driver] = [0, 1].map(() => redis(backend.job.options as RedisOptions)) as [
    ByteStore,
    ByteStore,
  ]
  const store = failover([primary, fallback])
  cleanups.push(() => store.close())
  cleanups.push(() => driver.close())
  let phase = 'primary'
  const record = (event: unknown) => {
    phase = (event as FailoverEvent).phase
  }
  channels.failover.subscribe(record)
  cleanups.push(() => channels.failover.unsubscribe(record))
  await store.set(key, 'v')
  await driver.ping()
  return { backend, fallback, store, driver, phaseNow: () => phase }
}

/** The median of calls that are made at the same time. */
async function medianAtOnce(store: Pick<ByteStore, 'get'>): Promise<number> {
  return middleOf(
    await Promise.all(Array.from({ length: 21 }, () => runningTimeOf(() => store.get(key)))),
  )
}

/** The medians of calls that are made in turn, so that the machine is as busy for one store as for the other. */
async function mediansOf(...stores: Pick<ByteStore, 'get'>[]): Promise<number[]> {
  const durations = stores.map((): number[] => [])
  for (let count = 0; count < 500; count++) {
    for (const [index, store] of stores.entries())
      durations[index]?.push(await runningTimeOf(() => store.get(key)))
  }
  return durations.map(middleOf)
}

function middleOf(durations: readonly number[]): number {
  return [...durations].sort((a, b) => a - b)[durations.length >> 1] as number
}

const outages: Record<string, (backend: Backend) => void> = {
  'is silent': ({ proxy }) => proxy.mute(true),
  'refuses connections': ({ proxy }) => {
    proxy.refuse(true)
    proxy.cut()
  },
}

test.each(Object.keys(outages))(
  'adds at most a deadline until the breaker opens, and at most 1 ms afterwards, if the server %s',
  async (name) => {
    const { backend, fallback, store, driver, phaseNow } = await setUp()
    outages[name]?.(backend)
    // Without a fallback store, a call fails after the deadline of the driver at the latest.
    const [failing, first] = await Promise.all([medianAtOnce(driver), medianAtOnce(store)])
    expect(first).toBeLessThan(failing + slackMs)
    await expect.poll(() => runningTimeOf(() => store.get(key)).then(phaseNow)).toBe('fallback')
    // Compared with the fallback store itself: the calls do not wait for the other one.
    const [median = Infinity, own = 0] = await mediansOf(store, fallback)
    expect(median - own).toBeLessThan(1)
  },
)
