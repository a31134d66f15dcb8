import type { ServerResponse } from 'node:http'
import { PassThrough, pipeline, Readable } from 'node:stream'
import { runInNewContext } from 'node:vm'
import express, { type ErrorRequestHandler } from 'express'
import session from 'express-session'
import { describe, expect, test } from 'vitest'
import { gate, serve, setupCache } from './fixture.ts'
import { counting, forms } from './forms.ts'

describe('streams', () => {
  test('passes a body on in parts, and stores it', async () => {
    const { app, next } = counting(express)
    app.get('/p', (_request, response) => {
      next()
      response.write('one ')
      setTimeout(() => response.end(Buffer.from('two')), 10)
    })
    const { get } = await serve(app)
    expect([(await get('/p')).body, (await get('/p')).body]).toEqual(['one two', 'one two'])
    expect(next()).toBe(2)
  })

  test('stores bytes of another realm, which Node sends', async () => {
    const { app } = counting(express)
    const bytes = () => runInNewContext('Uint8Array.of(98, 121, 116, 101, 115)')
    app.get('/p', (_request, response) => {
      response.write(bytes())
      response.end(bytes())
    })
    const { get } = await serve(app)
    await get('/p')
    const { body, cache } = await get('/p')
    expect([body, cache]).toEqual(['bytesbytes', 'hit; ttl=60'])
  })

  test('preconditions stay hidden from a handler while it writes, and not from middleware in front', async () => {
    const seen: unknown[] = []
    const setup = setupCache()
    const { app } = counting(express, {}, setup, (each) =>
      each.use((request, response, next) => {
        const { writeHead } = response
        response.writeHead = ((...args: unknown[]) => {
          seen.push(request.headers['if-none-match'])
          return Reflect.apply(writeHead, response, args)
        }) as typeof writeHead
        response.once('finish', () => seen.push(request.headers['if-none-match']))
        next()
      }),
    )
    app.get('/p', ({ headers }, response) => {
      response.writeHead(200).write('a')
      response.end(`${headers['if-none-match']} ${headers['accept-encoding']} ${headers.range}`)
    })
    const { get } = await serve(app)
    await get('/p', { 'if-none-match': '"alice"', 'accept-encoding': 'gzip' })
    expect(seen).toEqual(['"alice"', '"alice"'])
    const { body, cache } = await get('/p')
    expect([body, cache]).toEqual(['aundefined identity undefined', 'hit; ttl=60'])
  })

  test('does not store a body that is too large, and sends all of it', async () => {
    const { app, next } = counting(express, { maxBodyBytes: 10_000 })
    app.get('/p', (_request, response) => {
      next()
      response.write('x'.repeat(6_000))
      response.end('y'.repeat(6_000))
    })
    app.get('/q', (_request, response) => void response.send('z'.repeat(12_000)))
    const { get } = await serve(app)
    expect([(await get('/p')).body.length, (await get('/p')).body.length]).toEqual([12_000, 12_000])
    expect(next()).toBe(3)
    expect((await get('/q')).cache).toBe('fwd=uri-miss; detail=too-large')
  })

  test('stores a large body apart, and reads none for a 304', async () => {
    const { app, calls, next } = counting(express)
    app.get(
      '/p',
      (_request, response) => void response.set('ETag', '"1"').send('x'.repeat(50_000) + next()),
    )
    const { get } = await serve(app)
    expect((await get('/p')).body).toHaveLength(50_001)
    expect((await get('/p')).body).toHaveLength(50_001)
    calls.length = 0
    expect((await get('/p', { 'if-none-match': '"1"' })).status).toBe(304)
    expect(calls).toEqual(['get'])
    expect((await get('/p')).body).toHaveLength(50_001)
  })

  test.each([
    ['a stream of events', { 'Content-Type': 'text/event-stream' }, 'event-stream', 10],
    ['a private stream', { 'Cache-Control': 'private' }, 'private', 10],
    ['a stream that becomes too large', {}, undefined, 20_000],
  ])('other requests do not wait for the end of %s', async (_, headers, detail, bytes) => {
    const { app, state, next } = counting(express, { maxBodyBytes: 10_000, waitTimeout: '1m' })
    app.get('/p', (_request, response) => {
      const call = next()
      response.set(headers).write('x'.repeat(bytes))
      if (call > 1) response.end()
    })
    const { get, url } = await serve(app)
    const controller = new AbortController()
    const endless = await fetch(`${url}/p`, { signal: controller.signal })
    const status = endless.headers.get('cache-status')
    expect(status).toBe(`Stowage; fwd=uri-miss${detail === undefined ? '' : `; detail=${detail}`}`)
    expect((await get('/p')).body).toHaveLength(bytes)
    expect(state.calls).toBe(2)
    controller.abort()
  })

  test('does not store a body that is shorter than its Content-Length', async () => {
    const { app, next } = counting(express)
    app.get('/p', (_request, response) => {
      next()
      response.writeHead(200, { 'Content-Length': 10 })
      response.end('short', () => response.destroy())
    })
    const { get } = await serve(app)
    await get('/p')
    await get('/p')
    expect(next()).toBe(3)
  })
})

