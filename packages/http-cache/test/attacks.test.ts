import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { type ResponseCacheOptions, responseCache } from '@stowage/http-cache'
import { isFullTier } from '@stowage/test-servers'
// @ts-expect-error It has no declarations.
import cookieParser from 'cookie-parser'
import express, { type Express, type Request, type RequestHandler, type Response } from 'express'
import session from 'express-session'
import { describe, expect, test } from 'vitest'
import { parse, serve, setupCache } from './fixture.ts'
import { delay, forms } from './forms.ts'

const users = ['alice', 'bob', 'carol'] as const

/** The name of the user whose request this is, as the tests state it in several ways. */
const nameIn = (text: unknown) => /alice|bob|carol/.exec(String(text ?? ''))?.[0] ?? 'nobody'

/** Ways in which a handler obtains the user. */
const readers: Record<string, (request: Request, response: Response) => unknown> = {
  'the header Cookie': ({ headers }) => headers.cookie,
  'the header Authorization': ({ headers }) => headers.authorization,
  'get() of Express': (request) => request.get('cookie') ?? request.get('authorization'),
  rawHeaders: ({ rawHeaders }) => rawHeaders.join(),
  headersDistinct: ({ headersDistinct }) => JSON.stringify(headersDistinct),
  'a copy of the headers': ({ headers }) => JSON.stringify({ ...headers }),
  cookies: (request) => JSON.stringify(request.cookies),
  'the certificate': (request) => JSON.stringify(Object(request.socket).getPeerCertificate?.()),
  'the session': (request) => JSON.stringify(request.session),
  'the user': (request) => (request as { user?: unknown }).user,
  'res.locals': (_request, response) => response.locals.name,
  'all of res.locals': (_request, response) => JSON.stringify({ ...response.locals }),
  'X-Forwarded-For': ({ headers }) => headers['x-forwarded-for'],
  'X-Forwarded-Host': ({ headers }) => headers['x-forwarded-host'],
  'X-Original-URL': ({ headers }) => headers['x-original-url'],
  'X-HTTP-Method-Override': ({ headers }) => headers['x-http-method-override'],
  Origin: ({ headers }) => headers.origin,
  'X-Api-Key': ({ headers }) => headers['x-api-key'],
}

/** Ways in which a request states its user. */
const senders: Record<string, (name: string) => Record<string, string>> = {
  Cookie: (name) => ({ cookie: `user=${name}` }),
  Authorization: (name) => ({ authorization: `Bearer ${name}` }),
  'other headers': (name) => ({
    'x-forwarded-for': name,
    'x-forwarded-host': `${name}.example`,
    'x-original-url': `/${name}`,
    origin: `https://${name}.example`,
    'x-http-method-override': name,
    'x-api-key': name,
  }),
  everything: (name) => ({
    cookie: `user=${name}`,
    authorization: `Bearer ${name}`,
    'x-forwarded-for': name,
    'x-api-key': name,
  }),
}

/** Ways in which a response is written, which a cache must not store. */
const writers: Record<string, (response: Response, name: string) => unknown> = {
  'Set-Cookie with res.cookie': (response, name) => response.cookie('user', name).send(name),
  'Set-Cookie with writeHead': (response, name) =>
    response.writeHead(200, { 'Set-Cookie': `user=${name}` }).end(name),
  'Set-Cookie in a list of writeHead': (response, name) =>
    response.writeHead(200, ['Set-Cookie', 'a=1', 'set-cookie', `user=${name}`] as never).end(name),
  'Set-Cookie in pairs of writeHead': (response, name) =>
    response.writeHead(200, [['Set-Cookie', `user=${name}`]] as never).end(name),
  'Set-Cookie before a stream': (response, name) => {
    response.setHeader('Set-Cookie', `user=${name}`)
    response.write(name)
    response.end()
  },
  'Cache-Control: private': (response, name) => response.set('Cache-Control', 'private').send(name),
  'cache-control: NO-STORE': (response, name) =>
    response.set('cache-control', 'max-age=9, NO-STORE').send(name),
  'private="x"': (response, name) => response.set('Cache-Control', 'private="x"').send(name),
  'Vary: *': (response, name) => response.set('Vary', 'accept, *').send(name),
  'status 206': (response, name) =>
    response.status(206).set('Content-Range', 'bytes 0-1/9').send(name),
  'a failure': (response, name) => response.status(503).send(name),
}

