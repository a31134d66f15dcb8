import type { IncomingMessage } from 'node:http'
import { Cache, type Codec, json } from '@stowage/core'
import {
  cached,
  type HttpCacheErrorEvent,
  httpCacheChannels,
  responseCache,
  toOptimizedResult,
} from '@stowage/http-cache'
import { memory } from '@stowage/memory'
import express, { type ErrorRequestHandler, type RequestHandler, type Response } from 'express'
import express4 from 'express-4'
import { describe, expect, onTestFinished, test } from 'vitest'
import { gate, serve, setupCache } from './fixture.ts'
import { forms } from './forms.ts'

const invalid = '10 minits' as '10m'

const sendError: ErrorRequestHandler = (error, _request, response, _next) => {
  response.status(500).send(error.message)
}

/** A server for one route, whose errors are sent. */
async function serveRoute(...handlers: RequestHandler[]) {
  const app = express()
  app.get('/p', ...handlers)
  app.use(sendError)
  return serve(app)
}

/** The errors that the cache reports. */
function collectErrors(): unknown[] {
  const errors: unknown[] = []
  const onError = (event: unknown) => void errors.push((event as HttpCacheErrorEvent).error)
  httpCacheChannels.error.subscribe(onError)
  onTestFinished(() => void httpCacheChannels.error.unsubscribe(onError))
  return errors
}