test('has no effect on a response without end: a client that leaves early', async () => {
  const { app, next } = counting(express)
  app.get('/p', (_request, response) => {
    if (next() === 1)
      response.write('x') // never ends
    else response.send('complete')
  })
  const { get, url } = await serve(app)
  const controller = new AbortController()
  const left = fetch(`${url}/p`, { signal: controller.signal })
  await left
  const waiting = get('/p')
  controller.abort()
  expect((await waiting).body).toBe('complete')
})

test.each(Object.entries(forms))(
  '%s: a stream that waits for drain is complete',
  async (_, form) => {
    const { cache } = setupCache()
    const app = express()
    const chunks = ['a', 'b', 'c'].map((text) => text.repeat(40_000))
    app.get(
      '/p',
      ...form({ cache }, (_request, response) => void Readable.from(chunks).pipe(response)),
    )
    const { get } = await serve(app)
    for (let call = 0; call < 2; call++) {
      expect((await get('/p')).body === chunks.join('')).toBe(true)
    }
  },
)
/** Handlers that answer the first request only while its client waits. */
const stopping: Record<string, (response: ServerResponse) => void> = {
  'ends by pipe': (response) => void new PassThrough().pipe(response),
  'ends by pipeline': (response) => void pipeline(new PassThrough(), response, () => {}),
  'stops itself': () => {},
}

test.each(Object.keys(stopping))(
  'a client that leaves before a handler that %s has written anything delays no others',
  async (name) => {
    const { app, state, next } = counting(express, { waitTimeout: '1h' })
    const called = gate()
    app.get('/p', (_request, response) => {
      if (next() > 1) return void response.send('complete')
      stopping[name]?.(response)
      called.open()
    })
    const { get, url } = await serve(app)
    const controller = new AbortController()
    const left = fetch(`${url}/p`, { signal: controller.signal }).catch(() => 'left')
    await called.opened
    const waiting = [get('/p'), get('/p')]
    controller.abort()
    await left
    expect((await Promise.all(waiting)).map(({ body }) => body)).toEqual(['complete', 'complete'])
    expect(state.calls).toBe(2)
  },
)

test('does not share a response that was written after its client had left', async () => {
  const { app, next } = counting(express)
  const called = gate()
  app.get('/p', (_request, response) => {
    if (next() > 1) return void response.send('complete')
    response.on('close', () => void response.send('partial'))
    called.open()
  })
  const { get, url } = await serve(app)
  const controller = new AbortController()
  const left = fetch(`${url}/p`, { signal: controller.signal }).catch(() => 'left')
  await called.opened
  const waiting = get('/p')
  controller.abort()
  await left
  expect((await waiting).body).toBe('complete')
  expect((await get('/p')).body).toBe('complete')
  expect(next()).toBe(3)
})

test.each(['write', 'end'] as const)(
  'does not store a body that Node refuses: %s',
  async (method) => {
    const { app, next } = counting(express)
    app.get('/p', (_request, response) => {
      if (next() > 1) return void response.send('complete')
      response[method]({})
    })
    app.use(((error, _request, response, _next) => {
      response.status(500).end(error.code)
    }) as ErrorRequestHandler)
    const { get } = await serve(app)
    const { status, body } = await get('/p')
    expect([status, body]).toEqual([500, 'ERR_INVALID_ARG_TYPE'])
    expect((await get('/p')).body).toBe('complete')
  },
)

test('a response that Node cannot send delays no other requests', async () => {
  const { app, next } = counting(express, { waitTimeout: '1h' })
  app.get('/p', (_request, response) => {
    if (next() > 1) return void response.send('complete')
    response.statusCode = 99
    response.end('invalid')
  })
  app.use(((error, _request, response, _next) => {
    response.status(500).end(error.code)
  }) as ErrorRequestHandler)
  const { get } = await serve(app)
  const { status, body } = await get('/p')
  expect([status, body]).toEqual([500, 'ERR_HTTP_INVALID_STATUS_CODE'])
  expect((await get('/p')).body).toBe('complete')
})

test.each([
  [false, 'hit; ttl=60', 1],
  [true, 'fwd=uri-miss', 2],
])(
  'a session in front: a stream whose handler reads it (%s) is answered with %s',
  async (reads, cache, calls) => {
    const { app, next } = counting(express, {}, undefined, (front) => {
      front.use(session({ secret: 's', resave: false, saveUninitialized: false }))
    })
    app.get('/p', (request, response) => {
      response.write(`call ${next()}`)
      response.end(reads ? String(request.session.id.length) : '')
    })
    const { get } = await serve(app)
    await get('/p')
    const reply = await get('/p')
    expect([reply.cache.replace(/; detail.*/, ''), next() - 1]).toEqual([cache, calls])
  },
)