function createApp(): Express {
  const app = express()
  app.use((request, response, next) => {
    const name = nameIn(JSON.stringify(request.headers))
    // As if it was a TLS socket.
    Object.assign(request.socket, { getPeerCertificate: () => ({ subject: name }) })
    response.locals.name = name
    if (name !== 'nobody') Object.assign(request, { user: { name, toString: () => name } })
    next()
  })
  app.use(cookieParser())
  app.use(session({ secret: 'x', resave: false, saveUninitialized: false }))
  app.use((request, _response, next) => {
    Object.assign(request.session, { name: nameIn(JSON.stringify(request.headers)) })
    next()
  })
  return app
}

describe.each(Object.entries(forms))('%s', (_, form) => {
  const declarations: Record<string, Partial<ResponseCacheOptions>> = {
    'nothing declared': {},
    public: { public: true },
    'varyBy a language': { varyBy: ['accept-language'] },
    'public, rfc9111': { public: true, mode: 'rfc9111' },
    'public, stale': { public: true, ttl: 1, staleWhileRevalidate: '1m', staleIfError: '1m' },
  }
  const declared = Object.keys(declarations)
  // The first tier has one declaration for each pair of reader and sender.
  const cases = Object.keys(readers).flatMap((reader, row) =>
    Object.keys(senders).flatMap((sender, column) =>
      declared
        .filter((_, index) => isFullTier || index === (row + column) % declared.length)
        .map((name) => [reader, sender, name] as const),
    ),
  )

  test('no response that depends on a user reaches another one', async () => {
    const { cache } = setupCache()
    const app = createApp()
    // The application has too many routes to search them for each request.
    const routers: express.Router[] = []
    app.use((request, response, next) =>
      (routers[Number(request.path.slice(1))] as express.Router)(request, response, next),
    )
    for (const [index, [reader, , declared]] of cases.entries()) {
      const options = { cache, ttl: '1m', ...declarations[declared] } as ResponseCacheOptions
      const handler: RequestHandler = async (request, response) => {
        await delay()
        const name = nameIn(readers[reader]?.(request, response))
        response.set('Cache-Control', 'max-age=60').send(`hello ${name}`)
      }
      routers[index] = express.Router().get(`/${index}`, ...form(options, handler))
    }
    const { get } = await serve(app)
    const leaks: string[] = []
    const visit = async (index: number, name: string, when: string) => {
      const [reader, sender, declared] = cases[index] as (typeof cases)[number]
      const headers = name === 'nobody' ? {} : senders[sender]?.(name)
      const { body } = await get(`/${index}`, headers)
      const seen = nameIn(body)
      const isForeign = seen !== 'nobody' && seen !== name
      if (isForeign) leaks.push(`${name} sees ${seen}: ${reader}, ${sender}, ${declared}, ${when}`)
    }
    const attack = async (index: number) => {
      await Promise.all([...users, 'nobody'].map((name) => visit(index, name, 'at once')))
      for (const name of ['nobody', ...users, 'nobody']) await visit(index, name, 'in turn')
    }
    for (let start = 0; start < cases.length; start += 20) {
      const batch = cases.slice(start, start + 20)
      await Promise.all(batch.map((_case, offset) => attack(start + offset)))
    }
    expect(leaks).toEqual([])
  })

  test('no response that must not be stored reaches another one', async () => {
    const { cache } = setupCache()
    const app = express()
    const names = Object.keys(writers)
    for (const [index, name] of names.entries()) {
      const handler: RequestHandler = async (request, response) => {
        await delay()
        writers[name]?.(response, nameIn(request.headers['x-test']))
      }
      app.get(`/${index}`, ...form({ cache, ttl: '1m', public: true }, handler))
    }
    const { get } = await serve(app)
    const leaks: string[] = []
    for (const [index, writer] of names.entries()) {
      const visit = async (name: string) => {
        const { body, headers } = await get(`/${index}`, { 'x-test': name })
        const seen = nameIn(body + headers.get('set-cookie'))
        if (seen !== name) leaks.push(`${name} sees ${seen}: ${writer}`)
      }
      await Promise.all(users.map(visit))
      for (const name of users) await visit(name)
    }
    expect(leaks).toEqual([])
  })

  test('varyBy keeps users apart, and shares the response of each', async () => {
    const { cache } = setupCache()
    const app = createApp()
    let calls = 0
    const varyBy = (request: IncomingMessage) => request.headers.authorization
    const handler: RequestHandler = (request, response) => {
      calls++
      response.send(
        `hello ${nameIn(request.headers.authorization)} ${String(Object(request).user)}`,
      )
    }
    app.get('/p', ...form({ cache, varyBy }, handler))
    app.get(
      '/cookie',
      ...form({ cache, varyBy: ['cookie:theme'] }, (request, response) => {
        response.send(`theme ${request.cookies.theme}`)
      }),
    )
    const { get } = await serve(app)
    for (const name of [...users, ...users]) {
      expect((await get('/p', { authorization: name })).body).toBe(`hello ${name} ${name}`)
    }
    expect(calls).toBe(3)
    expect((await get('/p')).cache).toBe('fwd=bypass')
    for (const theme of ['dark', 'light', 'dark']) {
      const { body } = await get('/cookie', { cookie: `a=1; theme=${theme}` })
      expect(body).toBe(`theme ${theme}`)
    }
    expect((await get('/cookie', { cookie: 'theme=dark', authorization: 'x' })).cache).toBe(
      'fwd=bypass; detail=request-authorization',
    )
  })

  test('requests that a parser reads differently do not share a response', async () => {
    const { cache } = setupCache()
    const app = express()
    app.use(cookieParser())
    const options = { cache, varyBy: ['cookie:currency', 'x-currency'] }
    const handler: RequestHandler = (request, response) => {
      const named = String(request.cookies.currency ?? 'USD')
      response.json([named, request.headers['x-currency'] === 'EUR' ? 'EUR' : 'USD'])
    }
    app.get('/p', ...form(options, handler))
    const { get, raw, port } = await serve(app)
    const read = async (lines: string) => {
      const head = `GET /p HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n`
      const reply = await raw(Buffer.from(`${head}${lines}\r\n`, 'latin1'))
      return parse(reply).body
    }
    await read('Cookie: currency =EUR\r\n')
    await read('Cookie: a=1;\tcurrency\t=EUR\r\n')
    expect((await get('/p')).body).toBe('["USD","USD"]')
    await read('Cookie: \xa0currency=GBP\r\n')
    expect(await read('Cookie: currency=GBP\r\n')).toBe('["GBP","USD"]')
    await read('X-Currency: EUR\xa0\r\n')
    expect(await read('X-Currency: EUR\r\n')).toBe('["USD","EUR"]')
  })

  test.each([
    ['only', { only: ['id'] }],
    ['ignore', { ignore: ['utm_*'] }],
  ])('parameters that a parser ignores do not determine the response: %s', async (_case, query) => {
    const { cache } = setupCache()
    for (const parser of ['simple', 'extended']) {
      const app = express()
      app.set('query parser', parser)
      const handler: RequestHandler = (request, response) => {
        response.send(String(request.query.id ?? 'none'))
      }
      app.get(`/${parser}`, ...form({ cache, query }, handler))
      const { get } = await serve(app)
      const first = await get(`/${parser}?${'utm_&'.repeat(1_000)}id=5`)
      const rest = await get(`/${parser}?id=5&${'utm_&'.repeat(1_000)}`)
      expect([first.body, rest.body]).toEqual(['none', '5'])
      expect((await get(`/${parser}?id=5`)).body).toBe('5')
    }
  })

  test('a client that leaves does not leave a part of a response', async () => {
    const { cache } = setupCache()
    const app = express()
    let [requests, calls] = [0, 0]
    let leave = () => {}
    const left = new Promise<void>((resolve) => {
      leave = resolve
    })
    app.use((_request, _response, next) => {
      requests++
      next()
    })
    const handler: RequestHandler = async (_request, response) => {
      const call = ++calls
      response.set('Content-Type', 'application/octet-stream')
      for (let part = 0; part < 10; part++) {
        if (response.destroyed && call === 1) return
        response.write(`part ${part} of 10;`)
        await (part === 5 && call === 1 ? left : delay())
      }
      response.end()
    }
    app.get('/p', ...form({ cache }, handler))
    const { get, port } = await serve(app)
    const socket = connect(port, '127.0.0.1')
    socket.write(`GET /p HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
    await expect.poll(() => calls).toBe(1)
    const waiting = get('/p')
    await expect.poll(() => requests).toBe(2)
    socket.destroy()
    await once(socket, 'close')
    leave()
    const whole = Array.from({ length: 10 }, (_, part) => `part ${part} of 10;`).join('')
    expect((await waiting).body).toBe(whole)
    expect((await get('/p')).body).toBe(whole)
  })
})

test('a response may vary by a header that would be private otherwise', async () => {
  const { cache } = setupCache()
  const app = express()
  let calls = 0
  app.get('/p', responseCache({ cache }) as RequestHandler, (request, response) => {
    calls++
    const { origin = '*' } = request.headers
    response.vary('Origin').set('Access-Control-Allow-Origin', origin).send('x')
  })
  const { get } = await serve(app)
  for (const origin of ['https://a.example', 'https://b.example', 'https://a.example']) {
    const { headers } = await get('/p', { origin })
    expect(headers.get('access-control-allow-origin')).toBe(origin)
  }
  expect(calls).toBe(2)
})

test('a request with headers of its own does not keep the responses of others out of the cache', async () => {
  const { cache, clock } = setupCache()
  const app = express()
  app.get('/p', responseCache({ cache }) as RequestHandler, (request, response) => {
    const host = request.headers['x-forwarded-host']
    if (host === undefined) response.vary('X-Forwarded-Host')
    response.send(String(host))
  })
  const { get } = await serve(app)
  expect((await get('/p', { 'x-forwarded-host': 'evil' })).cache).toBe(
    'fwd=uri-miss; detail=read-x-forwarded-host',
  )
  await clock.advance(2)
  await get('/p')
  expect((await get('/p')).cache).toBe('hit; ttl=60')
})

/** What middleware in front does for a request with the header `X-Preview`, and what the handler does with that. */
const previews: Record<
  string,
  [front: RequestHandler, handler: (request: Request, response: Response) => unknown]
> = {
  'a property of the request': [
    (request) => Object.assign(request, { preview: true }),
    (request) => Reflect.get(request, 'preview'),
  ],
  'a property that excludes the response': [
    (request) => Object.assign(request, { preview: true }),
    (request, response) => Reflect.get(request, 'preview') && response.cache?.noStore(),
  ],
  'a property that makes the handler fail': [
    (request) => Object.assign(request, { preview: true }),
    (request, response) => Reflect.get(request, 'preview') && response.status(500),
  ],
  'a property of res.locals': [
    (_request, { locals }) => Object.assign(locals, { preview: true }),
    (_request, { locals }) => locals.preview,
  ],
  'a header of the response': [
    (_request, response) => response.set('X-Preview', 'true'),
    (_request, response) => response.get('X-Preview'),
  ],
  'a property of the connection': [
    ({ socket }) => Object.assign(socket, { preview: true }),
    ({ socket }) => Reflect.get(socket, 'preview'),
  ],
  'the status': [(_request, response) => response.status(404), () => {}],
  'a method of the response': [
    (_request, response) => {
      const { send } = response
      response.send = (body) => send.call(response, body)
    },
    () => {},
  ],
}

test.each(Object.keys(previews))(
  'what middleware in front adds to one request does not keep others out of the cache: %s',
  async (name) => {
    const { cache, clock } = setupCache()
    const [add, handle] = previews[name] ?? []
    const app = express()
    app.use((request, response, next) => {
      if (request.headers['x-preview'] !== undefined) add?.(request, response, next)
      next()
    })
    app.get('/p', responseCache({ cache }) as RequestHandler, (request, response) => {
      handle?.(request, response)
      response.send('page')
    })
    const { get } = await serve(app)
    const first = await get('/p', { 'x-preview': '1' })
    expect(first.cache).toMatch(/^fwd=uri-miss; detail=/)
    await clock.advance(2)
    expect((await get('/p')).cache).toBe('fwd=uri-miss; stored')
    expect((await get('/p')).cache).toBe('hit; ttl=60')
  },
)

test('Authorization of one request does not keep others out of the cache in mode rfc9111', async () => {
  const { cache, clock } = setupCache()
  const app = express()
  const options = { cache, mode: 'rfc9111', public: true } as const
  app.get('/p', responseCache(options) as RequestHandler, (_request, response) => {
    response.set('Cache-Control', 'max-age=60').send('page')
  })
  const { get } = await serve(app)
  const first = await get('/p', { authorization: 'x' })
  expect(first.cache).toBe('fwd=uri-miss; detail=authorization')
  await clock.advance(2)
  await get('/p')
  expect((await get('/p')).cache).toBe('hit; ttl=60')
})

describe.each(Object.entries(forms))('%s', (_, form) => {
  const routes: Record<
    string,
    [evil: string, page: string, options: Partial<ResponseCacheOptions>, location?: string]
  > = {
    'an empty query': ['/p?', '/p', {}],
    'an empty query, with a relative URL': ['/p?', '/p', {}, 'p'],
    'parameters in another order': ['/p?b=1&a=2', '/p?a=2&b=1', {}],
    'a parameter that is ignored': ['/p?utm_source=x', '/p', { query: { ignore: ['utm_*'] } }],
    'another parameter': ['/p?id=1&x=2', '/p?id=1', { query: { only: ['id'] } }],
    'a full URL': ['/p?', '/p', {}, 'http://h.test/p'],
    'a key of the route': ['/p?x', '/p', { key: (request) => pathOf(request.url) }],
  }
  const pathOf = (url = '') => url.split('?')[0]

  test.each(Object.keys(routes))(
    'a redirect to the same key does not answer those who follow it: %s',
    async (name) => {
      const [evil, page, options, location] = routes[name] ?? ['', '', {}]
      const { cache, clock } = setupCache()
      const app = express()
      const handler: RequestHandler = ({ url }, response) => {
        if (url === page) response.send('page')
        else response.redirect(301, location ?? page)
      }
      app.get('/p', ...form({ cache, ...options }, handler))
      const { get } = await serve(app)
      const host = 'h.test'
      expect((await get(evil, { host })).cache).toBe('fwd=uri-miss; detail=self-redirect')
      await clock.advance(2)
      expect((await get(page, { host })).body).toBe('page')
      expect((await get(page, { host })).cache).toBe('hit; ttl=60')
    },
  )

  test.each(['/q', '/p?a=2', 'https://h.test/p', 'http://other.test/p', 'http://['])(
    'a redirect to another URL is stored: %s',
    async (location) => {
      const { cache } = setupCache()
      const app = express()
      const handler: RequestHandler = (_request, response) => {
        response.writeHead(301, { Location: location }).end()
      }
      app.get('/p', ...form({ cache }, handler))
      const { get } = await serve(app)
      await get('/p?a=1', { host: 'h.test' })
      const { cache: outcome } = await get('/p?a=1', { host: 'h.test' })
      expect(outcome).toBe('hit; ttl=60')
    },
  )
})

test('a session middleware in front may set its cookie for each client', async () => {
  const { cache } = setupCache()
  const app = express()
  app.use(session({ secret: 'x', resave: false, saveUninitialized: true }))
  let calls = 0
  app.get('/p', responseCache({ cache }) as RequestHandler, (_request, response) => {
    response.send(`call ${++calls}`)
  })
  const { get } = await serve(app)
  const [one, two] = [await get('/p'), await get('/p')]
  expect([one.body, two.body, calls]).toEqual(['call 1', 'call 1', 1])
  expect(one.headers.get('set-cookie')).toBeTruthy()
  expect(two.headers.get('set-cookie')).not.toBe(one.headers.get('set-cookie'))
})