describe.each(Object.entries(forms))('%s', (_, form) => {
  test.each<[string, (request: IncomingMessage, response: Response) => unknown]>([
    ['the headers of the request', ({ headers }) => Object.freeze(headers)],
    ['res.locals', (_request, { locals }) => Object.freeze(locals)],
  ])('answers if middleware in front has frozen %s', async (_name, freeze) => {
    const { cache } = setupCache()
    const inFront: RequestHandler = (request, response, next) => {
      freeze(request, response)
      next()
    }
    const handler: RequestHandler = (_request, response) => void response.end('x')
    const { get } = await serveRoute(inFront, ...form({ cache }, handler))
    for (let time = 0; time < 2; time++) {
      expect(await get('/p')).toMatchObject({ status: 200, body: 'x' })
    }
  })

  /** Fails if a header says so, which it reads only if its response would be anew. */
  function failing(options = {}) {
    const setup = setupCache()
    let version = 0
    const handler: RequestHandler = async ({ headers, query }, response) => {
      if (version >= Number(query.from) && headers['x-custom'] === 'fail') throw new Error('failed')
      response.send(`version ${++version}`)
    }
    const route = form({ cache: setup.cache, ttl: '1m', ...options }, handler)
    return { ...setup, route }
  }

  test('a header that makes the handler fail does not keep the next response out of the cache', async () => {
    const { route, clock } = failing({ varyBy: undefined, ignoreReads: [] })
    const vary: RequestHandler = (_request, response, next) => {
      response.vary('X-Custom')
      next()
    }
    const { get } = await serveRoute(vary, ...route)
    expect((await get('/p?from=0', { 'x-custom': 'fail' })).body).toBe('failed')
    await clock.advance(2)
    expect((await get('/p?from=0')).cache).toContain('stored')
  })

  test.each(['too large', 'a stream of events'])(
    'a header that makes the response %s does not keep the next one out of the cache',
    async (what) => {
      const { cache, clock } = setupCache()
      const handler: RequestHandler = ({ headers }, response) => {
        response.vary('X-Custom')
        if (headers['x-custom'] === 'a stream of events') response.type('text/event-stream')
        if (headers['x-custom'] !== undefined) response.write('x'.repeat(1_000))
        response.end('x')
      }
      const { get } = await serveRoute(...form({ cache, maxBodyBytes: 100 }, handler))
      expect((await get('/p', { 'x-custom': what })).body).toHaveLength(1_001)
      await clock.advance(2)
      expect((await get('/p')).cache).toContain('stored')
    },
  )

  test('a header that makes the handler fail does not make others receive stale responses', async () => {
    const { route, clock } = failing({ staleIfError: '1d' })
    const { get } = await serveRoute(...route)
    expect((await get('/p?from=1')).body).toBe('version 1')
    await clock.advance(61_000)
    expect((await get('/p?from=1', { 'x-custom': 'fail' })).body).toBe('version 1')
    await clock.advance(2)
    expect((await get('/p?from=1')).body).toBe('version 2')
  })

  /** A route whose response has expired, and whose handler fails once all of these requests have arrived. */
  async function failTogether(headers: readonly object[], options = {}) {
    const { cache, clock, calls: operations } = setupCache()
    const arrived = gate()
    let [requests, calls] = [0, 0]
    const inFront: RequestHandler = (_request, _response, next) => {
      // The first request has filled the cache.
      if (++requests > headers.length) setImmediate(arrived.open)
      next()
    }
    const handler: RequestHandler = async ({ url }, response) => {
      if (url === '/p?vary') response.vary('X-Custom')
      if (++calls === 1) return void response.send('stale')
      await arrived.opened
      response.status(500).send('failed')
    }
    const used = { cache, ttl: '1m', staleIfError: '1h', waitTimeout: '1h', ...options } as const
    const { get } = await serveRoute(inFront, ...form(used, handler))
    return async (path: string) => {
      await get(path)
      await clock.advance(61_000)
      operations.length = 0
      const replies = await Promise.all(headers.map((each) => get(path, { ...each })))
      return { replies, failures: calls - 1, operations: operations.length }
    }
  }

  test.each(['/p', '/p?vary'])(
    'requests that wait for a handler that fails receive the stale response with the first: %s',
    async (path) => {
      const request = await failTogether(Array(10).fill({}))
      const { replies, failures } = await request(path)
      expect(replies.map(({ status, body }) => [status, body])).toEqual(
        Array(10).fill([200, 'stale']),
      )
      expect(failures).toBe(1)
      const statuses = replies.map(({ cache }) => cache).sort()
      expect(statuses[0]).toBe('fwd=stale; fwd-status=500')
      expect(new Set(statuses.slice(1))).toEqual(new Set(['hit; ttl=-1']))
    },
  )

  test('requests that wait for a handler that fails do not claim its response one after another', async () => {
    const requests = 100
    const request = await failTogether(Array(requests).fill({}))
    const { failures, operations } = await request('/p')
    expect(failures).toBe(1)
    // Each reads the response before and after the wait, perhaps in two parts.
    expect(operations).toBeLessThan(8 * requests)
  })

  const own = { 'cache-control': 'no-cache' }
  const signedIn = { authorization: 'Bearer x' }
  test.each([
    ['no-cache', [own, own], { requestDirectives: true }],
    ['authorization', [{}, signedIn, signedIn], { mode: 'rfc9111', public: true }],
  ])(
    'a handler that has just failed is called for a request with %s',
    async (_, headers, options) => {
      const request = await failTogether(headers, options)
      expect((await request('/p')).failures).toBe(headers.length)
    },
  )

  test('a request with Authorization receives the error, and no stale response that is not for it', async () => {
    const request = await failTogether([{}, signedIn], { mode: 'rfc9111', public: true })
    const { replies } = await request('/p')
    expect(replies.map(({ body }) => body)).toEqual(['stale', 'failed'])
  })

  /** A route whose response has expired. The first request after that begins to refresh it, until the test goes on. */
  async function refreshing(options: object, refreshed: RequestHandler) {
    const { cache, clock } = setupCache()
    const [begun, ended] = [gate(), gate()]
    let calls = 0
    const handler: RequestHandler = async (request, response, next) => {
      if (++calls === 1) return void response.send('stale')
      if (calls > 2) return void refreshed(request, response, next)
      begun.open()
      await ended.opened
      response.set('Cache-Control', 'private').send('first')
    }
    const route = form({ cache, ttl: '1m', waitTimeout: '1h', ...options }, handler)
    const { get } = await serveRoute(...route)
    await get('/p')
    await clock.advance(61_000)
    const first = get('/p')
    await begun.opened
    const bodyOfFirst = async () => {
      ended.open()
      return (await first).body
    }
    return { get, bodyOfFirst }
  }

  test('a request that has waited for a refresh as long as it may runs its handler', async () => {
    const options = { waitTimeout: 1 }
    const own: RequestHandler = (_request, response) => void response.send('own')
    const { get, bodyOfFirst } = await refreshing(options, own)
    expect((await get('/p')).body).toBe('own')
    expect(await bodyOfFirst()).toBe('first')
  })

  test('requests that wait for a refresh whose response is private run their handlers at once', async () => {
    const waiting = 3
    const all = gate()
    let running = 0
    const together: RequestHandler = async (_request, response) => {
      if (++running === waiting) all.open()
      await all.opened
      response.set('Cache-Control', 'private').send('own')
    }
    const { get, bodyOfFirst } = await refreshing({}, together)
    const others = Array.from({ length: waiting }, () => get('/p'))
    expect(await bodyOfFirst()).toBe('first')
    expect((await Promise.all(others)).map(({ body }) => body)).toEqual(Array(waiting).fill('own'))
  })

  test('throws for an invalid ttl where the handler requests it', async () => {
    const { cache } = setupCache()
    const handler: RequestHandler = (request, response) => {
      response.cache?.ttl(request.query.ttl as '1m')
      response.send('page')
    }
    const { get } = await serveRoute(...form({ cache, waitTimeout: '1h' }, handler))
    const { status, body } = await get('/p?ttl=soon')
    expect([status, body]).toEqual([500, expect.stringContaining("Not a duration: 'soon'")])
    expect((await get('/p?ttl=5m')).cache).toBe('fwd=uri-miss; stored')
  })

  test('sends the response of the handler, and reports the error, if it cannot be stored', async () => {
    const { cache, clock } = setupCache()
    const errors = collectErrors()
    const failure = new Error('no time')
    let fails = false
    const now = clock.now.bind(clock)
    clock.now = () => {
      if (fails) throw failure
      return now()
    }
    const handler: RequestHandler = (_request, response) => {
      response.send('page')
      fails = true
      setImmediate(() => {
        fails = false
      })
    }
    const { get } = await serveRoute(...form({ cache, waitTimeout: '1h' }, handler))
    const { status, body, cache: cacheStatus } = await get('/p')
    expect([status, body, cacheStatus]).toEqual([200, 'page', 'fwd=uri-miss; detail=store-failure'])
    expect(errors).toContain(failure)
  })

  test('does not leave a response unanswered that Node cannot send', async () => {
    const { cache } = setupCache()
    let isInvalid = true
    const handler: RequestHandler = (_request, response) => {
      if (isInvalid) response.statusMessage = 'two\nlines'
      response.end('page')
    }
    const { get, port } = await serveRoute(...form({ cache, waitTimeout: '1h' }, handler))
    const first = await fetch(`http://127.0.0.1:${port}/p`).catch(() => undefined)
    expect(first?.status ?? 500).toBe(500)
    isInvalid = false
    expect((await get('/p')).body).toBe('page')
  })
})

