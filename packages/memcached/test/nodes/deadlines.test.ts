import { CacheError } from '@stowage/core'
import { freePort, startMemcached } from '@stowage/test-servers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { timeoutMs, useProxiedServer } from './proxied-server.ts'

const mebibyte = 1024 * 1024
const backend = useProxiedServer(['-m', '256'])
const { createStore } = backend

describe.each(['binary', 'meta'] as const)('over a slow network, %s', (protocol) => {
  // The proxy holds at most a mebibyte, so that a batch takes longer than the timeout, and each block is faster.
  const values = Array.from({ length: 20 }, (_, index) => `${index}`.repeat(mebibyte / 4))
  const entries = values.map((value, index) => [`k${index}`, value] as const)
  const keys = entries.map(([key]) => key)

  test('a batch has no deadline as long as its data is transferred', async () => {
    const store = createStore({ protocol })
    await store.ping()
    backend.proxy.delay(250)
    const startedAt = performance.now()
    await store.setMany(entries)
    const read = await store.getMany(keys)
    expect(performance.now() - startedAt).toBeGreaterThan(2 * timeoutMs)
    expect(read.map(String)).toEqual(values)
    expect(store.nodes()[0]).toMatchObject({ state: 'up' })
  })

  test('a batch times out if its data stops', async () => {
    const store = createStore({ protocol })
    await store.setMany(entries)
    backend.proxy.delay(250, 'replies')
    const before = backend.proxy.bytes.replies
    const reading = store.getMany(keys)
    await expect.poll(() => backend.proxy.bytes.replies).toBeGreaterThan(before)
    backend.proxy.mute(true)
    await expect(reading).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  })
})

test('a chunked value has no deadline as long as its data is transferred', async () => {
  const store = createStore({ oversize: 'chunk' })
  await store.ping()
  backend.proxy.delay(100)
  const value = 'x'.repeat(20 * mebibyte)
  await store.set('k', value)
  expect(String(await store.get('k'))).toBe(value)
})

test('a server that restarts with another protocol is used with that protocol', async () => {
  const port = await freePort()
  const first = await startMemcached({ port })
  const store = createStore({ servers: [first.address], retryInterval: '50ms' })
  await store.set('k', 'v')
  await first.stop()
  const second = await startMemcached({ port, args: ['-B', 'ascii'] })
  await expect.poll(async () => Promise.resolve(store.add('k', 'text')).catch(String)).toBe(true)
  await second.stop()
  const third = await startMemcached({ port })
  onTestFinished(third.stop)
  await expect.poll(async () => Promise.resolve(store.add('k', 'binary')).catch(String)).toBe(true)
})

test.each(['nodes', 'configuration endpoint'])(
  'a loop of retries does not keep timers and sockets waiting: %s',
  async (kind) => {
    const port = await freePort()
    const address = `127.0.0.1:${port}`
    const servers = { servers: [address], retryInterval: '50ms' } as const
    const store = createStore(
      kind === 'nodes' ? servers : { servers: undefined, configurationEndpoint: address },
    )
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    // A loop that keeps timers waiting would never see a tick.
    for (let calls = 0; ticks < 20 && calls < 100_000; calls++) {
      await Promise.resolve(store.get('k')).catch((error: unknown) => {
        if (!CacheError.is(error)) throw error
      })
    }
    clearInterval(timer)
    expect(ticks).toBe(20)
    const restarted = await startMemcached({ port })
    onTestFinished(restarted.stop)
    await expect.poll(() => Promise.resolve(store.get('k')).catch(String)).toBeUndefined()
  },
)
