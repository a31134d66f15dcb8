import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Cache, channels } from '@stowage/core'
import { memory } from '@stowage/memory'
import { type Logger, type LogOptions, logEvents } from '@stowage/telemetry/log'
import { Chaos, withChaos } from '@stowage/testing'
import { afterEach, expect, test, vi } from 'vitest'

let stop = () => {}
afterEach(() => {
  stop()
  vi.restoreAllMocks()
})

function logged(options?: LogOptions): [level: string, fields: object, message: string][] {
  const lines: [string, object, string][] = []
  const method = (level: string) => (fields: object, message: string) =>
    void lines.push([level, fields, message])
  const logger: Logger = { info: method('info'), warn: method('warn'), error: method('error') }
  stop = logEvents(logger, options)
  return lines
}

function failingCache(): Cache {
  const chaos = new Chaos()
  chaos.fail('get')
  return new Cache(withChaos(memory(), chaos), { name: 'pages' })
}

test('logs a failed call as an error, and one that went on as a warning, with masked keys', async () => {
  const lines = logged()
  const cache = failingCache()
  await cache.get('secret-key').catch(() => {})
  await cache.remember('secret-key', { lease: false }, () => 1)
  const fields = { cache: 'pages', store: 'memory', key: 'secr***', code: 'ERR_CACHE_UNAVAILABLE' }
  expect(lines).toMatchObject([
    ['error', { ...fields, operation: 'get' }, 'stowage: a call has failed'],
    ['warn', fields, 'stowage: a call went on after a failure'],
  ])
  expect(JSON.stringify(lines)).not.toContain('secret')
})

test('does not log the message of an error of the application', async () => {
  const lines = logged({ maskKey: () => 'masked' })
  const fail = () => Promise.reject(new Error('secret'))
  await new Cache(memory()).remember('k', { backoff: 0 }, fail).catch(() => {})
  expect(lines).toMatchObject([['error', { key: 'masked', code: 'Error' }, expect.any(String)]])
  expect(JSON.stringify(lines)).not.toContain('secret')
})

test('logs no part of a key for which the function of the application throws', async () => {
  const lines = logged({ maskKey: (key) => (key.split(':')[1] as string).slice(1) })
  await failingCache()
    .get('hostile')
    .catch(() => {})
  expect(lines).toMatchObject([['error', { key: '***' }, 'stowage: a call has failed']])
})

test('refuses a logger that lacks a method', () => {
  const logger = { warn: () => {}, error: () => {} }
  expect(() => logEvents(logger as never)).toThrow('no method info. Pass an object with')
  expect(channels.topology.hasSubscribers).toBe(false)
})

test('logs outages and servers', () => {
  const lines = logged()
  channels.breaker.publish({ store: 'redis', state: 'open' })
  channels.topology.publish({ store: 'redis', change: 'lost', server: 'localhost:6379' })
  channels.near.publish({ cache: 'pages', store: 'redis', entries: 3 })
  expect(lines.map(([level, , message]) => `${level} ${message}`)).toEqual([
    'error stowage: breaker open',
    'warn stowage: server lost',
    'warn stowage: a near cache has dropped all entries',
  ])
})

test('writes a limited number of lines of a kind in a second, and then how many it has omitted', () => {
  let now = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  const lines = logged({ maxPerSecond: 2 })
  const lose = () => channels.topology.publish({ store: 'redis', change: 'lost', server: '' })
  for (let event = 0; event < 5; event++) lose()
  expect(lines).toHaveLength(2)
  now = 1_000
  lose()
  expect(lines.slice(2).map(([, , message]) => message)).toEqual([
    'stowage: 3 lines were omitted',
    'stowage: server lost',
  ])
})

test('without a logger, writes to stderr if NODE_DEBUG contains stowage', async () => {
  const script = `
    import { channels } from '@stowage/core'
    import { logEvents } from '@stowage/telemetry/log'
    logEvents()
    channels.breaker.publish({ store: 'redis', state: 'open' })`
  const run = async (NODE_DEBUG: string) => {
    const env = { ...process.env, NODE_DEBUG }
    const args = ['--input-type=module', '-e', script]
    return (await promisify(execFile)(process.execPath, args, { env, cwd: import.meta.dirname }))
      .stderr
  }
  expect(await run('stowage')).toMatch(/^STOWAGE \d+: stowage: breaker open \{"store":"redis"/m)
  expect(await run('http2')).not.toContain('breaker')
})
