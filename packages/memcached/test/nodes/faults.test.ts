import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@stowage/core'
import { startMemcached, startProxy } from '@stowage/test-servers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fuzzMemcached } from '../fuzz/fuzz-memcached.mjs'
import { useProxiedServer } from './proxied-server.ts'

const backend = useProxiedServer()
const { createStore, createDirectStore } = backend

/** Repeats a call until it succeeds. */
async function eventually<T>(call: () => T): Promise<Awaited<T>> {
  const deadline = Date.now() + 20_000
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!CacheError.is(error) || Date.now() > deadline) throw error
      await sleep(10)
    }
  }
}

/** Whether the call throws or rejects. */
async function fails(call: () => unknown): Promise<boolean> {
  try {
    await call()
    return false
  } catch {
    return true
  }
}

for (const protocol of ['binary', 'meta'] as const) {
  describe(`when a reply is lost, ${protocol}`, () => {
    test('increment() rejects and is not sent twice', async () => {
      const store = createStore({ protocol })
      await store.increment('n', 1)
      const cut = backend.proxy.cutReplies()
      await expect(store.increment('n', 1)).rejects.toMatchObject({ retryable: true })
      await cut
      expect(await eventually(async () => String(await store.get('n')))).toBe('2')
    })

    test('add() rejects and is not sent twice', async () => {
      const store = createStore({ protocol })
      await store.ping()
      const cut = backend.proxy.cutReplies()
      await expect(store.add('lock', 'me')).rejects.toMatchObject({ retryable: true })
      await cut
      expect(await eventually(() => store.add('lock', 'me'))).toBe(false)
      expect(String(await store.get('lock'))).toBe('me')
    })

    test('a partial reply does not affect the next connection', async () => {
      const store = createStore({ protocol })
      await store.set('alice', `alice${'a'.repeat(1_000)}`)
      await store.set('bob', 'bob')
      const cut = backend.proxy.cutReplies({ after: 500 })
      await expect(store.get('alice')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
      await cut
      expect(await eventually(async () => String(await store.get('bob')))).toBe('bob')
      expect(await eventually(async () => String(await store.get('alice')))).toMatch(
        /^alicea{1000}$/,
      )
    })
  })
}

test('requests in flight fail when the connection is reset', async () => {
  const store = createStore({ timeout: '1m' })
  await store.set('k', 'v')
  backend.proxy.mute(true, 'requests')
  const calls = Promise.allSettled(Array.from({ length: 20 }, () => store.get('k')))
  await sleep(20)
  backend.proxy.cut()
  for (const outcome of await calls) {
    expect(outcome).toMatchObject({ reason: { code: 'ERR_CACHE_UNAVAILABLE', retryable: true } })
  }
})

test('a lost reply causes a timeout even while other requests are sent', async () => {
  const store = createStore()
  await store.set('k', 'v')
  backend.proxy.mute(true, 'replies')
  const lost = store.get('k')
  const otherRequests = (async () => {
    for (;;) if (await fails(() => store.get('k'))) return
  })()
  await expect(lost).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  backend.proxy.mute(false)
  await otherRequests
})

test('only requests in flight wait for the timeout of a frozen node', async () => {
  const store = createStore()
  await store.set('k', 'v')
  backend.server.kill('SIGSTOP')
  const inFlight = await Promise.allSettled(Array.from({ length: 50 }, () => store.get('k')))
  for (const outcome of inFlight) {
    expect(outcome).toMatchObject({ reason: { code: 'ERR_CACHE_TIMEOUT' } })
  }
  await eventually(async () => expect(store.nodes()[0]).toMatchObject({ state: 'down' }))
  // Calls fail at once while attempts to reconnect continue in the background.
  const attempts = backend.proxy.accepted
  while (backend.proxy.accepted < attempts + 4) {
    await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    await sleep(1)
  }
  expect(store.nodes()[0]).toMatchObject({ state: 'down' })
  backend.server.kill('SIGCONT')
  expect(await eventually(async () => String(await store.get('k')))).toBe('v')
  expect(store.nodes()[0]).toMatchObject({ state: 'up', version: '1.6.18' })
})

test('reconnects to a restarted server', async () => {
  const store = createDirectStore()
  await store.set('k', 'v')
  await backend.server.stop()
  const restarted = await backend.server.restart()
  onTestFinished(restarted.stop)
  expect(await eventually(() => store.get('k'))).toBeUndefined()
})

test('every call fails at once while the server is unreachable, and no connection is left open', async () => {
  backend.proxy.refuse(true)
  const store = createStore()
  for (let i = 0; i < 20; i++) {
    await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  }
  backend.proxy.refuse(false)
  await eventually(() => store.get('k'))
  expect(backend.proxy.connections).toBe(1)
})

test('pending deletes are sent in few batches', async () => {
  const second = await startMemcached()
  const secondProxy = await startProxy(second.port)
  onTestFinished(second.stop)
  onTestFinished(() => secondProxy.stop())
  const servers = [backend.proxy, secondProxy].map(({ port }) => `127.0.0.1:${port}`)
  const store = createStore({ servers, onNodeDown: 'failover', timeout: '5s' })
  await store.ping()
  backend.proxy.refuse(true)
  backend.proxy.cut()
  const keys = Array.from({ length: 2_000 }, (_, index) => `changed:${index}`)
  await eventually(() => store.getMany(keys))
  await store.setMany(keys.map((key) => [key, 'x'] as const))
  const before = secondProxy.bytes.requests
  backend.proxy.refuse(false)
  await expect.poll(() => store.nodes().map(({ state }) => state)).toEqual(['up', 'up'])
  await store.ping()
  // About one request per key, with a header of 24 bytes and the key.
  expect(secondProxy.bytes.requests - before).toBeLessThan(keys.length * 100)
})

describe('onNodeDown', () => {
  test("'miss': reads are misses, and changed keys are deleted from the node", async () => {
    const store = createStore({ onNodeDown: 'miss' })
    await store.setMany([
      ['touched', '1'],
      ['set', 'old'],
      ['deleted', 'old'],
    ])
    backend.proxy.refuse(true)
    backend.proxy.cut()
    expect(await store.get('touched')).toBeUndefined()
    expect(await store.getMany(['touched', 'set'])).toEqual([undefined, undefined])
    await store.set('set', 'new')
    expect(await store.delete('deleted')).toBe(false)
    expect(await store.touch('touched')).toBe(false)
    await expect(store.add('lock', '1')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    await expect(store.increment('n', 1)).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    await expect(store.ping()).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining('connect'),
    })
    const direct = createDirectStore({ timeout: '5s' })
    expect(String(await direct.get('set'))).toBe('old')
    backend.proxy.refuse(false)
    await eventually(() => store.add('up', '1'))
    expect(await store.getMany(['set', 'deleted'])).toEqual([undefined, undefined])
    expect(await direct.get('deleted')).toBeUndefined()
  })

  test("'failover': another node stores the values until the node is up", async () => {
    const second = await startMemcached()
    onTestFinished(second.stop)
    const servers = [`127.0.0.1:${backend.proxy.port}`, second.address]
    const store = createStore({ servers, onNodeDown: 'failover' })
    const keys = Array.from({ length: 40 }, (_, index) => `k${index}`)
    await store.setMany(keys.map((key) => [key, 'old'] as const))
    backend.proxy.refuse(true)
    backend.proxy.cut()
    // The node is down once a call has failed.
    await eventually(() => store.getMany(keys))
    await store.setMany(keys.map((key) => [key, 'new'] as const))
    expect((await store.getMany(keys)).map(String)).toEqual(keys.map(() => 'new'))
    // With 'failover' one healthy node is enough for ping(), with 'error' it is not.
    await store.ping()
    expect(await fails(() => createStore({ servers }).ping())).toBe(true)
    backend.proxy.refuse(false)
    await expect.poll(() => store.nodes().map(({ state }) => state)).toEqual(['up', 'up'])
    const found = (await store.getMany(keys)).map((each) => each && String(each))
    // The keys of the node are misses, and no old value is read.
    expect(new Set(found)).toEqual(new Set([undefined, 'new']))
    backend.proxy.refuse(true)
    backend.proxy.cut()
    const afterSecondOutage = (await store.getMany(keys)).map((each) => each && String(each))
    expect(afterSecondOutage).toEqual(found)
  })
})

test.each(['binary', 'meta'] as const)(
  'no call hangs or has a wrong result under random faults, and no socket is left open, %s',
  async (protocol) => {
    const result = await fuzzMemcached(4_000, { protocol })
    const correct = { wrong: [], hung: 0, correctKeys: 50, connections: 1, sockets: 1 }
    expect(result).toMatchObject(correct)
    expect(result.succeeded).toBeGreaterThan(0)
  },
)
