import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Cache } from '@stowage/core'
import { cached, responseCache } from '@stowage/http-cache'
import { memory } from '@stowage/memory'
// @ts-expect-error It has no declarations.
import compression from 'compression'
import express, { type ErrorRequestHandler, type RequestHandler } from 'express'
import express4 from 'express-4'
import { describe, expect, test } from 'vitest'
import { gate, serve, setupCache } from './fixture.ts'

const asHandler = (handler: unknown) => handler as RequestHandler

describe('cached', () => {
  test('refreshes a stale response in the background, once', async () => {
    const { cache, clock } = setupCache()
    const app = express()
    let calls = 0
    const options = { cache, ttl: '10s', staleWhileRevalidate: '1m' } as const
    app.get(
      '/p',
      asHandler(cached(options, (_request, response) => response.end(`call ${++calls}`))),
    )
    const { get } = await serve(app)
    expect((await get('/p')).body).toBe('call 1')
    await clock.advance(11_000)
    const [first] = await Promise.all([get('/p'), get('/p'), get('/p')])
    expect([first.body, first.cache]).toEqual(['call 1', 'hit; ttl=-1'])
    await expect.poll(async () => (await get('/p')).body).toBe('call 2')
    expect(calls).toBe(2)
  })

  test('keeps the stale response if the refresh in the background fails', async () => {
    const { cache, clock } = setupCache()
    let calls = 0
    const options = { cache, ttl: '10s', staleWhileRevalidate: '1m' } as const
    const handler = cached(options, (_request, response) => {
      if (++calls === 2) throw new Error('down')
      response.end(`call ${calls}`)
    })
    const { get } = await serve((request, response) => handler(request, response))
    await get('/p')
    await clock.advance(11_000)
    expect((await get('/p')).body).toBe('call 1')
    await expect.poll(() => calls).toBe(2)
    expect((await get('/p')).body).toBe('call 1')
    expect(calls).toBe(2)
    await clock.advance(2_000)
    await expect.poll(async () => (await get('/p')).body).toBe('call 3')
  })

  test('completes the response although the first client has gone', async () => {
    const { cache } = setupCache()
    const { open, opened } = gate()
    let calls = 0
    const handler = cached({ cache }, async (_request, response) => {
      calls++
      response.write('first ')
      await opened
      response.end('last')
    })
    const { get, port } = await serve((request, response) => handler(request, response))
    const socket = connect(port, '127.0.0.1')
    socket.write('GET /p HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n')
    await expect.poll(() => calls).toBe(1)
    const waiting = get('/p', { host: '127.0.0.1:1' })
    socket.destroy()
    await new Promise((resolve) => setTimeout(resolve, 20))
    open()
    expect((await waiting).body).toBe('first last')
    expect(calls).toBe(1)
  })

  test('passes errors and unhandled requests on', async () => {
    const { cache } = setupCache()
    const app = express()
    app.get('/throws', asHandler(cached({ cache }, () => Promise.reject(new Error('boom')))))
    app.get('/next', asHandler(cached({ cache }, (_request, _response, next) => next())))
    app.get('/next', (_request, response) => void response.send('next route'))
    app.use(((error, _request, response, _next) => {
      response.status(500).send(`caught ${error.message}`)
    }) as ErrorRequestHandler)
    const { get } = await serve(app)
    expect((await get('/throws')).body).toBe('caught boom')
    expect((await get('/throws')).body).toBe('caught boom')
    expect((await get('/next')).body).toBe('next route')
    expect((await get('/next')).body).toBe('next route')
  })

  test('sends the stale response if the handler throws', async () => {
    const { cache, clock } = setupCache()
    let calls = 0
    const handler = cached({ cache, ttl: '1s', staleIfError: '1m' }, (_request, response) => {
      if (++calls > 1) throw new Error('down')
      response.end('good')
    })
    const { get } = await serve((request, response) => handler(request, response))
    await get('/p')
    await clock.advance(2_000)
    expect((await get('/p')).body).toBe('good')
    expect((await get('/p')).body).toBe('good')
    expect(calls).toBe(2)
  })

  test('renders with Express: parameters, views of objects, sendFile and redirects', async () => {
    const { cache } = setupCache()
    const app = express()
    const route = (path: string, handler: RequestHandler) =>
      app.get(path, asHandler(cached({ cache }, handler as never)))
    route('/params/:id', (request, response) => void response.json(request.params))
    route('/file', (_request, response) => response.sendFile(import.meta.filename))
    route('/moved', (_request, response) => response.redirect(301, '/params/1'))
    const { get } = await serve(app)
    for (let round = 0; round < 2; round++) {
      expect((await get('/params/7')).body).toBe('{"id":"7"}')
      expect((await get('/file')).body).toContain('renders with Express')
      expect((await get('/moved')).headers.get('location')).toBe('/params/1')
    }
    expect((await get('/moved')).cache).toContain('hit')
  })

  test('a large body is sent complete, and not stored', async () => {
    const { cache } = setupCache()
    const handler = cached({ cache, maxBodyBytes: 1_000 }, (_request, response) => {
      response.end('x'.repeat(5_000))
    })
    const { get } = await serve((request, response) => handler(request, response))
    const reply = await get('/p')
    expect([reply.body.length, reply.cache]).toEqual([5_000, 'fwd=uri-miss; detail=too-large'])
  })
})

