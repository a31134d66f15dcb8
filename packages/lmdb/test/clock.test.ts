import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import { join } from 'node:path'
import { Cache } from '@stowage/core'
import { lmdb } from '@stowage/lmdb'
import { afterEach, expect, test, vi } from 'vitest'
import { temporaryFolder } from './temporary-folder.ts'

const folder = temporaryFolder()
const realNow = Date.now.bind(Date)
const realMonotonic = performance.now.bind(performance)
const realUptime = os.uptime.bind(os)
let folders = 0

/** Moves the system clock, and the clocks that nobody can set. */
function moveClocks({ system = 0, monotonic = 0, uptime = 0 }): void {
  vi.spyOn(Date, 'now').mockImplementation(() => realNow() + system)
  vi.spyOn(performance, 'now').mockImplementation(() => realMonotonic() + monotonic)
  vi.spyOn(os, 'uptime').mockImplementation(() => realUptime() + uptime / 1_000)
  syncBuiltinESMExports()
}

afterEach(() => {
  vi.restoreAllMocks()
  syncBuiltinESMExports()
})

/** Creates caches like those of several processes on one file. */
function setUp() {
  const path = join(folder, `clock-${folders++}`)
  const caches: Cache[] = []
  const start = () => {
    const cache = new Cache(lmdb({ path }), { prefix: 'app:' })
    caches.push(cache)
    return cache
  }
  return { start, close: () => Promise.all(caches.map((cache) => cache.close())) }
}

test.each([60_000, -60_000])(
  'a system clock that is set by %i ms moves no expiry',
  async (system) => {
    const { start, close } = setUp()
    const [one, two] = [start(), start()]
    expect(await one.lock('x', { ttl: '30s' }).acquire()).toBe(true)
    await one.set('k', 'v', { ttl: '30s' })
    expect(await two.get('k')).toBe('v')
    moveClocks({ system })
    for (const cache of [one, two, start()]) {
      expect(await cache.lock('x', { ttl: '30s' }).acquire()).toBe(false)
      expect(await cache.get('k')).toBe('v')
    }
    // The first call of a process already has the time of the others.
    const started = start()
    expect(await started.add('added', 'v', { ttl: '30s' })).toBe(true)
    moveClocks({ system, monotonic: 29_000 })
    expect(await one.get('added')).toBe('v')
    moveClocks({ system, monotonic: 31_000 })
    for (const cache of [one, two, started, start()]) {
      expect(await cache.getMany(['k', 'added'])).toEqual([undefined, undefined])
      const lock = cache.lock('x', { ttl: '30s' })
      expect(await lock.acquire()).toBe(true)
      await lock.release()
    }
    await close()
  },
)

test('values with a stale window follow the same clock', async () => {
  const { start, close } = setUp()
  const [one, two] = [start(), start()]
  const options = { ttl: '30s', staleWhileRevalidate: '1h' } as const
  await one.remember('k', options, () => 'v')
  moveClocks({ system: 60_000 })
  expect(await two.get('k')).toBe('v')
  expect(await start().get('k')).toBe('v')
  await close()
})

test('time during which the machine was suspended counts', async () => {
  const { start, close } = setUp()
  const [one, two] = [start(), start()]
  await one.set('short', 'v', { ttl: '30s' })
  await one.set('long', 'v', { ttl: '2h' })
  expect(await two.get('short')).toBe('v')
  moveClocks({ system: 3_600_000, uptime: 3_600_000 })
  for (const cache of [one, two, start()]) {
    expect(await cache.getMany(['short', 'long'])).toEqual([undefined, 'v'])
  }
  await close()
})

test('a damaged record of the clock is replaced', async () => {
  const { start, close } = setUp()
  const cache = start()
  await cache.set('k', 'v', { ttl: '30s' })
  await cache.close()
  const path = join(folder, `clock-${folders - 1}`)
  const { open } = await import('lmdb')
  const root = open({ path, encoding: 'binary', pageSize: 4096 })
  const meta = root.openDB('meta', { encoding: 'binary' })
  await meta.put('clock', Buffer.from('{"bootId":1'))
  await root.close()
  expect(await start().get('k')).toBe('v')
  await close()
})
