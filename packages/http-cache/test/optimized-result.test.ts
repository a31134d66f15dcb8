import { connect } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { type OptimizedResultOptions, toOptimizedResult } from '@stowage/http-cache'
import express, { type ErrorRequestHandler } from 'express'
import { expect, test } from 'vitest'
import { serve, setupCache } from './fixture.ts'

interface Customer {
  readonly id: string
  readonly notes: string
}

const types = {
  'application/json': JSON.stringify,
  'text/html; charset=utf-8': ({ id, notes }: Customer) => `<p>${id} ${notes}</p>`,
}

async function customers(more: Partial<OptimizedResultOptions<Customer>> = {}) {
  const setup = setupCache()
  const state = { calls: 0, isDown: false }
  const app = express()
  app.all('/customers/:id', async (request, response) => {
    const { id } = request.params
    const options = {
      cache: setup.cache,
      key: `customer:${id}`,
      tags: ['customers'],
      types,
      ...more,
    }
    await toOptimizedResult(request, response, options, (): Customer => {
      state.calls++
      if (state.isDown) throw new Error('database down')
      return (
        id === 'none' ? undefined : { id, notes: `${state.calls} ${'x'.repeat(3_000)}` }
      ) as Customer
    })
  })
  app.use(((error, _request, response, _next) => {
    response.status(500).send(error.message)
  }) as ErrorRequestHandler)
  return { ...setup, state, ...(await serve(app)) }
}

test('loads a result once per content type, and encodes it once per encoding', async () => {
  const { get, state } = await customers()
  const accepts = [
    {},
    { accept: 'text/html' },
    { accept: 'application/xml, text/*;q=0.5' },
    { accept: '*/*' },
  ]
  for (let round = 0; round < 2; round++) {
    for (const headers of accepts) {
      const plain = await get('/customers/1', headers)
      const zipped = await get('/customers/1', { ...headers, 'accept-encoding': 'gzip' })
      expect(gunzipSync(zipped.bytes).toString()).toBe(plain.body)
      expect(zipped.headers.get('content-encoding')).toBe('gzip')
      expect(plain.headers.get('vary')).toBe('Accept, Accept-Encoding')
    }
  }
  expect(state.calls).toBe(2)
  expect((await get('/customers/1', { accept: 'text/html' })).body).toMatch(/^<p>1 2 x/)
  expect(JSON.parse((await get('/customers/1', { cookie: 'a=1' })).body).id).toBe('1')
})

test('an invalid key is an error of its request, and other keys are cached', async () => {
  const { cache } = setupCache()
  const app = express()
  app.get('/', async (request, response) => {
    const key = request.query.key as string
    await toOptimizedResult(request, response, { cache, key }, () => 1)
  })
  app.use(((error, _request, response, _next) => {
    response.status(500).send(error.message)
  }) as ErrorRequestHandler)
  const { get } = await serve(app)
  for (const path of ['/', '/?key=', '/?key=a&key=b']) {
    expect((await get(path)).body).toBe('toOptimizedResult: the key must be a non-empty string.')
  }
  await get('/?key=a')
  expect((await get('/?key=a')).headers.get('cache-status')).toContain('hit')
})

test.each<[string, object, string]>([
  ['an unknown option', { stale: '1m' }, 'toOptimizedResult: unknown option stale'],
  ['no cache', { cache: undefined }, 'toOptimizedResult: the option cache must be a Cache'],
  ['one tag', { tags: 'customers' }, 'Tags must be an array'],
  ['no types', { types: {} }, 'toOptimizedResult: types must be an object'],
  ['a list of types', { types: ['text/html'] }, 'toOptimizedResult: types must be an object'],
  ['a body of numbers', { types: { 'text/html': () => [1] } }, 'must return text or bytes'],
  ['a late body', { types: { 'text/html': async () => '1' } }, 'must return text or bytes'],
])('%s is an error', async (_, options, message) => {
  const { get, state } = await customers(options as never)
  expect((await get('/customers/1')).body).toContain(message)
  expect(state.calls).toBeLessThan(2)
})

test('a missing function is an error of the call', async () => {
  const { cache } = setupCache()
  const { get } = await serve((request, response) =>
    toOptimizedResult(request, response, { cache, key: 'k' }, undefined as never).catch((error) =>
      response.end(error.message),
    ),
  )
  expect((await get('/')).body).toContain('the fourth argument must be the function that returns')
})

test('deleting the key, or invalidating a tag, removes every variant', async () => {
  const { get, cache } = await customers()
  const read = async () => {
    const json = JSON.parse((await get('/customers/1')).body).notes[0]
    const html = (await get('/customers/1', { accept: 'text/html' })).body[5]
    return `${json} ${html}`
  }
  expect([await read(), await read()]).toEqual(['1 2', '1 2'])
  await cache.delete('customer:1')
  expect([await read(), await read()]).toEqual(['3 4', '3 4'])
  await cache.invalidateTags('customers')
  expect([await read(), await read()]).toEqual(['5 6', '5 6'])
})

test('answers conditions and HEAD, sends 404 for undefined, and passes errors on', async () => {
  const { get, state, clock } = await customers({ ttl: '10s', staleIfError: '1m' })
  const { headers } = await get('/customers/1')
  const etag = headers.get('etag') as string
  expect((await get('/customers/1', { 'if-none-match': etag })).status).toBe(304)
  expect((await get('/customers/1', {}, 'HEAD')).status).toBe(200)
  expect((await get('/customers/none')).status).toBe(404)
  expect((await get('/customers/1', {}, 'POST')).status).toBe(200)
  state.isDown = true
  await clock.advance(11_000)
  expect((await get('/customers/1')).status).toBe(200)
  const failed = await get('/customers/2')
  expect([failed.status, failed.body]).toEqual([500, 'database down'])
})

test('resolves without a load if the client leaves while an earlier response is sent to it', async () => {
  const { cache } = setupCache()
  const ends: Promise<void>[] = []
  let loads = 0
  const { port } = await serve((request, response) => {
    if (request.url === '/slow') return
    const load = () => ++loads
    ends.push(toOptimizedResult(request, response, { cache, key: 'k' }, load))
  })
  const client = connect(port, '127.0.0.1')
  client.write(['/slow', '/'].map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''))
  await expect.poll(() => ends.length).toBe(1)
  client.destroy()
  await ends[0]
  expect(loads).toBe(0)
})
