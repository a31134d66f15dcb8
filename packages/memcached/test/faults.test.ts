import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@stowage/core'
import { type MemcachedOptions, memcached } from '@stowage/memcached'
import {
  type FaultProxy,
  type MemcachedServer,
  startMemcached,
  startProxy,
} from '@stowage/test-servers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fuzzMemcached } from './fuzz/fuzz-memcached.mjs'

let server: MemcachedServer
let wire: FaultProxy
const cleanups: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  server = await startMemcached()
  wire = await startProxy(server.port)
  cleanups.push(server.stop, () => wire.stop())
})

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function through(options: MemcachedOptions = {}) {
  const store = memcached({
    servers: [`127.0.0.1:${wire.port}`],
    timeout: '200ms',
    connectTimeout: '200ms',
    ...options,
  })
  cleanups.push(() => store.close())
  return store
}

function direct() {
  const store = memcached({ servers: [server.address], timeout: '5s' })
  cleanups.push(() => store.close())
  return store
}

async function recovered<T>(call: () => T): Promise<Awaited<T>> {
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

async function fails(call: () => unknown): Promise<boolean> {
  try {
    await call()
    return false
  } catch {
    return true
  }
}

for (const protocol of ['binary', 'meta'] as const) {
  describe(`lost answers, ${protocol}`, () => {
    test('an increment counts once and is reported as failed', async () => {
      const store = through({ protocol })
      await store.increment('n', 1)
      const lost = wire.cutReplies()
      await expect(store.increment('n', 1)).rejects.toMatchObject({ retryable: true })
      await lost
      expect(await recovered(async () => String(await store.get('n')))).toBe('2')
    })

    test('an add is reported as failed, and is never sent again', async () => {
      const store = through({ protocol })
      await store.ping()
      const lost = wire.cutReplies()
      await expect(store.add('lock', 'me')).rejects.toMatchObject({ retryable: true })
      await lost
      expect(await recovered(() => store.add('lock', 'me'))).toBe(false)
      expect(String(await store.get('lock'))).toBe('me')
    })

    test('half an answer is not put before the answers of the next connection', async () => {
      const store = through({ protocol })
      await store.set('alice', `alice${'a'.repeat(1_000)}`)
      await store.set('bob', 'bob')
      const lost = wire.cutReplies({ after: 500 })
      await expect(store.get('alice')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
      await lost
      expect(await recovered(async () => String(await store.get('bob')))).toBe('bob')
      expect(await recovered(async () => String(await store.get('alice')))).toMatch(
        /^alicea{1000}$/,
      )
    })
  })
}

test('what waits for an answer fails when the server says goodbye', async () => {
  const store = through({ timeout: '1m' })
  await store.set('k', 'v')
  wire.mute(true, 'requests')
  const calls = Promise.allSettled(Array.from({ length: 20 }, () => store.get('k')))
  await sleep(20)
  wire.cut()
  for (const outcome of await calls) {
    expect(outcome).toMatchObject({ reason: { code: 'ERR_CACHE_UNAVAILABLE', retryable: true } })
  }
})

test('one lost answer is noticed although others keep coming', async () => {
  const store = through()
  await store.set('k', 'v')
  wire.mute(true, 'replies')
  const lost = store.get('k')
  const steady = (async () => {
    for (;;) if (await fails(() => store.get('k'))) return
  })()
  await expect(lost).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  wire.mute(false)
  await steady
})

test('a frozen node costs those the deadline that were on their way, and nobody else', async () => {
  const store = through()
  await store.set('k', 'v')
  server.kill('SIGSTOP')
  const first = await Promise.allSettled(Array.from({ length: 50 }, () => store.get('k')))
  for (const outcome of first) {
    expect(outcome).toMatchObject({ reason: { code: 'ERR_CACHE_TIMEOUT' } })
  }
  // While it is tried again and again in the background, no call waits for it.
  const attempts = wire.accepted
  while (wire.accepted < attempts + 4) {
    await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    await sleep(1)
  }
  expect(store.nodes()[0]).toMatchObject({ state: 'down' })
  server.kill('SIGCONT')
  expect(await recovered(async () => String(await store.get('k')))).toBe('v')
  expect(store.nodes()[0]).toMatchObject({ state: 'up', version: '1.6.18' })
})

test('a server that was restarted is there again with the next call', async () => {
  const store = memcached({ servers: [server.address] })
  cleanups.push(() => store.close())
  await store.set('k', 'v')
  await server.stop()
  const again = await server.restart()
  cleanups.push(again.stop)
  expect(await recovered(() => store.get('k'))).toBeUndefined()
})

test('nobody there: an error at once, again and again, and no connection left', async () => {
  wire.refuse(true)
  const store = through()
  for (let i = 0; i < 20; i++) {
    await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  }
  wire.refuse(false)
  await recovered(() => store.get('k'))
  expect(wire.connections).toBe(1)
})

test('what a node has to forget is told in few requests, however much it is', async () => {
  const second = await startMemcached()
  const path = await startProxy(second.port)
  cleanups.push(second.stop, () => path.stop())
  const servers = [wire, path].map(({ port }) => `127.0.0.1:${port}`)
  const store = through({ servers, onNodeDown: 'failover', timeout: '5s' })
  await store.ping()
  wire.refuse(true)
  wire.cut()
  const keys = Array.from({ length: 2_000 }, (_, index) => `forgotten:${index}`)
  await recovered(() => store.getMany(keys))
  await store.setMany(keys.map((key) => [key, 'x'] as const))
  const before = path.bytes.requests
  wire.refuse(false)
  await expect.poll(() => store.nodes().map(({ state }) => state)).toEqual(['up', 'up'])
  await store.ping()
  // A request for each key, of a header and the key.
  expect(path.bytes.requests - before).toBeLessThan(keys.length * 100)
})

describe('onNodeDown', () => {
  test("'miss': reads are misses, and what changed meanwhile does not come back", async () => {
    const store = through({ onNodeDown: 'miss' })
    await store.setMany([
      ['kept', '1'],
      ['set', 'old'],
      ['deleted', 'old'],
    ])
    wire.refuse(true)
    wire.cut()
    expect(await store.get('kept')).toBeUndefined()
    expect(await store.getMany(['kept', 'set'])).toEqual([undefined, undefined])
    await store.set('set', 'new')
    expect(await store.delete('deleted')).toBe(false)
    expect(await store.touch('kept')).toBe(false)
    await expect(store.add('lock', '1')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    await expect(store.increment('n', 1)).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    await expect(store.ping()).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining('connect'),
    })
    const other = direct()
    expect(String(await other.get('set'))).toBe('old')
    wire.refuse(false)
    await recovered(() => store.add('up', '1'))
    expect(await store.getMany(['set', 'deleted'])).toEqual([undefined, undefined])
    expect(await other.get('deleted')).toBeUndefined()
  })

  test("'failover': another node answers meanwhile, and forgets it when the node is back", async () => {
    const second = await startMemcached()
    cleanups.push(second.stop)
    const servers = [`127.0.0.1:${wire.port}`, second.address]
    const store = through({ servers, onNodeDown: 'failover' })
    const keys = Array.from({ length: 40 }, (_, index) => `k${index}`)
    await store.setMany(keys.map((key) => [key, 'old'] as const))
    wire.refuse(true)
    wire.cut()
    // The first call notices; from then on the node is down.
    await recovered(() => store.getMany(keys))
    await store.setMany(keys.map((key) => [key, 'new'] as const))
    expect((await store.getMany(keys)).map(String)).toEqual(keys.map(() => 'new'))
    // One of two is enough, unless one is not to be lenient.
    await store.ping()
    expect(await fails(() => through({ servers }).ping())).toBe(true)
    wire.refuse(false)
    await expect.poll(() => store.nodes().map(({ state }) => state)).toEqual(['up', 'up'])
    const found = (await store.getMany(keys)).map((each) => each && String(each))
    // Those of the node that was away are misses, never the old ones.
    expect(new Set(found)).toEqual(new Set([undefined, 'new']))
    wire.refuse(true)
    wire.cut()
    const again = (await store.getMany(keys)).map((each) => each && String(each))
    expect(again).toEqual(found)
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
