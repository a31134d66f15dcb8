import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ResponseCacheOptions, responseCache } from '@stowage/http-cache'
import express, { type ErrorRequestHandler, type RequestHandler, type Response } from 'express'
import { describe, expect, test } from 'vitest'
import { serve, setupCache } from './fixture.ts'
import { forms } from './forms.ts'

/** Middleware that sets a header at the last moment, as on-headers does for cookie-session. */
const atLast =
  (name: string, value: string): RequestHandler =>
  (_request, response, next) => {
    const { writeHead } = response
    response.writeHead = function (this: Response, ...args: unknown[]) {
      this.setHeader(name, value)
      return Reflect.apply(writeHead, this, args)
    } as typeof writeHead
    next()
  }

const ways: Record<string, (response: Response, text: string) => unknown> = {
  end: (response, text) => response.end(text),
  send: (response, text) => response.send(text),
  write: (response, text) => {
    response.write(text)
    response.end()
  },
  flushHeaders: (response, text) => {
    response.flushHeaders()
    response.end(text)
  },
  writeHead: (response, text) => response.writeHead(200, { 'X-A': '1' }).end(text),
}

describe.each(Object.entries(ways))(
  'headers that middleware behind the cache sets with %s',
  (_, way) => {
    test.each([
      ['Set-Cookie', 'sid=1', 'set-cookie'],
      ['Cache-Control', 'private', 'private'],
      ['Vary', '*', 'vary-star'],
    ])('%s prevents that the response is stored', async (name, value, detail) => {
      const { cache } = setupCache()
      const app = express()
      let calls = 0
      app.use(responseCache({ cache }), atLast(name, value))
      app.get('/p', (_request, response) => void way(response, `token ${++calls}`))
      const { get } = await serve(app)
      const first = await get('/p')
      expect(first.cache).toBe(`fwd=uri-miss; detail=${detail}`)
      expect(first.headers.get(name)).toBe(value)
      expect((await get('/p')).body).toBe('token 2')
    })
  },
)

describe.each(Object.entries(forms))('%s', (_, form) => {
  test('varyBy is part of the key that a route determines', async () => {
    const { cache, calls } = setupCache()
    const app = express()
    const options: ResponseCacheOptions = {
      cache,
      key: () => 'account',
      varyBy: ({ headers }) => headers.authorization,
    }
    app.all(
      '/p',
      ...form(options, (request, response) => {
        response.send(`hello ${request.headers.authorization}`)
      }),
    )
    const { get } = await serve(app)
    const visit = (name: string) => get('/p', { authorization: name })
    for (const name of ['alice', 'bob', 'alice']) {
      expect((await visit(name)).body).toBe(`hello ${name}`)
    }
    expect((await visit('bob')).cache).toContain('hit')
    expect((await get('/p')).cache).toBe('fwd=bypass')
    expect(calls.length).toBeGreaterThan(0)
  })

  test.each([
    ['only=id', { only: ['id'] }],
    ['only, with another name', { only: ['id', 'x'] }],
  ])('parameters that a parser reads as one of %s are part of the key', async (_case, query) => {
    const { cache } = setupCache()
    const app = express()
    app.set('query parser', 'extended')
    const handler: RequestHandler = (request, response) => void response.json(request.query.id)
    app.get('/p', ...form({ cache, query }, handler))
    const { get } = await serve(app)
    for (const evil of ['id[]=evil', 'id[x]=evil', '[id]=evil', '%5Bid%5D=evil', 'i%64[0]=evil']) {
      expect((await get(`/p?${evil}&id=1`)).body, evil).toContain('evil')
      expect((await get('/p?id=1')).body).toBe('"1"')
      expect((await get(`/p?id=1&${evil}`)).body, evil).not.toBe('"1"')
    }
  })

  test('what a proxy is trusted to state is part of the key as it is', async () => {
    const { cache } = setupCache()
    const app = express()
    app.set('trust proxy', true)
    app.get(
      '/p',
      ...form({ cache }, (request, response) => {
        response.send(`${request.protocol}://${request.host}`)
      }),
    )
    const { get, port } = await serve(app)
    for (const protocol of ['javascript', 'https', 'HTTP', 'http']) {
      const { body } = await get('/p', { 'x-forwarded-proto': protocol })
      expect(body).toBe(`${protocol}://127.0.0.1:${port}`)
    }
  })

  test('what the key does not contain of X-Forwarded-Proto is not shared', async () => {
    const { cache, clock } = setupCache()
    const app = express()
    app.set('trust proxy', true)
    app.get(
      '/p',
      ...form({ cache }, (request, response) => {
        response.send(`${request.get('x-forwarded-proto')}`)
      }),
    )
    const { get } = await serve(app)
    for (const value of ['https, evil', 'https', 'https ', 'http, evil', undefined, 'http']) {
      const headers: Record<string, string> =
        value === undefined ? { 'x-forwarded-host': 'a' } : { 'x-forwarded-proto': value }
      expect((await get('/p', headers)).body).toBe(`${value?.trim()}`)
      await clock.advance(2)
    }
    expect((await get('/p', { 'x-forwarded-proto': 'https' })).cache).toContain('hit')
  })

  test('a URL that was rewritten because of a header bypasses the cache', async () => {
    const { cache } = setupCache()
    const app = express()
    app.use((request, _response, next) => {
      if (request.headers['accept-language'] === 'de') request.url = `/de${request.url}`
      next()
    })
    const handler: RequestHandler = (request, response) => void response.send(request.path)
    app.get('/de/p', ...form({ cache }, handler))
    app.get('/p', ...form({ cache }, handler))
    const { get } = await serve(app)
    expect((await get('/p', { 'accept-language': 'de' })).body).toBe('/de/p')
    expect((await get('/p')).body).toBe('/p')
    expect((await get('/p', { 'accept-language': 'de' })).cache).toBe('fwd=bypass')
    expect((await get('/p')).cache).toContain('hit')
  })

  test('a mount point does not count as rewritten', async () => {
    const { cache } = setupCache()
    const app = express()
    const inner = express.Router()
    for (const path of ['/', '/p']) {
      inner.get(
        path,
        ...form({ cache }, (request, response) => {
          response.send(request.originalUrl)
        }),
      )
    }
    app.use('/a', express.Router().use('/b', inner))
    const { get } = await serve(app)
    for (const path of ['/a/b', '/a/b/', '/a/b?x=1', '/a/b/p', '/a/b/p?x=1']) {
      await get(path)
      const again = await get(path)
      expect([again.body, again.cache]).toEqual([path, 'hit; ttl=60'])
    }
  })

  test('preconditions for writes are left to the handler', async () => {
    const { cache } = setupCache()
    const app = express()
    app.get(
      '/p',
      ...form({ cache }, (request, response) => {
        if (request.headers['if-match'] === undefined) response.send('x')
        else response.status(412).end()
      }),
    )
    const { get } = await serve(app)
    await get('/p')
    const reply = await get('/p', { 'if-match': '"other"' })
    expect([reply.status, reply.cache]).toEqual([412, 'fwd=bypass'])
  })

  test.each(['auth', 'oidc', 'ip', 'currentUser', 'sessionID'])(
    'a response whose handler reads request.%s is private',
    async (name) => {
      const { cache } = setupCache()
      const app = express()
      let count = 0
      app.use((request, _response, next) => {
        if (name !== 'ip') Object.assign(request, { [name]: { sub: `user ${++count}` } })
        next()
      })
      app.get(
        '/p',
        ...form({ cache, public: true }, (request, response) => {
          response.json(Reflect.get(request, name))
        }),
      )
      const { get } = await serve(app)
      expect((await get('/p')).cache).toBe(`fwd=uri-miss; detail=read-request.${name}`)
      expect((await get('/p')).cache).not.toContain('hit')
    },
  )
})

