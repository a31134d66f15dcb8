import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const execute = promisify(execFile)
const imports = `
  import { Cache, cachesFromEnv, createCaches } from '@stowage/core'
  import { standardDrivers } from '@stowage/drivers'
  import { memory } from '@stowage/memory'
  import { Sessions, session } from '@stowage/sessions'
  const cache = new Cache(memory())`

/** What a process with this code prints to stderr. */
async function warningsOf(code: string): Promise<string> {
  const args = ['--input-type=module', '--eval', `${imports}\n${code}`]
  const { stderr } = await execute(process.execPath, args, { cwd: import.meta.dirname })
  return stderr.replace(/^\(Use `node --trace-warnings.*\n/m, '').replace(/^\(node:\d+\) /, '')
}

const warning = (name: string, ms: number) =>
  `[STOWAGE_SHORT_TTL] StowageWarning: ${name}: ${ms} means ${ms} milliseconds. Write '${ms}s' for seconds, or '${ms}ms'.\n`

test.each([
  ['set', 'await cache.set("a", 1, { ttl: 60 })', warning('ttl', 60)],
  ['remember', 'await cache.remember("a", { ttl: 300 }, () => 1)', warning('ttl', 300)],
  ['a cache', 'new Cache(memory(), { ttl: 60 })', warning('Cache: ttl', 60)],
  [
    'createCaches',
    `createCaches({ default: 'a', stores: { a: { store: memory, ttl: 5 } } }).use()`,
    warning('Cache: ttl', 5),
  ],
  [
    'a collection',
    'await cache.collection("a", { ttl: 60, load: () => 1 }).get("1")',
    warning('ttl', 60),
  ],
  ['a lock', 'cache.lock("a", { ttl: 30 })', warning('lock: ttl', 30)],
  ['a near cache', 'new Cache(memory(), { near: { ttl: 10 } })', warning('near: ttl', 10)],
  ['sessions', 'new Sessions({ cache, idleTimeout: 900 })', warning('Sessions: idleTimeout', 900)],
  [
    'the end of sessions',
    'new Sessions({ cache, absoluteTimeout: 900 })',
    warning('Sessions: absoluteTimeout', 900),
  ],
  [
    'a cookie',
    'session({ secret: "s".repeat(32), store: new Sessions({ cache }), cookie: { maxAge: 60 } })',
    warning('cookie: maxAge', 60),
  ],
  [
    'a rate limit',
    'cache.rateLimit("a", { limit: 5, window: 60 })',
    warning('rateLimit: window', 60),
  ],
  [
    'a concurrency limit',
    'cache.concurrency("a", { limit: 5, ttl: 60 })',
    warning('concurrency: ttl', 60),
  ],
])('a number below 1000 is a warning: %s', async (_, code, expected) => {
  expect(await warningsOf(code)).toBe(expected)
})

test('the warning comes once per process', async () => {
  const code = 'for (const ttl of [60, 61]) await cache.set("a", 1, { ttl })'
  expect(await warningsOf(code)).toBe(warning('ttl', 60))
})

test('a test with a manual clock has short ttls', async () => {
  const code = `
    const { ManualClock } = await import('@stowage/testing')
    new ManualClock()
    await cache.set('a', 1, { ttl: 60 })`
  expect(await warningsOf(code)).toBe('')
})

test('a unit, a date, a calculated ttl and one of a variable need no warning', async () => {
  const code = `
    await cache.set('a', 1, { ttl: '60ms' })
    await cache.set('a', 1, { ttl: 1000 })
    await cache.set('a', 1, { ttl: 0 })
    await cache.set('a', 1, { ttl: new Date(Date.now() + 60) })
    await cache.remember('a', { ttl: () => 60 }, () => 1)
    await (await cache.snapshot('a')).replace(2, { ttl: 60 })
    await cachesFromEnv({ CACHE_TTL: '60ms' }, standardDrivers())`
  expect(await warningsOf(code)).toBe('')
})