test('what is wrong with one request does not keep others from the cache', async () => {
  const { encode, decode } = json()
  const codec: Codec = {
    encode,
    decode: (payload, key) => {
      if (key.endsWith('/broken')) throw new TypeError('broken')
      return decode(payload, key)
    },
  }
  const cache = new Cache(memory(), { codec })
  const errors = collectErrors()
  const app = express()
  app.use(responseCache({ cache, ttl: '1m' }))
  app.get('/*path', (_request, response) => void response.send('page'))
  const { get } = await serve(app)
  for (const path of ['/broken', '/p']) await get(path)
  expect((await get('/broken')).cache).toContain('store-failure')
  expect((await get('/p')).cache).toMatch(/^hit/)
  expect(errors).toContainEqual(new TypeError('broken'))
})

test('a number that middleware in front has put into a header is a value of it', async () => {
  const { cache } = setupCache()
  const front: RequestHandler = ({ headers }, _response, next) => {
    Object.assign(headers, { 'x-level': Number(headers['x-level']) })
    next()
  }
  const handler: RequestHandler = ({ headers }, response) =>
    void response.vary('X-Level').send(`level ${headers['x-level']}`)
  const app = express().use(front)
  app.get('/vary', responseCache({ cache }), handler)
  app.get('/by', responseCache({ cache, varyBy: ['x-level'] }), handler)
  const { get } = await serve(app)
  for (const path of ['/vary', '/by']) {
    for (const level of ['1', '2', '1']) {
      expect((await get(path, { 'x-level': level })).body).toBe(`level ${level}`)
    }
    expect((await get(path, { 'x-level': '1' })).cache).toMatch(/^hit/)
  }
})