test.each([
  ['Express 4', express4],
  ['Express 5', express],
])('an application is a handler: %s', async (_version, create) => {
  const { cache } = setupCache()
  const app = (create as typeof express)()
  const router = (create as typeof express).Router()
  router.get('/:id', ({ params, baseUrl, originalUrl, query }, response) => {
    response.json([params.id, baseUrl, originalUrl, query.a])
  })
  app.use('/shop', router)
  const handler = cached({ cache }, app as never)
  const expected = JSON.stringify(['7', '/shop', '/shop/7?a=b', 'b'])
  for (const listener of [handler, (create as typeof express)().use(handler as never)]) {
    await cache.clear()
    const { get } = await serve(listener as never)
    const reply = await get('/shop/7?a=b')
    expect(reply).toMatchObject({ status: 200, body: expected, cache: 'fwd=uri-miss; stored' })
    expect(await get('/shop/7?a=b')).toMatchObject({ body: expected, cache: 'hit; ttl=60' })
    expect((await get('/missing')).status).toBe(404)
  }
})

test('validates a response whose tag was invalidated softly', async () => {
  const { cache } = setupCache()
  const app = express()
  let rendered = 0
  app.get('/p', asHandler(responseCache({ cache, tags: ['t'] })), (_request, response) => {
    if (response.cache?.notModified({ etag: '"1"' })) return
    response.send(`rendered ${++rendered}`)
  })
  const { get } = await serve(app)
  await get('/p')
  await cache.invalidateTags('t', { stale: true })
  const reply = await get('/p')
  expect([reply.body, reply.cache]).toEqual(['rendered 1', 'fwd=uri-miss; fwd-status=304; stored'])
  expect((await get('/p')).cache).toContain('hit')
})

describe('compression()', () => {
  const text = 'lorem ipsum '.repeat(500)
  const orders: Record<string, (cache: RequestHandler) => RequestHandler[]> = {
    'in front': (cache) => [compression(), cache],
    behind: (cache) => [cache, compression()],
  }

  test.each(Object.keys(orders))('%s: bodies and encodings match', async (order) => {
    for (const encodings of [undefined, false] as const) {
      const { cache } = setupCache()
      const app = express()
      app.use(...(orders[order]?.(asHandler(responseCache({ cache, encodings }))) ?? []))
      app.get('/p', (_request, response) => void response.type('text').send(text))
      app.get('/stream', (_request, response) => {
        response.type('text').write(text)
        response.end(text)
      })
      const { url } = await serve(app)
      const tags = new Set<string>()
      for (const accepted of ['gzip', 'identity', 'br', 'gzip', 'identity']) {
        for (const [path, expected] of [
          ['/p', text],
          ['/stream', text + text],
        ] as const) {
          // fetch decodes the body by its Content-Encoding.
          const response = await fetch(url + path, { headers: { 'accept-encoding': accepted } })
          const coding = response.headers.get('content-encoding') ?? 'identity'
          expect(await response.text(), `${path} ${accepted}`).toBe(expected)
          expect(['identity', accepted]).toContain(coding)
          if (path === '/p' && encodings === undefined)
            tags.add(`${coding} ${response.headers.get('etag')}`)
        }
      }
      const entityTags = [...tags].map((each) => each.split(' ').slice(1).join(' '))
      expect(new Set(entityTags).size).toBe(tags.size)
    }
  })
})

