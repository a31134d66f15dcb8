import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createCaches } from '@stowage/core'
import { memory } from '@stowage/memory'
import { healthCheck } from '@stowage/telemetry/health'
import { Chaos, withChaos } from '@stowage/testing'
import { expect, test } from 'vitest'

function world() {
  const chaos = { cache: new Chaos(), session: new Chaos() }
  const caches = createCaches({
    default: 'cache',
    stores: {
      cache: () => withChaos(memory(), chaos.cache),
      session: () => withChaos(memory(), chaos.session),
    },
  })
  return { chaos, caches }
}

const fresh = { required: ['session'] } as const

test('passes while all backends reply', async () => {
  const { caches } = world()
  const result = await healthCheck(caches, fresh).check()
  const check = { status: 'pass', driver: 'memory', latencyMs: expect.any(Number) }
  const body = { status: 'pass', checks: { cache: check, session: check } }
  expect(result).toEqual({ status: 'pass', httpStatus: 200, body })
})

test('warns if a cache that is not required fails, and fails if a required one does', async () => {
  const { caches, chaos } = world()
  chaos.cache.fail('ping')
  expect(await healthCheck(caches, fresh).check()).toMatchObject({
    httpStatus: 200,
    body: { status: 'warn', checks: { cache: { status: 'warn', code: 'ERR_CACHE_UNAVAILABLE' } } },
  })
  chaos.session.fail('ping')
  expect(await healthCheck(caches, fresh).check()).toMatchObject({
    status: 'fail',
    httpStatus: 503,
  })
})

test('is bounded: a backend that does not reply is a timeout of its own cache only', async () => {
  const { caches, chaos } = world()
  chaos.cache.hang('ping')
  const { body } = await healthCheck(caches, { ...fresh, timeout: 20 }).check()
  expect(body).toMatchObject({
    status: 'warn',
    checks: { cache: { code: 'ERR_CACHE_TIMEOUT' }, session: { status: 'pass' } },
  })
  chaos.cache.reset()
})

test('returns a result again for a second', async () => {
  const { caches, chaos } = world()
  const { check } = healthCheck(caches, { maxAge: '1h' })
  const first = await check()
  chaos.cache.fail('ping')
  expect(await check()).toBe(first)
})

test('the handler answers a probe without host names', async () => {
  const { caches, chaos } = world()
  chaos.session.fail('ping', { error: new Error('connect ECONNREFUSED 10.0.0.1:6379') })
  const server = createServer(healthCheck(caches, fresh).handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  expect(response.status).toBe(503)
  expect(response.headers.get('content-type')).toBe('application/health+json')
  expect(await response.text()).not.toContain('10.0.0.1')
  server.close()
})

test('refuses names that are not defined, a single cache, and unknown options', () => {
  const { caches } = world()
  const unknown = () => healthCheck(caches, { required: ['sessions'] as never })
  expect(unknown).toThrow('Did you mean session?')
  expect(() => healthCheck(caches.use('cache') as never)).toThrow('cachesFromEnv or createCaches')
  expect(() => healthCheck(caches, { requires: [] } as never)).toThrow('Did you mean required?')
})
