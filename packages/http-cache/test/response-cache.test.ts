import { gzipSync } from 'node:zlib'
import { Cache as StoreCache } from '@stowage/core'
import {
  cached,
  type HttpCacheErrorEvent,
  httpCacheChannels,
  responseCache,
} from '@stowage/http-cache'
import { memory } from '@stowage/memory'
import express, { type ErrorRequestHandler } from 'express'
import express4 from 'express-4'
import { describe, expect, onTestFinished, test } from 'vitest'
import { gate, type Listener, serve, setupCache } from './fixture.ts'
import { counting } from './forms.ts'

const versions = [
  ['Express 5', express],
  ['Express 4', express4 as unknown as typeof express],
] as const

describe.each(versions)('%s', (_, create) => {
  test('stores the response of a handler, and sends it to later requests', async () => {
    const { app, next } = counting(create)
    app.get('/p', (_request, response) => void response.status(200).json({ call: next() }))
    const { get } = await serve(app)
    const first = await get('/p')
    const second = await get('/p')
    expect([first.cache, second.cache]).toEqual(['fwd=uri-miss; stored', 'hit; ttl=60'])
    expect(second.body).toBe('{"call":1}')
    expect(second.headers.get('age')).toBe('0')
    for (const name of ['content-type', 'etag', 'date', 'content-length']) {
      expect(second.headers.get(name), name).toBe(first.headers.get(name))
    }
  })

  test.each([
    ['200 OK', undefined],
    ['200 OK', 'of middleware'],
    ['200 Fine', undefined],
    ['200 Fine', 'of middleware'],
    ['301 Moved Permanently', 'of middleware'],
  ])('sends the status line %s again, where the message before was %s', async (line, before) => {
    const status = Number(line.slice(0, 3))
    const message = line.slice('200 '.length)
    const app = create()
    app.use((_request, response, next) => {
      // A middleware in front, which the handler overrides.
      if (before !== undefined) Object.assign(response, { statusCode: 203, statusMessage: before })
      next()
    })
    app.use(responseCache({ cache: setupCache().cache, ttl: '1m' }))
    app.get('/p', (_request, response) => {
      response.statusMessage = message
      response.status(status).send('body')
    })
    const { raw } = await serve(app)
    const request = 'GET /p HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
    const replies = [await raw(request), await raw(request)].map((bytes) => bytes.toString())
    expect(replies.map((reply) => reply.slice(0, reply.indexOf('\r\n')))).toEqual([
      `HTTP/1.1 ${line}`,
      `HTTP/1.1 ${line}`,
    ])
    expect(replies[1]).toContain('Stowage; hit')
  })

  test('renders a response once for concurrent requests', async () => {
    const { app, next } = counting(create)
    const { open, opened } = gate()
    app.get('/p', async (_request, response) => {
      next()
      await opened
      response.send('slow')
    })
    const { get } = await serve(app)
    const replies = [get('/p'), get('/p'), get('/p')]
    setTimeout(open, 50)
    expect((await Promise.all(replies)).map(({ body }) => body)).toEqual(['slow', 'slow', 'slow'])
    expect(next()).toBe(2)
  })

  test('answers 304, HEAD and Range from what is stored', async () => {
    const { app, next } = counting(create)
    app.get('/p', (_request, response) => void response.type('text').send(`0123456789 ${next()}`))
    const { get } = await serve(app)
    const { headers } = await get('/p')
    const etag = headers.get('etag') as string
    const notModified = await get('/p', { 'if-none-match': `"x", ${etag}` })
    expect([notModified.status, notModified.body, notModified.cache]).toEqual([
      304,
      '',
      'hit; ttl=60',
    ])
    expect(notModified.headers.get('content-type')).toBeNull()
    const head = await get('/p', {}, 'HEAD')
    expect([head.status, head.headers.get('content-length'), head.cache]).toEqual([
      200,
      '12',
      'hit; ttl=60',
    ])
    const part = await get('/p', { range: 'bytes=2-4' })
    expect([part.status, part.body, part.headers.get('content-range')]).toEqual([
      206,
      '234',
      'bytes 2-4/12',
    ])
    expect((await get('/p', { range: 'bytes=-2' })).body).toBe(' 1')
    expect((await get('/p', { range: 'bytes=50-' })).status).toBe(416)
    expect((await get('/p', { range: 'bytes=2-4', 'if-range': '"other"' })).status).toBe(200)
    expect(next()).toBe(2)
  })

  test.each([
    [1_000, 206],
    [0, 200],
  ])('a part of a response that was changed %d ms before it was sent: %d', async (ms, status) => {
    const { app } = counting(create, { encodings: false })
    const sent = Date.UTC(2026, 0, 1)
    const lastModified = new Date(sent - ms).toUTCString()
    app.get('/p', (_request, response) => {
      response.set({ Date: new Date(sent).toUTCString(), 'Last-Modified': lastModified })
      response.send('0123456789')
    })
    const { get } = await serve(app)
    await get('/p')
    expect((await get('/p', { range: 'bytes=2-4', 'if-range': lastModified })).status).toBe(status)
  })

  test('asks the handler for the complete response, and answers the condition itself', async () => {
    const { app, next } = counting(create)
    app.get('/p', (_request, response) => void response.set('ETag', '"1"').send(`body ${next()}`))
    const { get } = await serve(app)
    expect((await get('/p', { 'if-none-match': '"1"' })).status).toBe(304)
    expect((await get('/p')).body).toBe('body 1')
  })

  test('validates a stale response with the handler', async () => {
    const { app, clock, next, state } = counting(create, { ttl: '10s' })
    app.get('/p', (_request, response) => {
      next()
      if (response.cache?.notModified({ etag: '"1"' })) return
      response.send('expensive')
    })
    const { get } = await serve(app)
    await get('/p')
    await clock.advance(11_000)
    const reply = await get('/p')
    expect([reply.status, reply.body]).toEqual([200, 'expensive'])
    expect(reply.cache).toBe('fwd=stale; fwd-status=304; stored')
    expect((await get('/p')).cache).toBe('hit; ttl=10')
    expect(state.calls).toBe(2)
  })

  test('a handler may answer If-None-Match: * without an entity tag', async () => {
    const { app } = counting(create)
    app.get('/p', (_request, response) => {
      if (response.cache?.notModified({ lastModified: new Date(0) })) return
      response.end('expensive')
    })
    const { get } = await serve(app)
    // The request bypasses the cache.
    for (const [tag, status] of [
      ['*', 304],
      ['"1"', 200],
    ] as const) {
      expect((await get('/p', { cookie: 'a=1', 'if-none-match': tag })).status).toBe(status)
    }
  })

  test('sends the stale response while one request refreshes it', async () => {
    const { app, clock, next, state } = counting(create, { ttl: '10s', staleWhileRevalidate: '1m' })
    let held = Promise.resolve()
    app.get('/p', async (_request, response) => {
      const call = next()
      await held
      response.send(`call ${call}`)
    })
    const { get } = await serve(app)
    await get('/p')
    await clock.advance(11_000)
    const { open, opened } = gate()
    held = opened
    const leader = get('/p')
    await expect.poll(() => state.calls).toBe(2)
    expect((await get('/p')).cache).toBe('hit; ttl=-1')
    open()
    expect((await leader).body).toBe('call 2')
    expect((await get('/p')).body).toBe('call 2')
  })

  test('sends the stale response if the handler fails', async () => {
    const { app, clock, next } = counting(create, { ttl: '10s', staleIfError: '1m' })
    app.get('/p', (_request, response) => {
      if (next() > 1) throw new Error('down')
      response.send('good')
    })
    app.use(((_error, _request, response, _next) => {
      response.status(500).set('X-Error', 'yes').send('bad')
    }) as express.ErrorRequestHandler)
    const { get } = await serve(app)
    await get('/p')
    await clock.advance(11_000)
    const reply = await get('/p')
    expect([reply.status, reply.body, reply.headers.get('x-error')]).toEqual([200, 'good', null])
    expect(reply.cache).toBe('fwd=stale; fwd-status=500')
    await clock.advance(60_000)
    expect((await get('/p')).status).toBe(500)
  })

  test('invalidates by tag, by URL and by unsafe requests, and stores no response that began before', async () => {
    const { app, cache, next } = counting(create, { tags: ['products'] })
    app.get('/p', (_request, response) => {
      response.cache?.tags('lamp')
      response.send(`${next()}`)
    })
    app.post('/p', (_request, response) => void response.redirect(303, '/p?page=2'))
    const { get, url } = await serve(app)
    const read = async (path: string) => (await get(path)).body
    expect([await read('/p'), await read('/p')]).toEqual(['1', '1'])
    await cache.invalidateTags('products')
    expect(await read('/p')).toBe('2')
    await cache.invalidateTags('lamp')
    expect(await read('/p')).toBe('3')
    await read('/p?page=2')
    await fetch(`${url}/p`, { method: 'POST', redirect: 'manual' })
    expect([await read('/p'), await read('/p?page=2')]).toEqual(['5', '6'])
  })

  test('keeps responses apart by Vary, and drops all variants at once', async () => {
    const { app, cache, next } = counting(create, { tags: ['t'] })
    app.get('/p', (request, response) => {
      response.vary('Accept-Language')
      response.send(`${request.headers['accept-language']} ${next()}`)
    })
    const { get } = await serve(app)
    const read = async (language: string) => (await get('/p', { 'accept-language': language })).body
    expect([await read('de'), await read('en'), await read('de'), await read('en')]).toEqual([
      'de 1',
      'en 2',
      'de 1',
      'en 2',
    ])
    await cache.invalidateTags('t')
    expect([await read('de'), await read('en')]).toEqual(['de 3', 'en 4'])
  })
})

