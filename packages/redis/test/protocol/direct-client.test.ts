import { randomBytes, randomInt } from 'node:crypto'
import type { Payload } from '@stowage/core'
import { redis } from '@stowage/redis'
import { command, startRedis } from '@stowage/test-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { waitUntilSucceeds } from '../helpers.ts'

const server = await startRedis()
const admin = new Redis(server.url)
const store = redis({ url: server.url, timeout: '20s' })

beforeEach(async () => void (await admin.flushall()))

afterAll(async () => {
  await store.close()
  admin.disconnect()
  await server.stop()
})

const fragments = [
  '\r\n',
  '\r',
  '\n',
  '$5\r\n',
  '*1\r\n$4\r\nPING\r\n',
  '-ERR ',
  'ä',
  '€',
  '😀',
  '\u0000',
  '\ufeff',
  '\ufffd',
  '\ud800',
  'e\u0301',
  'x',
  'x'.repeat(1_000),
  '€'.repeat(5_461),
  'x'.repeat(16_384),
  'ä'.repeat(16_385),
  'x'.repeat(70_000),
]

function randomText(maxFragments: number): string {
  const count = randomInt(maxFragments + 1)
  return Array.from({ length: count }, () => fragments[randomInt(fragments.length)]).join('')
}

function randomPayload(): Payload {
  if (randomInt(3) > 0) return randomText(4)
  return randomInt(2) === 0 ? randomBytes(randomInt(40_000)) : new Uint8Array(randomBytes(9))
}

/** The bytes as text: comparing them one by one takes long. */
const bytesOf = (payload: Payload | null | undefined) =>
  payload == null ? payload : Buffer.from(payload as string).toString('latin1')

test('text that follows ASCII text, and ASCII text that follows other text', async () => {
  for (const text of [
    'a',
    'ä',
    'b',
    '€😀',
    '\ud800',
    'c',
    'x'.repeat(20_000),
    'ä'.repeat(20_000),
  ]) {
    await Promise.all([store.set(`key of ${text.toWellFormed()}`, text), store.set('key', text)])
    expect(await admin.get('key')).toBe(text.toWellFormed())
    expect(bytesOf(await store.get(`key of ${text.toWellFormed()}`))).toBe(bytesOf(text))
  }
})

describe('any text or bytes in keys and values', () => {
  // Keys of the contract are well-formed.
  const randomKey = (index: number) => `${index}:${randomText(2).toWellFormed()}`

  test.each(Array.from({ length: 12 }, (_, round) => round))('round %i', async () => {
    const entries = Array.from(
      { length: 1 + randomInt(80) },
      (_, i) => [randomKey(i), randomPayload()] as const,
    )
    const keys = entries.map(([key]) => key)
    const expected = entries.map(([, payload]) => bytesOf(payload))
    const readAll = async () => {
      const found = await store.getMany(keys)
      expect(found.map(bytesOf)).toEqual(expected)
      expect((await admin.mgetBuffer(keys)).map(bytesOf)).toEqual(expected)
      await admin.flushall()
    }
    await Promise.all(entries.map(([key, payload]) => store.set(key, payload, 60_000)))
    await readAll()
    await store.setMany(entries)
    await readAll()
    const added = await Promise.all(
      entries.map(([key, payload]) => store.add(key, payload, 60_000)),
    )
    expect(added).not.toContain(false)
    expect(await Promise.all(keys.map((key) => store.touch(key, 90_000)))).not.toContain(false)
    const singles = await Promise.all(keys.map((key) => store.get(key)))
    expect(singles.map(bytesOf)).toEqual(expected)
    const swapped = entries.map(([key, payload]) => store.compareAndSet(key, payload, payload))
    expect(await Promise.all(swapped)).not.toContain(false)
    await readAll()
    await store.setMany(entries, 60_000)
    expect(await Promise.all(keys.map((key) => store.delete(key)))).not.toContain(false)
    expect(await admin.dbsize()).toBe(0)
  })
})

test('different commands of one turn get their own replies', async () => {
  await store.setMany(Array.from({ length: 200 }, (_, i) => [`k${i}`, `v${i}`]))
  const calls = Array.from({ length: 200 }, (_, i) => [
    Promise.resolve(store.get(`k${i}`)).then(String),
    store.touch(`k${i}`, 60_000),
    store.increment(`n${i}`, i),
    store.add(`k${i}`, 'other'),
    Promise.resolve(store.set(`s${i}`, `s${i}`, 60_000 + i)).then(() => 'stored'),
    store.compareAndSet(`k${i}`, `v${i}`, `w${i}`),
    store.delete(`missing${i}`),
    i % 50 === 0 ? store.ping() : undefined,
  ])
  for (const [i, replies] of (
    await Promise.all(calls.map((each) => Promise.all(each)))
  ).entries()) {
    expect(replies).toEqual([`v${i}`, true, i, false, 'stored', true, false, undefined])
    expect(String(await store.get(`k${i}`))).toBe(`w${i}`)
  }
})

test('calls for one key take effect in order, whichever path sends them', async () => {
  for (let round = 0; round < 50; round++) {
    const calls = [
      store.set('k', 'a'),
      store.delete('k'),
      store.add('k', 'b', 60_000),
      store.delete('k'),
      store.set('k', 'c', 60_000),
      store.compareAndSet('k', 'c', 'd'),
    ]
    expect((await Promise.all(calls)).filter((result) => result === false)).toEqual([])
    expect(String(await store.get('k'))).toBe('d')
  }
})

test('the first script on each new connection keeps its place among the calls of its tick', async () => {
  const own = await startRedis()
  const fresh = redis({ url: own.url, timeout: '20s' })
  for (let round = 0; round < 5; round++) {
    await command(own.port, 'SCRIPT', 'FLUSH')
    await command(own.port, 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await waitUntilSucceeds(() => fresh.ping())
    expect(await Promise.all([fresh.increment('n', 1), fresh.delete('n')])).toEqual([1, true])
    expect(await Promise.all([fresh.increment('n', 1), fresh.delete('n')])).toEqual([1, true])
    expect(await fresh.get('n')).toBeUndefined()
  }
  await fresh.close()
  await own.stop()
})

test('an error reply concerns the call of its key only', async () => {
  await admin.acl('SETUSER', 'app', 'on', '>pw', '~app:*', '+@all')
  const limited = redis({ url: `redis://app:pw@127.0.0.1:${server.port}`, timeout: '20s' })
  for (const ttl of [undefined, 60_000]) {
    const outcomes = await Promise.allSettled([
      limited.set('app:1', 'v', ttl),
      limited.set('other', 'v', 60_000),
      limited.set('app:2', 'v', ttl),
      limited.set('app:3', 'v', 60_000),
      limited.touch('other', 5),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
      'rejected',
    ])
    expect(outcomes[1]).toMatchObject({ reason: { code: 'ERR_CACHE_REJECTED', key: 'other' } })
  }
  expect((await limited.getMany(['app:1', 'app:2', 'app:3'])).map(String)).toEqual(['v', 'v', 'v'])
  await limited.close()
})
