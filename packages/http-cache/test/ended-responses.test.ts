import { once } from 'node:events'
import { connect } from 'node:net'
import { type HttpCacheErrorEvent, httpCacheChannels, responseCache } from '@stowage/http-cache'
import express, { type RequestHandler } from 'express'
import express4 from 'express-4'
import { describe, expect, test } from 'vitest'
import { gate, serve, setupCache } from './fixture.ts'

const versions = [
  ['Express 5', express],
  ['Express 4', express4 as unknown as typeof express],
] as const

/** Handlers that go on after they have answered `{"a":1}`. */
const handlers: Record<string, RequestHandler> = {
  'ends it again': (_request, response) => void response.json({ a: 1 }).end(),
  'calls next': (_request, response, next) => {
    response.json({ a: 1 })
    next()
  },
  'answers again unless headersSent': (_request, response) => {
    response.json({ a: 1 })
    if (!response.headersSent) response.status(500).send('second')
  },
  'answers again unless writableEnded': (_request, response) => {
    response.json({ a: 1 })
    if (!response.writableEnded) response.end('second')
  },
  'writes, and changes the status': (_request, response) => {
    response.json({ a: 1 })
    response.statusCode = 500
    response.statusMessage = 'Changed'
    response.write('second')
    response.flushHeaders()
    response.writeHead(500)
  },
  'sets a header': (_request, response) => {
    response.json({ a: 1 })
    expect(() => response.setHeader('Content-Length', 1)).toThrow('after they are sent')
  },
}

describe.each(versions)('%s', (_, create) => {
  test.each(Object.keys(handlers))('sends the response of a handler that then %s', async (name) => {
    const app = create()
    app.use(responseCache({ cache: setupCache({ intercept: () => {} }).cache, ttl: '1m' }))
    app.all('/p', handlers[name] as RequestHandler)
    app.use((_request, response) => {
      if (!response.headersSent) response.status(404).end()
    })
    const { get } = await serve(app)
    for (const method of ['POST', 'GET', 'GET', 'DELETE']) {
      const { status, body, headers } = await get('/p', {}, method)
      expect([method, status, body]).toEqual([method, 200, '{"a":1}'])
      expect(headers.get('content-length')).toBe('7')
    }
  })
})

test.each([
  ['GET', ''],
  ['POST', ''],
  ['POST', 'part '],
])('a response of %s has ended before it is sent, after "%s"', async (method, part) => {
  const stored = gate()
  const { cache } = setupCache({
    intercept: (name) => (name === 'get' ? undefined : stored.opened),
  })
  const app = express()
  app.use(responseCache({ cache, ttl: '1m', encodings: false }))
  const checks: boolean[] = []
  const callbacks: string[] = []
  app.all('/p', (_request, response) => {
    if (part !== '') response.write(part)
    response.end('rest', () => callbacks.push('once'))
    response.end(() => callbacks.push('again'))
    checks.push(response.headersSent, response.writableEnded)
    stored.open()
  })
  const { get } = await serve(app)
  expect((await get('/p', {}, method)).body).toBe(`${part}rest`)
  expect(checks).toEqual([true, true])
  expect(callbacks.sort()).toEqual(['again', 'once'])
})

test('a replaced error has sent its headers once it is written', async () => {
  const { cache, clock } = setupCache()
  const app = express()
  app.use(responseCache({ cache, ttl: '1m', staleIfError: '1h' }))
  const checks: boolean[] = []
  let fails = false
  app.get('/p', (_request, response) => {
    if (!fails) return void response.send('page')
    response.status(500).write('failed')
    checks.push(response.headersSent, response.writableEnded)
    response.end()
    checks.push(response.headersSent, response.writableEnded)
  })
  const { get } = await serve(app)
  await get('/p')
  fails = true
  clock.advance(61_000)
  expect((await get('/p')).body).toBe('page')
  expect(checks).toEqual([true, false, true, true])
})

const failures: Record<string, (app: express.Express, fail: () => never) => object> = {
  'whose key cannot be determined': (_app, fail) => ({ key: fail }),
  'whose proxy cannot be determined': (app, fail) => {
    app.set('trust proxy', fail)
    return {}
  },
}

test.each(Object.keys(failures))('ends the response of an unsafe request %s', async (name) => {
  const { cache } = setupCache()
  const app = express()
  const failure = new Error('unknown')
  const options = failures[name]?.(app, () => {
    throw failure
  })
  app.use(responseCache({ cache, ttl: '1m', ...options }))
  app.post('/p', (_request, response) => void response.send('done'))
  const errors: unknown[] = []
  const onError = ({ error }: HttpCacheErrorEvent) => void errors.push(error)
  httpCacheChannels.error.subscribe(onError as never)
  const { get } = await serve(app)
  expect((await get('/p', {}, 'POST')).body).toBe('done')
  httpCacheChannels.error.unsubscribe(onError as never)
  expect(errors).toEqual([failure])
})

test('an unsafe request from a trusted proxy invalidates its URL, although its client has left', async () => {
  const { cache } = setupCache()
  const app = express()
  app.set('trust proxy', 'loopback')
  app.use(responseCache({ cache, ttl: '1h' }))
  let version = 1
  const left = gate()
  app.get('/p', (_request, response) => void response.send(`${version}`))
  app.post('/p', (_request, response) => {
    response.on('close', left.open).write('part')
    version++
  })
  const { get, port } = await serve(app)
  const headers = { host: 'h', 'x-forwarded-host': 'shop.example', 'x-forwarded-proto': 'https' }
  expect((await get('/p', headers)).body).toBe('1')
  const socket = connect(port, '127.0.0.1')
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`POST /p HTTP/1.1\r\n${lines.join('')}content-length: 0\r\n\r\n`)
  await once(socket, 'data')
  socket.destroy()
  await left.opened
  expect((await get('/p', headers)).body).toBe('2')
})