describe('encodings', () => {
  const text = 'lorem ipsum '.repeat(500)

  test('makes each encoding once, with an entity tag of its own', async () => {
    const { app, next } = counting(express)
    app.get('/p', (_request, response) => void response.type('text').send(`${next()} ${text}`))
    const { get } = await serve(app)
    const plain = await get('/p')
    const zipped = await get('/p', { 'accept-encoding': 'gzip' })
    const again = await get('/p', { 'accept-encoding': 'gzip;q=1, br;q=0' })
    expect(zipped.bytes).toEqual(gzipSync(`1 ${text}`))
    expect(again.bytes).toEqual(zipped.bytes)
    expect(zipped.headers.get('content-encoding')).toBe('gzip')
    expect(zipped.headers.get('etag')).not.toBe(plain.headers.get('etag'))
    for (const reply of [plain, zipped]) expect(reply.headers.get('vary')).toBe('Accept-Encoding')
    const etag = zipped.headers.get('etag') as string
    expect((await get('/p', { 'accept-encoding': 'gzip', 'if-none-match': etag })).status).toBe(304)
    expect((await get('/p', { 'if-none-match': etag })).status).toBe(200)
    expect(next()).toBe(2)
  })

  test('leaves no-transform alone', async () => {
    const { app } = counting(express)
    app.get('/p', (_request, response) => {
      response.set('Cache-Control', 'no-transform').type('text').send(text)
    })
    const { get } = await serve(app)
    await get('/p')
    expect((await get('/p', { 'accept-encoding': 'gzip' })).body).toBe(text)
  })
})

