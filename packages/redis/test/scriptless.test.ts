import type { CacheStore } from '@stowage/core'
import type { BackendReport } from '@stowage/core/tools'
import { redis } from '@stowage/redis'
import { command, startRedis, startScriptlessRedis } from '@stowage/test-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { waitUntilSucceeds } from './helpers.ts'

const [first, last] = [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]

describe.each(['redis', 'valkey'] as const)(
  'without permission for scripts, commands of %s',
  async (dialect) => {
    const server = await startScriptlessRedis(dialect)
    afterAll(() => server.stop())
    beforeEach(() => {
      server.commands.length = 0
    })
    const stores = {
      'a store with connections of its own': () => open(redis({ url: server.url, timeout: '20s' })),
      'a client of the application': () => {
        const client = new Redis(server.url)
        onTestFinished(() => client.disconnect())
        return open(redis({ client, timeout: '20s' }))
      },
    }

    describe.each(Object.entries(stores))('%s', (_, create) => {
      test('replaces and deletes a value only if it is the expected one', async () => {
        const store = create()
        await store.clear()
        await store.set('k', Buffer.from([0xff, 0]), 60_000)
        expect(await store.compareAndSet('k', 'other', 'b')).toBe(false)
        expect(await store.compareAndSet('k', Buffer.from([0xff, 0]), 'b', 50_000)).toBe(true)
        expect(Number(await command(server.server.port, 'PTTL', 'k'))).toBeGreaterThan(0)
        expect(await store.compareAndSet('k', 'b', 'c')).toBe(true)
        expect(await command(server.server.port, 'PTTL', 'k')).toBe(-1)
        expect(await store.compareAndSet('k', 'b', undefined)).toBe(false)
        expect(await store.compareAndSet('k', 'c', undefined)).toBe(true)
        expect(await store.compareAndSet('k', 'c', undefined)).toBe(false)
        expect(await store.compareAndSet('missing', 'c', 'd')).toBe(false)
      })

      test('a key of another type equals no value', async () => {
        const store = create()
        await store.clear()
        await command(server.server.port, 'LPUSH', 'list', 'a')
        expect(await store.compareAndSet('list', 'a', 'b')).toBe(false)
        expect(await store.compareAndSet('list', 'a', undefined)).toBe(false)
      })

      test('counts exactly, keeps the ttl, and refuses what is not a safe integer', async () => {
        const store = create()
        await store.clear()
        expect(await store.increment('n', 2, 60_000)).toBe(2)
        expect(await store.increment('n', -3)).toBe(-1)
        expect(Number(await command(server.server.port, 'PTTL', 'n'))).toBeGreaterThan(0)
        expect(await store.increment('last', last)).toBe(last)
        await expect(store.increment('last', 1)).rejects.toThrow('not a safe integer')
        expect(await store.increment('last', -1)).toBe(last - 1)
        expect(await store.increment('first', first)).toBe(first)
        await store.set('text', 'text', 60_000)
        await expect(store.increment('text', 1, 1_000)).rejects.toThrow('not an integer')
        expect(String(await store.get('text'))).toBe('text')
      })

      test('touch without a ttl returns whether the key exists', async () => {
        const store = create()
        await store.clear()
        await store.set('k', 'v', 60_000)
        expect(await store.touch('k')).toBe(true)
        expect(await store.touch('k')).toBe(true)
        expect(await command(server.server.port, 'PTTL', 'k')).toBe(-1)
        expect(await store.touch('missing')).toBe(false)
      })
    })

    test('the first calls of a connection take effect in their order', async () => {
      const other = open(redis({ url: server.url, timeout: '20s' }))
      await other.set('k', 'a')
      const store = open(redis({ url: server.url, timeout: '20s' }))
      const replies = await Promise.all([
        store.compareAndSet('k', 'a', 'b'),
        store.get('k'),
        store.compareAndSet('k', 'b', undefined),
        store.get('k'),
        store.increment('k', 5),
        store.delete('k'),
        store.increment('k', 1),
      ])
      expect(replies.map((reply) => (typeof reply === 'object' ? String(reply) : reply))).toEqual([
        true,
        'b',
        true,
        undefined,
        5,
        true,
        1,
      ])
      expect(server.commands).not.toContain('EVALSHA')
    })
  },
)

test('a server without these commands needs the permission for scripts, and the error says so', async () => {
  const server = await startRedis()
  onTestFinished(() => server.stop())
  await command(
    server.port,
    'ACL',
    'SETUSER',
    'app',
    'on',
    '>pw',
    '~*',
    '&*',
    '+@all',
    '-eval',
    '-evalsha',
  )
  const store = open(redis({ url: server.url.replace('//', '//app:pw@'), timeout: '20s' }))
  await store.set('k', 'a')
  await expect(store.compareAndSet('k', 'a', 'b')).rejects.toMatchObject({
    code: 'ERR_CACHE_REJECTED',
    message: expect.stringContaining('+eval +evalsha'),
  })
  expect(await store.increment('n', 1, 60_000)).toBe(1)
  // At once after the permission was given, on the same connection.
  await command(server.port, 'ACL', 'SETUSER', 'app', '+eval', '+evalsha')
  expect(await store.compareAndSet('k', 'a', 'b')).toBe(true)
})

test('diagnostics say how values are compared and replaced', async () => {
  const newer = await startScriptlessRedis('redis')
  const older = await startRedis()
  onTestFinished(async () => {
    await Promise.all([newer.stop(), older.stop()])
  })
  const check = async (url: string) => {
    const report = await open(redis({ url, timeout: '20s' })).diagnostics?.check()
    const { servers, findings } = report as BackendReport
    return [servers[0]?.facts['compare-and-set'], ...findings.map(({ code }) => code)]
  }
  expect(await check(newer.url)).toEqual(['SET IFEQ'])
  expect(await check(older.url)).toEqual(['script'])
  const refused = ['on', '>pw', '~*', '&*', '+@all', '-eval', '-evalsha']
  await command(older.port, 'ACL', 'SETUSER', 'app', ...refused)
  const url = older.url.replace('//', '//app:pw@')
  expect(await check(url)).toEqual(['script', 'redis-not-writable'])
})

test('after a failover to an older server, scripts are used', async () => {
  const newer = await startScriptlessRedis('valkey')
  onTestFinished(() => newer.stop())
  const store = open(redis({ url: newer.url, timeout: '20s' }))
  await store.set('k', 'a')
  expect(await store.compareAndSet('k', 'a', 'b')).toBe(true)
  newer.becomeOlder()
  await waitUntilSucceeds(() => store.set('k', 'a'))
  expect(await store.compareAndSet('k', 'a', 'b')).toBe(true)
  expect(await store.compareAndSet('k', 'b', undefined)).toBe(true)
})

function open<S extends CacheStore>(store: S): S {
  onTestFinished(() => store.close())
  return store
}