test('a part of a body is not encoded by compression() in front', async () => {
  const { cache } = setupCache()
  const app = express()
  app.use(compression())
  app.use(asHandler(responseCache({ cache })))
  const text = '0123456789'.repeat(1_000)
  app.get('/p', (_request, response) => void response.type('text').send(text))
  const { get } = await serve(app)
  await get('/p')
  const reply = await get('/p', { range: 'bytes=0-4999', 'accept-encoding': 'gzip' })
  expect([reply.status, reply.body]).toEqual([206, text.slice(0, 5_000)])
  expect(reply.headers.get('content-encoding')).toBe(null)
  expect(reply.headers.get('cache-control')).toBe('no-cache, no-transform')
})

describe('what cannot be shared', () => {
  test('requests do not wait for each other once a response was private', async () => {
    const { cache, clock } = setupCache()
    const app = express()
    const waiting: (() => void)[] = []
    let isOpen = true
    app.get('/p', asHandler(responseCache({ cache })), async (_request, response) => {
      if (!isOpen) await new Promise<void>((resolve) => waiting.push(resolve))
      response.set('Cache-Control', 'private').send('x')
    })
    const { get } = await serve(app)
    await get('/p')
    isOpen = false
    const replies = [get('/p'), get('/p'), get('/p'), get('/p')]
    await expect.poll(() => waiting.length).toBe(4)
    isOpen = true
    for (const resolve of waiting) resolve()
    await Promise.all(replies)
    await clock.advance(11_000)
    expect((await get('/p')).cache).toBe('fwd=uri-miss; detail=private')
  })

  test('caps the variants of a response', async () => {
    const { cache } = setupCache()
    const app = express()
    app.get('/p', asHandler(responseCache({ cache, maxVariants: 2 })), (request, response) => {
      response.vary('X-Name').send(String(request.headers['x-name']))
    })
    const { get } = await serve(app)
    for (const name of ['a', 'b', 'c', 'a', 'b', 'c']) {
      expect((await get('/p', { 'x-name': name })).body).toBe(name)
    }
    expect((await get('/p', { 'x-name': 'a' })).cache).toContain('hit')
    const headers = { 'x-name': 'd' }
    expect((await get('/p', headers)).cache).toBe('fwd=vary-miss; detail=too-many-variants')
    expect((await get('/p', headers)).cache).toBe('fwd=vary-miss')
  })

  test('a variant that has ended makes room for another one', async () => {
    const { cache, clock } = setupCache()
    const app = express()
    const options = { cache, ttl: '1m', maxVariants: 2 } as const
    app.get('/p', asHandler(responseCache(options)), (request, response) => {
      response.vary('X-Name').send(String(request.headers['x-name']))
    })
    const { get } = await serve(app)
    for (const name of ['a', 'b']) await get('/p', { 'x-name': name })
    // With a validator, they are kept for another minute.
    await clock.advance(121_000)
    // Not a third one at the same time.
    for (const name of ['c', 'd']) {
      expect((await get('/p', { 'x-name': name })).cache).toBe('fwd=vary-miss; stored')
    }
    expect((await get('/p', { 'x-name': 'a' })).cache).toContain('detail=too-many-variants')
    expect((await get('/p', { 'x-name': 'd' })).cache).toBe('hit; ttl=60')
  })

  test('memory does not grow with the length of what variants depend on', async () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const heapUsed = () => {
      // What a collection in progress has marked already is kept by the first one.
      collectGarbage()
      collectGarbage()
      return process.memoryUsage().heapUsed
    }
    const app = express()
    // As if the responses were stored elsewhere.
    const cache = new Cache(memory({ maxEntries: 10 }))
    app.use(asHandler(responseCache({ cache })))
    app.get('/:name', (_request, response) => void response.vary('X-Name').send('x'))
    const { get } = await serve(app)
    const name = (index: number) => `${index}`.padEnd(15_000, 'x')
    const visit = async (url: string) => {
      await get(url, { 'x-name': name(0) })
      const indexes = Array.from({ length: 80 }, (_, index) => index + 1)
      await Promise.all(indexes.map((index) => get(url, { 'x-name': name(index) })))
    }
    await visit('/first')
    const before = heapUsed()
    for (let index = 0; index < 6; index++) await visit(`/${index}`)
    // The names alone have 7.3 million characters.
    expect(heapUsed() - before).toBeLessThan(4_000_000)
  })

  test('a damaged item is a miss', async () => {
    const { cache } = setupCache()
    const app = express()
    app.get(
      '/p',
      asHandler(responseCache({ cache })),
      (_request, response) => void response.send('x'),
    )
    const { get, port } = await serve(app)
    for (const item of [Buffer.from('H'), 'text', { a: 1 }, Buffer.alloc(100, 0x48)]) {
      await cache.set(`http:http://127.0.0.1:${port}/p`, item)
      expect((await get('/p')).body).toBe('x')
    }
  })
})