test.each(['Content-Digest', 'Repr-Digest', 'Content-MD5'])(
  'sends %s only with the body that it belongs to',
  async (name) => {
    const setup = setupCache()
    const app = express()
    app.use(responseCache({ cache: setup.cache }))
    app.get('/p', (_request, response) => {
      response.set(name, 'of the plain body').type('text').send('0123456789'.repeat(1_000))
    })
    const { get } = await serve(app)
    for (let call = 0; call < 2; call++) {
      const { headers } = await get('/p', { 'accept-encoding': 'gzip' })
      expect([headers.get('content-encoding'), headers.get(name)]).toEqual([
        null,
        'of the plain body',
      ])
    }
    const part = await get('/p', { range: 'bytes=0-4' })
    const expected = name === 'Repr-Digest' ? 'of the plain body' : null
    expect([part.status, part.headers.get(name)]).toEqual([206, expected])
  },
)

test('rejects tags that cannot be stored', async () => {
  const { cache } = setupCache()
  expect(() => responseCache({ cache, tags: 'products' as never })).toThrow('must be an array')
  const app = express()
  app.get('/named', responseCache({ cache }), (_request, response) => {
    response.cache?.tags(['a', 'b'] as never)
    response.send('x')
  })
  app.get('/options', responseCache({ cache, tags: () => [7 as never] }), (_request, response) => {
    response.send('x')
  })
  app.use(((error, _request, response, _next) => {
    response.status(500).send(error.message)
  }) as ErrorRequestHandler)
  const { get } = await serve(app)
  expect((await get('/named')).body).toContain('use tags(...names)')
  const errors: unknown[] = []
  const listener = (event: unknown) => errors.push((event as HttpCacheErrorEvent).error)
  httpCacheChannels.error.subscribe(listener)
  onTestFinished(() => void httpCacheChannels.error.unsubscribe(listener))
  const reply = await get('/options')
  expect([reply.body, reply.cache]).toEqual(['x', 'fwd=uri-miss'])
  expect(errors).toEqual([expect.objectContaining({ message: expect.stringContaining('not 7') })])
})