test('toOptimizedResult rejects for an invalid ttl', async () => {
  const { cache } = setupCache()
  const { get } = await serveRoute((request, response, next) => {
    const options = { cache, key: 'k', ttl: invalid }
    toOptimizedResult(request, response, options, () => ({ a: 1 })).catch(next)
  })
  const { status, body } = await get('/p')
  expect([status, body]).toEqual([500, expect.stringContaining("Not a duration: '10 minits'")])
})

describe.each([
  ['Express 5', express],
  ['Express 4', express4 as unknown as typeof express],
] as const)('errors that %s passes to request.next', (_, create) => {
  const failing: Record<string, (response: Response) => void> = {
    render: (response) => response.render('fixture'),
    sendFile: (response) => response.sendFile('/missing/file'),
  }

  test.each(Object.keys(failing))('%s fails the rendering', async (name) => {
    const { cache, clock } = setupCache()
    const app = create()
    app.set('views', import.meta.dirname).set('view engine', 'ts')
    app.engine('ts', (_path, _options, done) => {
      setImmediate(done, new Error('no template'))
    })
    let isBroken = true
    let pages = 0
    const handled: string[] = []
    const options = { cache, ttl: '10s', staleWhileRevalidate: '1d', waitTimeout: '1h' } as const
    const handler = cached(options, (_request, response) => {
      if (isBroken) failing[name]?.(response as Response)
      else response.end(`page ${++pages}`)
    })
    app.get('/p', handler as unknown as RequestHandler)
    app.use(((error, _request, response, _next) => {
      handled.push(error.message)
      response.status(500).send('failed')
    }) as ErrorRequestHandler)
    const { get } = await serve(app)
    const replies = await Promise.all([get('/p'), get('/p')])
    expect(replies.map(({ status }) => status)).toEqual([500, 500])
    await clock.advance(2_000)
    isBroken = false
    expect((await get('/p')).cache).toBe('fwd=uri-miss; stored')
    // A refresh in the background has no client whose request could fail.
    isBroken = true
    await clock.advance(11_000)
    handled.length = 0
    expect((await get('/p')).cache).toBe('hit; ttl=-1')
    isBroken = false
    const readLater = async () => {
      await clock.advance(2_000)
      return (await get('/p')).body
    }
    await expect.poll(readLater).toBe('page 2')
    expect(handled).toEqual([])
  })
})

test('does not watch the connection after a rendering that has failed', async () => {
  const handler = cached({ cache: setupCache().cache }, (request, response, next) => {
    if (request.url === '/next') next(new Error('failed'))
    else if (request.url === '/destroy') response.destroy()
    else throw new Error('failed')
  })
  const watched: unknown[] = []
  const { get } = await serve((request, response) => {
    const certificate = () => ({})
    Object.assign(request.socket, { getPeerCertificate: certificate })
    const check = (): unknown =>
      Object.getOwnPropertyDescriptor(request.socket, 'getPeerCertificate')?.get
    handler(request, response, () => {
      watched.push(check())
      response.end()
    })
  })
  for (const path of ['/throw', '/next', '/destroy']) await get(path)
  expect(watched).toEqual([undefined, undefined, undefined])
})

test.each(['HEAD', 'GET'])('throws what the handler of a server throws for %s', async (method) => {
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  const thrown = new Promise((resolve) => process.once('uncaughtException', resolve))
  onTestFinished(() => {
    process.removeAllListeners('uncaughtException')
    for (const listener of listeners) process.on('uncaughtException', listener)
  })
  const middleware = responseCache({ cache: setupCache().cache })
  const { get } = await serve((request, response) => {
    middleware(request, response, () => {
      setImmediate(() => response.destroy())
      throw new Error('handler failed')
    })
  })
  get('/p', {}, method).catch(() => {})
  expect(await thrown).toEqual(new Error('handler failed'))
})