test('No-Vary-Search determines which parameters belong to the key, once a process knows it', async () => {
  const { cache, open } = setupCache()
  const create = (shared: typeof cache) => {
    const app = express()
    let calls = 0
    app.use(asHandler(responseCache({ cache: shared, noVarySearch: true })))
    app.get('/p', (request, response) => {
      const header = 'key-order, params=("utm" "fbclid")'
      response.set('No-Vary-Search', header).send(`${request.query.id} ${++calls}`)
    })
    app.get('/invalid', (request, response) => {
      response.set('No-Vary-Search', 'params=(').send(String(request.query.a))
    })
    app.get('/only', (request, response) => {
      response.set('No-Vary-Search', 'params, except=("id")').send(String(request.query.id))
    })
    app.post('/p', (_request, response) => void response.end())
    return serve(app)
  }
  const [one, two] = [await create(cache), await create(open())]
  const host = { host: 'shop.example' }
  const read = async (server: typeof one, path: string) => (await server.get(path, host)).body
  expect((await one.get('/p?id=1&utm=a', host)).cache).toBe('fwd=uri-miss; detail=no-vary-search')
  expect(await read(one, '/p?id=1&utm=b')).toBe('1 2')
  expect(await read(one, '/p?utm=c&id=1&fbclid=x')).toBe('1 2')
  expect(await read(one, '/p?id=2&utm=c')).toBe('2 3')
  // Another process does not know the rule, but invalidates what depends on it.
  await two.get('/p?id=1&utm=zzz', host, 'POST')
  expect(await read(one, '/p?id=1')).toBe('1 4')
  for (const value of ['1', '2', '1']) expect(await read(one, `/invalid?a=${value}`)).toBe(value)
  for (const value of ['1', '2', '1']) expect(await read(one, `/only?id=${value}&b=1`)).toBe(value)
  expect((await one.get('/only?id=1&other=2', host)).cache).toContain('hit')
})

test('No-Vary-Search does not determine the key of responses without it', async () => {
  const { cache } = setupCache()
  const app = express()
  app.use(asHandler(responseCache({ cache, noVarySearch: true })))
  app.get('/s', (request, response) => {
    const { q } = request.query
    if (q === 'none') response.set('No-Vary-Search', 'params=("utm" "q")')
    response.send(`results for ${q}`)
  })
  const { get } = await serve(app)
  expect((await get('/s?q=none')).cache).toBe('fwd=uri-miss; detail=no-vary-search')
  expect((await get('/s?q=cats')).cache).toBe('fwd=uri-miss; detail=no-vary-search')
  for (const q of ['cats', 'dogs']) expect((await get(`/s?q=${q}`)).body).toBe(`results for ${q}`)
  expect((await get('/s?q=cats')).cache).toContain('hit')
})

test('a key of the route is not affected by No-Vary-Search', async () => {
  const { cache } = setupCache()
  const app = express()
  app.use(asHandler(responseCache({ cache, noVarySearch: true, key: () => 'all' })))
  app.get('/s', (_request, response) => {
    response.set('No-Vary-Search', 'params').send('x')
  })
  const { get } = await serve(app)
  expect((await get('/s')).cache).toBe('fwd=uri-miss; stored')
  expect((await get('/s')).cache).toContain('hit')
})

test('an empty key bypasses the cache, and other keys are cached', async () => {
  const { cache } = setupCache()
  const app = express()
  app.use(asHandler(responseCache({ cache, key: ({ headers }) => headers['x-page'] as string })))
  app.get('/s', (_request, response) => {
    response.send('x')
  })
  const { get } = await serve(app)
  expect((await get('/s', { 'x-page': '' })).cache).toBe('fwd=bypass')
  expect((await get('/s', { 'x-page': 'a' })).cache).toBe('fwd=uri-miss; stored')
  expect((await get('/s', { 'x-page': 'a' })).cache).toContain('hit')
})