test('a variant belongs to the headers that were received, also if the handler changes them', async () => {
  const { cache } = setupCache()
  const app = express()
  app.use(responseCache({ cache }))
  app.get('/p', (request, response) => {
    const language = request.headers['accept-language']
    request.headers['accept-language'] = 'en'
    response.vary('Accept-Language').send(`for ${language}`)
  })
  const { get } = await serve(app)
  for (const language of ['xx', 'en', 'xx']) {
    expect((await get('/p', { 'accept-language': language })).body).toBe(`for ${language}`)
  }
  expect((await get('/p', { 'accept-language': 'xx' })).cache).toContain('hit')
})

test('replaces a record that is damaged, or of another version', async () => {
  const { app, cache, next } = counting(express)
  app.get('/p', (_request, response) => void response.send(`${next()}`))
  const { get, port } = await serve(app)
  await get('/p')
  await cache.set(`http:http://127.0.0.1:${port}/p`, Buffer.from('not a record'))
  expect((await get('/p')).cache).toBe('fwd=uri-miss; stored')
  expect((await get('/p')).body).toBe('2')
})

describe('mode ttl', () => {
  test('a response can forbid or shorten its storage', async () => {
    const { app, next, clock } = counting(express)
    app.get('/:header', (request, response) => {
      response.set('Cache-Control', request.params.header).send(`${next()}`)
    })
    const { get } = await serve(app)
    for (const header of ['no-store', 'private', 'no-cache', 'max-age=0']) {
      await get(`/${header}`)
      expect((await get(`/${header}`)).cache, header).not.toContain('hit')
    }
    await get('/max-age=5')
    expect((await get('/max-age=5')).cache).toBe('hit; ttl=5')
    await get('/max-age=500')
    expect((await get('/max-age=500')).cache).toBe('hit; ttl=60')
    await clock.advance(5_000)
    expect((await get('/max-age=5')).cache).not.toContain('hit')
  })

  test.each([
    ['a ttl without end', { ttl: Infinity }, undefined],
    ['one that the handler asks for', {}, Infinity],
    [
      'a stale window without end',
      { ttl: '1s', staleWhileRevalidate: Infinity } as const,
      undefined,
    ],
  ])('%s is a very long one', async (_, options, requested) => {
    const { cache, clock } = setupCache()
    const handler: Listener = (_request, response) => {
      if (requested !== undefined) response.cache?.ttl(requested)
      response.end('x')
    }
    const { get } = await serve(cached({ cache, ...options }, handler))
    await get('/p')
    await clock.advance(3_600_000)
    expect((await get('/p')).cache).toMatch(/^hit; ttl=-?\d+$/)
  })

  test('stores no errors, and neither what a handler excludes', async () => {
    const { app } = counting(express)
    app.get('/excluded', (_request, response) => {
      response.cache?.noStore()
      response.send('x')
    })
    app.get('/status/:status', (request, response) => {
      response.status(Number(request.params.status)).send('x')
    })
    const { get } = await serve(app)
    expect((await get('/excluded')).cache).toBe('fwd=uri-miss; detail=excluded')
    for (const status of [404, 500, 302]) {
      expect((await get(`/status/${status}`)).cache).toBe('fwd=uri-miss; detail=status')
    }
  })

  test('tells clients to validate, unless the handler says otherwise', async () => {
    const { app } = counting(express)
    app.get('/p', (_request, response) => void response.send('x'))
    app.get(
      '/q',
      (_request, response) => void response.set('Cache-Control', 'max-age=20').send('x'),
    )
    const { get } = await serve(app)
    expect((await get('/p')).headers.get('cache-control')).toBe('no-cache')
    expect((await get('/q')).headers.get('cache-control')).toBe('max-age=20')
  })
})

