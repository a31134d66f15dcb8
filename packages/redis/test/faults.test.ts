import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@stowage/core'
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
import { replicated } from './helpers.ts'

let server: RedisServer
let wire: FaultProxy
let store: ReturnType<typeof redis>
const cleanups: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  server = await startRedis()
  wire = await startProxy(server.port)
  store = redis({ url: wire.url, timeout: '100ms', connectTimeout: '100ms' })
  cleanups.push(
    server.stop,
    () => wire.stop(),
    () => store.close(),
  )
})

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function recovered(call: () => unknown): Promise<void> {
  const deadline = Date.now() + 20_000
  for (;;) {
    try {
      await call()
      return
    } catch (error) {
      if (!CacheError.is(error) || Date.now() > deadline) throw error
      await sleep(10)
    }
  }
}

test('an increment whose answer is lost counts once and is reported as failed', async () => {
  await store.increment('n', 1)
  const lost = wire.cutReplies()
  await expect(store.increment('n', 1)).rejects.toMatchObject({ retryable: true })
  await lost
  await recovered(() => store.ping())
  expect(await command(server.port, 'GET', 'n')).toBe('2')
})

test('a read, and a write that may be done twice, is sent again when the connection was cut', async () => {
  const store = redis({ url: wire.url, timeout: '5s' })
  cleanups.push(() => store.close())
  await store.set('k', 'v')
  for (const call of [() => store.get('k'), () => store.getMany(['k', 'l'])]) {
    const lost = wire.cutReplies()
    expect(String(await call())).toMatch(/^v/)
    await lost
  }
  for (const call of [
    () => store.set('k', 'new'),
    () => store.setMany([['k', 'new']]),
    () => store.touch('k', 60_000),
  ]) {
    const lost = wire.cutReplies()
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
])('%s, whose answer would be another one the second time, is not', async (_, call) => {
  await store.set('k', 'v')
  const lost = wire.cutReplies()
  await expect(call()).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE', retryable: true })
  await lost
})

test('what was under way when the connection is cut is reported, and never sent again', async () => {
  // From now on the server knows the script.
  await store.increment('n', 1)
  wire.mute(true, 'replies')
  const calls = Array.from({ length: 50 }, () => store.increment('n', 1))
  const outcomes = Promise.allSettled(calls)
  await recovered(async () => {
    if ((await command(server.port, 'GET', 'n')) !== '51')
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'wait')
  })
  wire.cut()
  for (const { status } of await outcomes) expect(status).toBe('rejected')
  wire.mute(false)
  await recovered(() => store.ping())
  expect(await command(server.port, 'GET', 'n')).toBe('51')
})

test('a black hole costs each call its deadline, and nothing after it has gone', async () => {
  await store.set('k', 'v')
  wire.mute(true)
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => store.get('k')))
  for (const outcome of outcomes) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_CACHE_TIMEOUT' } })
  }
  wire.mute(false)
  await recovered(() => store.get('k'))
})

test('connections that are reset one after another end in a coded error, then in an answer', async () => {
  await store.set('k', 'v')
  wire.refuse(true)
  wire.cut()
  await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  wire.refuse(false)
  await recovered(() => store.get('k'))
})

test('nothing fails when the address leads to the new primary by the time the old one refuses', async () => {
  const { primary, replicas, stop } = await startReplicated({ replicas: 1 })
  cleanups.push(stop)
  const promoted = replicas[0]?.port ?? 0
  const endpoint = await startProxy(primary.port)
  const followed = redis({ url: endpoint.url })
  cleanups.push(
    () => endpoint.stop(),
    () => followed.close(),
  )
  await followed.increment('n', 1)
  await replicated('n', '1', promoted)
  await command(promoted, 'REPLICAOF', 'NO', 'ONE')
  await command(primary.port, 'REPLICAOF', '127.0.0.1', promoted)
  endpoint.retarget(promoted)
  expect(await followed.increment('n', 1)).toBe(2)
  expect(await command(promoted, 'GET', 'n')).toBe('2')
})

test('an address that leads to a new primary is followed, though the old one stays connected', async () => {
  const { primary, replicas, stop } = await startReplicated({ replicas: 1 })
  cleanups.push(stop)
  const promoted = replicas[0]?.port ?? 0
  const endpoint = await startProxy(primary.port)
  const followed = redis({ url: endpoint.url })
  cleanups.push(
    () => endpoint.stop(),
    () => followed.close(),
  )
  await followed.set('k', 'before')
  await command(promoted, 'REPLICAOF', 'NO', 'ONE')
  await command(primary.port, 'REPLICAOF', '127.0.0.1', promoted)
  // Refused, and once more after a look at where the address leads by now.
  await expect(followed.set('k', 'refused')).rejects.toMatchObject({ retryable: true })
  endpoint.retarget(promoted)
  await recovered(() => followed.set('k', 'after'))
  expect(await command(promoted, 'GET', 'k')).toBe('after')
})