describe('mode rfc9111', () => {
  test('uses Cache-Control of requests, Cache-Groups and targeted fields', async () => {
    const { cache } = setupCache()
    const app = express()
    let calls = 0
    app.use(asHandler(responseCache({ cache, mode: 'rfc9111' })))
    app.get('/p', (_request, response) => {
      response.set({ 'Cache-Control': 'max-age=60', 'Cache-Groups': '"a", "b"' }).send(`${++calls}`)
    })
    app.get('/targeted', (_request, response) => {
      response
        .set({ 'Cache-Control': 'no-store', 'CDN-Cache-Control': 'max-age=60' })
        .send(`${++calls}`)
    })
    app.post(
      '/change',
      (_request, response) => void response.set('Cache-Group-Invalidation', '"b"').end(),
    )
    const { get } = await serve(app)
    expect([(await get('/p')).body, (await get('/p')).body]).toEqual(['1', '1'])
    expect((await get('/p', { 'cache-control': 'no-cache' })).body).toBe('2')
    expect((await get('/p')).body).toBe('2')
    await get('/change', {}, 'POST')
    expect((await get('/p')).body).toBe('3')
    expect((await get('/q', { 'cache-control': 'only-if-cached' })).status).toBe(504)
    expect([(await get('/targeted')).body, (await get('/targeted')).body]).toEqual(['4', '4'])
  })
})

test.each([
  ['the response', (response: express.Response) => response.destroy()],
  ['its connection', (response: express.Response) => response.socket?.destroy()],
])('a handler that destroys %s fails', async (_, destroy) => {
  const { cache } = setupCache()
  const app = express()
  let calls = 0
  app.get(
    '/p',
    cached({ cache, waitTimeout: '1m' }, (_request, response: express.Response) => {
      if (++calls > 1) return response.end('complete')
      response.write('a part')
      return destroy(response)
    }) as express.RequestHandler,
  )
  app.use(((_error, _request, response, _next) => {
    response.status(502).end()
  }) as express.ErrorRequestHandler)
  const { get } = await serve(app)
  expect((await get('/p')).status).toBe(502)
  await expect.poll(async () => (await get('/p')).body).toBe('complete')
})

test('an unsafe request, and invalidate, remove what is stored for a URL', async () => {
  const { cache } = setupCache()
  let state = 0
  const handler = cached({ cache }, (request, response) => {
    if (request.method === 'POST') state++
    response.end(`state ${state}`)
  })
  const { get, url } = await serve(handler)
  const read = async () => (await get('/p')).body
  expect(await read()).toBe('state 0')
  await get('/p', { 'content-length': '0' }, 'POST')
  expect(await read()).toBe('state 1')
  state++
  expect(await read()).toBe('state 1')
  await handler.invalidate(`${url}/p`)
  expect(await read()).toBe('state 2')
})

describe('while a response is changed', () => {
  const changes = {
    'its URL': (
      handler: ReturnType<typeof cached>,
      url: string,
      _cache: Cache,
      work: () => Promise<void>,
    ) => handler.invalidateDuring({ urls: [`${url}/p`] }, work),
    'a tag of the handler': (
      _handler: ReturnType<typeof cached>,
      _url: string,
      cache: Cache,
      work: () => Promise<void>,
    ) => cache.changing({ tags: ['t'] }, work),
  }

  test.each(Object.entries(changes))('by %s, it is sent and not stored', async (_, change) => {
    const { cache, open } = setupCache()
    let state = 'old'
    const handlerOf = (each: Cache) =>
      cached({ cache: each }, (_request, response) => {
        response.cache?.tags('t')
        response.end(state)
      })
    const handler = handlerOf(cache)
    const [one, two] = [await serve(handler), await serve(handlerOf(open()))]
    const host = { host: new URL(one.url).host }
    const read = async (server: typeof one) => (await server.get('/p', host)).body
    expect(await read(one)).toBe('old')
    expect((await two.get('/p', host)).cache).toContain('hit')
    await change(handler, one.url, cache, async () => {
      expect([await read(one), await read(two)]).toEqual(['old', 'old'])
      state = 'new' // The commit.
      expect([await read(one), await read(two)]).toEqual(['new', 'new'])
    })
    expect([await read(two), await read(one)]).toEqual(['new', 'new'])
    await expect.poll(async () => (await one.get('/p', host)).cache).toContain('hit')
  })
})