test('keeps what middleware in front sets for each request', async () => {
  const setup = setupCache()
  const app = express()
  let id = 0
  app.use((_request, response, next) => {
    response.set('X-Request-Id', `${++id}`)
    next()
  })
  app.use(responseCache({ cache: setup.cache }))
  app.get('/p', (_request, response) => void response.send('x'))
  const { get } = await serve(app)
  expect((await get('/p')).headers.get('x-request-id')).toBe('1')
  expect((await get('/p')).headers.get('x-request-id')).toBe('2')
})

test('rejects invalid options', () => {
  const { cache } = setupCache()
  expect(() => responseCache({ cache, tll: '1m' } as never)).toThrow('Did you mean ttl?')
  expect(() => responseCache({ cache, mode: 'x' as never })).toThrow('mode must be one of')
  expect(() => responseCache({} as never)).toThrow('cache must be a Cache')
})

test.each<[object, string]>([
  [{ when: true }, 'when must be a function of the request'],
  [{ key: 'product:1' }, 'key must be a function of the request'],
  [{ hosts: 'shop.example' }, 'hosts must be an array of names'],
  [{ targeted: 'cdn-cache-control' }, 'targeted must be an array of names'],
  [{ query: { ignored: ['utm_*'] } }, 'query: unknown option ignored. Did you mean ignore?'],
  [{ query: { ignore: 'utm_*' } }, 'query.ignore must be an array of names'],
  [{ query: { only: [1] } }, 'query.only must be an array of names'],
  [{ query: null }, 'query: the options must be an object'],
  [{ encodeFrom: '1KB' }, 'encodeFrom must be a whole number'],
])('%j is refused when the middleware is created', (options, message) => {
  const { cache } = setupCache()
  expect(() => responseCache({ cache, ...options })).toThrow(message)
})

test.each([
  ['nothing', undefined],
  ['a cache', new StoreCache(memory())],
  ['a store', { cache: memory() }],
])('a responseCache that receives %s instead of { cache } says so', (_, options) => {
  expect(() => responseCache(options as never)).toThrow(/the option cache must be a Cache/)
})