describe.each(Object.entries(forms))('%s', (_, form) => {
  test('a response whose handler reads what middleware in front has put into res.locals is private', async () => {
    const { cache } = setupCache()
    const app = express()
    let count = 0
    app.use((_request, response, next) => {
      response.locals.token = `token ${++count}`
      next()
    })
    app.get(
      '/p',
      ...form({ cache }, (_request, response) => void response.send(response.locals.token)),
    )
    app.get('/q', ...form({ cache }, (_request, response) => void response.send('x')))
    const { get } = await serve(app)
    expect((await get('/p')).cache).toBe('fwd=uri-miss; detail=read-locals.token')
    expect((await get('/p')).body).toBe('token 2')
    await get('/q')
    expect((await get('/q')).cache).toContain('hit')
  })

  test.each<[string, object]>([
    ['varyBy must return', { varyBy: async () => 'x' }],
    ['varyBy must return', { varyBy: () => ({ name: 'x' }) }],
    ['varyBy must return', { varyBy: () => [null] }],
    ['key must return', { key: async () => 'x' }],
    ['when must return', { when: async () => false }],
  ])('%s what can be part of the key or a decision: %o', async (message, options) => {
    const { cache, calls } = setupCache()
    const app = express()
    app.get('/p', ...form({ cache, ...options }, (_request, response) => void response.send('x')))
    const errors: string[] = []
    app.use(((error, _request, response, _next) => {
      errors.push(error.message)
      response.status(500).end()
    }) as ErrorRequestHandler)
    const { get } = await serve(app)
    expect((await get('/p')).status).toBe(500)
    expect([errors.length, errors[0]]).toEqual([1, expect.stringContaining(message)])
    expect(calls).toEqual([])
  })

  test('parts of the key that are undefined differ from texts', async () => {
    const { cache } = setupCache()
    const app = express()
    const varyBy = ({ headers }: IncomingMessage) => [headers['x-a'] as string | undefined]
    const handler: RequestHandler = ({ headers }, response) => void response.json([headers['x-a']])
    app.get('/p', ...form({ cache, varyBy }, handler))
    const { get } = await serve(app)
    expect((await get('/p', { 'x-a': 'undefined' })).body).toBe('["undefined"]')
    expect((await get('/p')).body).toBe('[null]')
  })
})

