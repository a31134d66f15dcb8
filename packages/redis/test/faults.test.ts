import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { redis } from '@stowage/redis'
import {
  command,
  type FaultProxy,
  type RedisServer,
  startProxy,
  startRedis,
  startReplicated,
} from '@stowage/test-servers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fuzzRedis } from './fuzz/fuzz-redis.mjs'
import { waitUntil, waitUntilReplicated, waitUntilSucceeds } from './helpers.ts'

/** Longer than a busy machine stops the server. */
const timeoutMs = 1_500

let server: RedisServer
let proxy: FaultProxy
let store: ReturnType<typeof redis>
const cleanups: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  server = await startRedis()
  proxy = await startProxy(server.port)
  store = redis({ url: proxy.url, timeout: timeoutMs, connectTimeout: timeoutMs })
  cleanups.push(
    server.stop,
    () => proxy.stop(),
    () => store.close(),
  )
})

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

test('an increment whose reply is lost is executed once, and rejects', async () => {
  await store.increment('n', 1)
  const lost = proxy.cutReplies()
  await expect(store.increment('n', 1)).rejects.toMatchObject({ retryable: true })
  await lost
  await waitUntilSucceeds(() => store.ping())
  expect(await command(server.port, 'GET', 'n')).toBe('2')
})

test('a read or an idempotent write is retried after the connection was cut', async () => {
  const store = redis({ url: proxy.url, timeout: '5s' })
  cleanups.push(() => store.close())
  await store.set('k', 'v')
  for (const call of [() => store.get('k'), () => store.getMany(['k', 'l'])]) {
    const lost = proxy.cutReplies()
    expect(String(await call())).toMatch(/^v/)
    await lost
  }
  for (const call of [
    () => store.set('k', 'new'),
    () => store.setMany([['k', 'new']]),
    () => store.touch('k', 60_000),
  ]) {
    const lost = proxy.cutReplies()
    await call()
    await lost
    expect(await command(server.port, 'GET', 'k')).toBe('new')
  }
})

test.each([
  ['add', () => store.add('other', 'v')],
  ['compareAndSet', () => store.compareAndSet('k', 'v', 'w')],
  ['delete', () => store.delete('k')],
  ['deleteMany', () => store.deleteMany(['k'])],
  ['increment', () => store.increment('n', 1)],
])('%s is not retried, because its result could change', async (_, call) => {
  await store.set('k', 'v')
  const lost = proxy.cutReplies()
  await expect(call()).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE', retryable: true })
  await lost
})

test('calls in flight reject when the connection is cut, and are never sent again', async () => {
  // Loads the script.
  await store.increment('n', 1)
  proxy.mute(true, 'replies')
  const calls = Array.from({ length: 50 }, () => store.increment('n', 1))
  const outcomes = Promise.allSettled(calls)
  await waitUntil('the server has executed all calls', async () => {
    return (await command(server.port, 'GET', 'n')) === '51'
  })
  proxy.cut()
  for (const { status } of await outcomes) expect(status).toBe('rejected')
  proxy.mute(false)
  await waitUntilSucceeds(() => store.ping())
  expect(await command(server.port, 'GET', 'n')).toBe('51')
})

test('calls to an unresponsive server time out, and succeed once it replies again', async () => {
  await store.set('k', 'v')
  proxy.mute(true)
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => store.get('k')))
  for (const outcome of outcomes) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_CACHE_TIMEOUT' } })
  }
  proxy.mute(false)
  await waitUntilSucceeds(() => store.get('k'))
})

test('a large reply that takes longer than the timeout fails no call, as long as its bytes arrive', async () => {
  // A reply of 5 MB takes twice the timeout, which is longer than a busy machine stops the server.
  const link = await startSlowLink(server.port, 1_600)
  const store = redis({ url: `redis://127.0.0.1:${link.port}`, timeout: timeoutMs })
  cleanups.push(
    async () => link.close(),
    () => store.close(),
  )
  await store.set('small', 'v')
  await command(server.port, 'SETRANGE', 'large', 5_000_000, 'end')
  const large = store.get('large')
  const small: Promise<unknown>[] = []
  for (let call = 0; call < 40; call++) {
    small.push(Promise.resolve(store.get('small')))
    await sleep(10)
  }
  for (const value of await Promise.all(small)) expect(String(value)).toBe('v')
  expect((await large)?.length).toBe(5_000_003)
  // The large reply stops in the middle.
  const before = link.bytes
  const stopped = Promise.resolve(store.get('large'))
  await expect.poll(() => link.bytes).toBeGreaterThan(before)
  link.stop()
  await expect(stopped).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
})