test('a request that changes something invalidates its URL if its client leaves during the response', async () => {
  const { cache } = setupCache()
  const app = express()
  let state = 0
  app.use(responseCache({ cache }))
  app.get('/p', (_request, response) => void response.send(`state ${state}`))
  let left: () => void = () => {}
  const hasLeft = new Promise<void>((resolve) => {
    left = resolve
  })
  app.post('/p', (_request: IncomingMessage, response: ServerResponse) => {
    state++
    response.once('close', left)
    response.write('a stream without end')
  })
  const { get, url } = await serve(app)
  expect((await get('/p')).body).toBe('state 0')
  const controller = new AbortController()
  await fetch(`${url}/p`, { method: 'POST', signal: controller.signal })
  controller.abort()
  await hasLeft
  await expect.poll(async () => (await get('/p')).body).toBe('state 1')
})

describe('what the key does not contain', () => {
  test('the scheme and the host of an application behind the cache that trusts other proxies', async () => {
    const { cache } = setupCache()
    const [app, mounted] = [express(), express()]
    mounted.enable('trust proxy')
    mounted.get('/reset', (request, response) => {
      response.send(`${request.protocol}://${request.hostname}`)
    })
    app.use('/shop', responseCache({ cache, ttl: '1m' }), mounted)
    const { get } = await serve(app)
    for (const name of ['x-forwarded-host', 'x-forwarded-proto']) {
      expect((await get('/shop/reset', { [name]: 'evil' })).body).toContain('evil')
      expect((await get('/shop/reset')).body).not.toContain('evil')
    }
  })

  test.each(['localPort', 'localAddress', 'address'])(
    'the address that the client has connected to: %s',
    async (name) => {
      const { cache } = setupCache()
      const handle = responseCache({ cache, ttl: '1m' })
      const { get } = await serve((request, response) => {
        handle(request, response, () => {
          const read: unknown = Reflect.get(request.socket, name)
          response.end(`${typeof read}`)
        })
      })
      await get('/')
      expect((await get('/')).cache).toContain('fwd=')
    },
  )

  test.each(['constructor', 'then'])(
    'a header whose name objects have as well: %s',
    async (name) => {
      const { cache } = setupCache()
      const handle = responseCache({ cache, ttl: '1m' })
      const { get } = await serve((request, response) => {
        handle(request, response, () => response.end(String(request.headers[name])))
      })
      expect((await get('/', { [name]: 'evil' })).body).toBe('evil')
      expect((await get('/')).body).not.toBe('evil')
    },
  )

  test('a parameter behind a second question mark, which URLSearchParams removes', async () => {
    const { cache } = setupCache()
    const handle = responseCache({ cache, ttl: '1m', query: { only: ['id'] } })
    const { get } = await serve((request, response) => {
      handle(request, response, () => {
        const query = request.url?.slice(request.url.indexOf('?') + 1)
        response.end(String(new URLSearchParams(query).get('id')))
      })
    })
    expect((await get('/p??id=6')).body).toBe('6')
    expect((await get('/p?')).body).not.toBe('6')
    expect((await get('/p')).body).not.toBe('6')
  })

  test('a parameter behind a semicolon, which some parsers take as a separator', async () => {
    const { cache } = setupCache()
    const handle = responseCache({ cache, ttl: '1m', query: { only: ['id'] } })
    const { get } = await serve((request, response) => {
      handle(request, response, () => {
        const parameters = request.url?.split(/[?&;]/) ?? []
        response.end(parameters.filter((text) => text.startsWith('id=')).at(-1))
      })
    })
    expect((await get('/p?id=1&x=2;id=evil')).body).toBe('id=evil')
    expect((await get('/p?id=1&x=2')).body).toBe('id=1')
    expect((await get('/p?id=1')).cache).toContain('hit')
  })

  test('what a stream reads after its beginning is not declared public', async () => {
    const { cache } = setupCache()
    const app = express()
    const clientCacheControl = 'public, max-age=60'
    app.use((request, _response, next) => {
      Object.assign(request, { user: request.headers['x-who'] })
      next()
    })
    app.use(responseCache({ cache, ttl: '1m', public: true, clientCacheControl }))
    const parts = (readsFirst: boolean) => (request: IncomingMessage, response: ServerResponse) => {
      const read = () => String(Reflect.get(request, 'user'))
      response.write(readsFirst ? read() : 'a')
      response.end(readsFirst ? 'a' : read())
    }
    app.get('/first', parts(true))
    app.get('/late', parts(false))
    app.get('/error', (_request, response) => {
      response.status(500).write('failed')
      response.end()
    })
    app.get('/same', (_request, response) => {
      response.write('for all')
      response.end()
    })
    const { get } = await serve(app)
    for (const path of ['/first', '/late', '/error']) {
      const { headers } = await get(path, { 'x-who': 'alice' })
      expect(headers.get('cache-control') ?? 'no-cache', path).toBe('no-cache')
    }
    await get('/same')
    expect((await get('/same')).headers.get('cache-control')).toBe(clientCacheControl)
  })
})