/** Forwards connections, and replies at a limited rate. */
async function startSlowLink(target: number, bytesPerMs: number) {
  let stopped = false
  let bytes = 0
  const link = createServer((client) => {
    const upstream = connect(target, '127.0.0.1')
    client.pipe(upstream)
    upstream.on('data', (chunk) => {
      client.write(chunk)
      bytes += chunk.length
      upstream.pause()
      setTimeout(() => stopped || upstream.resume(), chunk.length / bytesPerMs)
    })
    const end = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) socket.on('close', end).on('error', end)
  })
  await new Promise<void>((resolve) => link.listen(0, '127.0.0.1', resolve))
  const stop = () => {
    stopped = true
  }
  return {
    port: (link.address() as AddressInfo).port,
    get bytes() {
      return bytes
    },
    stop,
    close: () => link.close(),
  }
}

test('calls reject while new connections are reset, and succeed afterwards', async () => {
  await store.set('k', 'v')
  proxy.refuse(true)
  proxy.cut()
  await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  proxy.refuse(false)
  await waitUntilSucceeds(() => store.get('k'))
})

/**
 * A primary behind an endpoint, and its replica. `promote` makes the replica the primary and the primary its replica.
 */
async function startDemotable() {
  const { primary, replicas, stop } = await startReplicated({ replicas: 1 })
  const endpoint = await startProxy(primary.port)
  const store = redis({ url: endpoint.url, timeout: '20s' })
  cleanups.push(
    stop,
    () => endpoint.stop(),
    () => store.close(),
  )
  const replica = replicas[0]?.port ?? 0
  const promote = async () => {
    await command(replica, 'REPLICAOF', 'NO', 'ONE')
    await command(primary.port, 'REPLICAOF', '127.0.0.1', replica)
  }
  return { endpoint, store, replica, promote }
}

test('a write that a demoted primary rejects is retried on the new primary at the same address', async () => {
  const { endpoint, store, replica, promote } = await startDemotable()
  await store.increment('n', 1)
  await waitUntilReplicated('n', '1', replica)
  await promote()
  endpoint.retarget(replica)
  expect(await store.increment('n', 1)).toBe(2)
  expect(await command(replica, 'GET', 'n')).toBe('2')
})

test('an address that leads to a replica gets few reconnects; it serves reads between them', async () => {
  const { endpoint, store, promote } = await startDemotable()
  await store.set('k', 'v')
  await promote()
  const before = endpoint.accepted
  const end = Date.now() + 1_500
  while (Date.now() < end) {
    await expect(store.set('k', 'rejected')).rejects.toMatchObject({ retryable: true })
    expect(String(await store.get('k'))).toBe('v')
    await sleep(5)
  }
  expect(endpoint.accepted - before).toBeLessThan(25)
})

test('a write that a demoted primary rejects closes the connection; a later one reaches the new primary', async () => {
  const { endpoint, store, replica, promote } = await startDemotable()
  await store.set('k', 'before')
  await promote()
  // Rejected twice: the address still leads to the old primary when the write is retried.
  await expect(store.set('k', 'rejected')).rejects.toMatchObject({ retryable: true })
  endpoint.retarget(replica)
  await waitUntilSucceeds(() => store.set('k', 'after'))
  expect(await command(replica, 'GET', 'k')).toBe('after')
})

test('no call hangs or has a wrong result under random faults, and no socket is left open', async () => {
  const correct = { wrong: [], hung: 0, correctKeys: 50, connections: 1, sockets: 1 }
  let succeeded = 0
  // On a machine that is so busy that each call takes longer than its timeout, a round proves nothing.
  while (succeeded === 0) {
    const result = await fuzzRedis(4_000)
    expect(result).toMatchObject(correct)
    succeeded += result.succeeded
  }
})
