import type { EventEmitter } from 'node:events'
import { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { responseCache } from '@stowage/http-cache'
// @ts-expect-error It has no declarations.
import compression from 'compression'
// @ts-expect-error It has no declarations.
import cookieParser from 'cookie-parser'
import express, { type Express, type RequestHandler } from 'express'
import express4 from 'express-4'
import session from 'express-session'
import { expect, test } from 'vitest'
import { serve, setupCache } from './fixture.ts'
import { type Form, forms } from './forms.ts'

/** Sets headers on each response, as helmet does. */
const secure: RequestHandler = (_request, response, next) => {
  response.set({
    'Content-Security-Policy': "default-src 'self'",
    'Strict-Transport-Security': 'max-age=31536000',
    'X-Content-Type-Options': 'nosniff',
  })
  response.removeHeader('X-Powered-By')
  next()
}

/** Reads what morgan reads when it does: the address at first, the rest once the response was sent. */
function logger(lines: string[]): RequestHandler {
  return (request, response, next) => {
    const { ip, method, originalUrl } = request
    Object.assign(request, { _startAt: process.hrtime(), _remoteAddress: ip })
    response.on('finish', () => {
      const agent = request.headers['user-agent']
      lines.push(`${ip} ${method} ${originalUrl} ${request.headers.referer} ${agent}`)
    })
    next()
  }
}

/** Adds an id and a logger to each request, as pino-http does. */
const identify: RequestHandler = (request, response, next) => {
  const log = { info: () => {} }
  Object.assign(request, { id: String(request.headers['x-request-id'] ?? 1), log })
  response.set('X-Request-Id', String(Reflect.get(request, 'id')))
  next()
}

/** Replaces methods of an emitter by such that read what is kept under a name. */
function bindListeners(emitter: EventEmitter, name: string | symbol, methods: string[]): void {
  Object.assign(emitter, { [name]: {} })
  for (const method of methods) {
    const original: (...args: unknown[]) => unknown = Reflect.get(emitter, method)
    const bound = (...args: unknown[]) => {
      expect(Reflect.get(emitter, name)).toEqual({})
      return original.apply(emitter, args)
    }
    Object.assign(emitter, { [method]: bound })
  }
}

/** Listens to the request and the response. */
const streamed: RequestHandler = (request, response) => {
  request.once('close', () => {})
  response.type('text')
  Readable.from(['a', 'b']).pipe(response)
}

/** Headers that content delivery networks, load balancers and meshes add, and that hardly an application reads. */
const proxied = {
  via: '1.1 proxy',
  forwarded: 'for=192.0.2.1;proto=https',
  'x-forwarded-for': '192.0.2.1',
  'x-forwarded-host': 'shop.example',
  'x-forwarded-port': '443',
  'x-forwarded-proto': 'https',
  'x-real-ip': '192.0.2.1',
  'x-request-id': 'abc',
  'x-amzn-trace-id': 'Root=1-2-3',
  'x-envoy-expected-rq-timeout-ms': '15000',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  'cf-connecting-ip': '192.0.2.1',
  'cf-ipcountry': 'DE',
  'cf-ray': '230b030023ae2822-SJC',
  'cf-visitor': '{"scheme":"https"}',
  'cdn-loop': 'cloudflare',
}
const browser = {
  'user-agent': 'Mozilla/5.0',
  accept: 'text/html,*/*;q=0.8',
  'accept-language': 'de,en;q=0.5',
  referer: 'https://search.example/',
  dnt: '1',
  'sec-fetch-user': '?1',
  'sec-fetch-site': 'same-origin',
  'sec-ch-ua-platform': '"Linux"',
  'upgrade-insecure-requests': '1',
}

interface Application {
  readonly options?: object
  readonly headers?: Record<string, string>
  readonly build: (app: Express, route: (handler: RequestHandler) => RequestHandler[]) => void
}

const products: RequestHandler = (request, response) => {
  response.json([{ id: 1, name: 'Lamp', url: `${request.protocol}://${request.hostname}/1` }])
}

/** Applications whose responses are the same for everyone, or as their options declare. */
const applications: Record<string, Application> = {
  'a JSON API without sessions': {
    build: (app, route) => app.use(express.json()).get('/p', ...route(products)),
  },
  'the same with all parsers': {
    build: (app, route) => {
      app.use(express.json(), express.urlencoded(), express.text(), cookieParser())
      app.get('/p', ...route(products))
    },
  },
  'a page with a cookie for the language': {
    options: { varyBy: ['cookie:lang'] },
    headers: { ...browser, cookie: 'lang=de; _ga=GA1.2.3; sid=abc' },
    build: (app, route) => {
      app.use(cookieParser())
      const page: RequestHandler = ({ cookies }, response) => {
        response.send(cookies.lang === 'de' ? 'Guten Tag' : 'Hello')
      }
      app.get('/p', ...route(page))
    },
  },
  'an API that OpenTelemetry traces': {
    build: (app, route) => {
      app.use((request, _response, next) => {
        // As its instrumentation of Express does for each layer.
        Object.defineProperty(request, '__ot_middlewares', { enumerable: false, value: [] })
        next()
      })
      const traced: RequestHandler = (request, response, next) => {
        Reflect.get(request, '__ot_middlewares').push('/p')
        return products(request, response, next)
      }
      app.get('/p', ...route(traced))
    },
  },
  'an API whose listeners are bound with symbols': {
    build: (app, route) => {
      app.use((request, response, next) => {
        // As Elastic APM and Sentry do, and New Relic with the symbol `transactionInfo`.
        for (const each of [request, response]) {
          Object.assign(each, { [Symbol('transactionInfo')]: {} })
          bindListeners(each, Symbol('ElasticListeners'), ['on', 'once', 'removeListener', 'emit'])
        }
        Object.assign(request, { _startSpanCallback: () => {} })
        next()
      })
      app.get('/p', ...route(streamed))
    },
  },
  'an API whose listeners are bound with names': {
    build: (app, route) => {
      app.use((request, response, next) => {
        // As the package emitter-listener does for cls-hooked.
        for (const each of [request, response]) {
          Object.assign(each, { __wrapped: true, __unwrap: () => {} })
          bindListeners(each, 'wrap@before', ['on', 'addListener', 'emit'])
        }
        next()
      })
      app.get('/p', ...route(streamed))
    },
  },
  'a page in the language of the browser': {
    headers: browser,
    build: (app, route) => {
      const page: RequestHandler = (request, response) => {
        response.vary('Accept-Language').send(request.acceptsLanguages('de', 'en'))
      }
      app.get('/p', ...route(page))
    },
  },
  'a page of a framework that copies all headers': {
    options: { varyBy: ['accept-language'], ignoreReads: ['headers'] },
    headers: { ...browser, ...proxied },
    build: (app, route) => {
      const page: RequestHandler = ({ headers, url }, response) => {
        const copy = new Headers({ ...headers } as Record<string, string>)
        response.end(`${url} in ${copy.get('accept-language')}`)
      }
      app.get('/p', ...route(page))
    },
  },
  'an API behind a proxy that adds headers': {
    headers: { ...proxied },
    build: (app, route) => app.get('/p', ...route(products)),
  },
  'the same, whose proxy is trusted': {
    headers: { ...proxied },
    build: (app, route) => app.set('trust proxy', true).get('/p', ...route(products)),
  },
  'a page behind headers for security, compression and a log': {
    headers: { ...browser, ...proxied, 'accept-encoding': 'gzip' },
    build: (app, route) => {
      app.use(logger([]), secure, compression())
      app.get('/p', ...route((_request, response) => void response.send('page '.repeat(1_000))))
    },
  },
  'an API with an id and a log for each request': {
    headers: { ...proxied },
    build: (app, route) => {
      app.use(identify)
      const handler: RequestHandler = (request, response) => {
        Object(request).log.info('products')
        response.json([1])
      }
      app.get('/p', ...route(handler))
    },
  },
  'a public page with a session, which it does not read': {
    options: { public: true },
    headers: { ...browser, cookie: 'connect.sid=abc' },
    build: (app, route) => {
      app.use(session({ secret: 's', resave: false, saveUninitialized: false }))
      app.get('/p', ...route((_request, response) => void response.send('page')))
    },
  },
  'a response that depends on what is accepted': {
    headers: browser,
    build: (app, route) => {
      const handler: RequestHandler = (_request, response) => {
        response.format({
          html: () => void response.send('<p>page'),
          json: () => void response.json([1]),
        })
      }
      app.get('/p', ...route(handler))
    },
  },
  'an API for other origins': {
    headers: { origin: 'https://a.example' },
    build: (app, route) => {
      const handler: RequestHandler = (request, response) => {
        response.vary('Origin').set('Access-Control-Allow-Origin', request.headers.origin ?? '*')
        response.json([1])
      }
      app.get('/p', ...route(handler))
    },
  },
  'a redirect': {
    headers: browser,
    build: (app, route) =>
      app.get('/p', ...route((_request, response) => void response.redirect(301, '/new'))),
  },
  'a file': {
    headers: browser,
    build: (app, route) => {
      const file = fileURLToPath(import.meta.url)
      const handler: RequestHandler = (_request, response) => {
        response.sendFile(file, { maxAge: '1h' })
      }
      app.get('/p', ...route(handler))
    },
  },
}

const versions: Record<string, typeof express> = {
  'Express 5': express,
  'Express 4': express4 as unknown as typeof express,
}
const cases = Object.keys(applications).flatMap((name) =>
  Object.keys(versions).flatMap((version) =>
    Object.keys(forms).map((form) => [name, version, form] as const),
  ),
)

test.each(cases)('%s is answered from the cache: %s, %s', async (name, version, formName) => {
  const { options, headers = {}, build } = applications[name] as Application
  const { cache } = setupCache()
  let calls = 0
  const form = forms[formName] as Form
  const app = (versions[version] as typeof express)()
  build(app, (handler) =>
    form({ cache, ...options }, (request, response, next) => {
      calls++
      return handler(request, response, next)
    }),
  )
  const { get } = await serve(app)
  const first = await get('/p', headers)
  const second = await get('/p', headers)
  // The head of a stream is sent before it is stored.
  expect([first.cache.replace('; stored', ''), second.cache]).toEqual([
    'fwd=uri-miss',
    'hit; ttl=60',
  ])
  expect([second.body, calls]).toEqual([first.body, 1])
})

test('authentication behind the cache that most requests do not use', async () => {
  const { cache } = setupCache()
  const app = express()
  app.use(
    responseCache({ cache }) as RequestHandler,
    cookieParser(),
    (request, _response, next) => {
      Object.assign(request, { viewer: request.headers.authorization?.slice('Bearer '.length) })
      next()
    },
  )
  app.get('/p', (request, response) => {
    response.send(`hello ${Reflect.get(request, 'viewer') ?? 'everyone'}`)
  })
  const { get } = await serve(app)
  await get('/p')
  expect(await get('/p')).toMatchObject({ body: 'hello everyone', cache: 'hit; ttl=60' })
  const { body, cache: status } = await get('/p', { authorization: 'Bearer alice' })
  expect([body, status]).toEqual(['hello alice', 'fwd=bypass; detail=request-authorization'])
})

test('a server without a framework', async () => {
  const { cache } = setupCache()
  const middleware = responseCache({ cache })
  const { get } = await serve((request: IncomingMessage, response: ServerResponse) => {
    middleware(request, response, () => void response.end(`path ${request.url}`))
  })
  await get('/p', { ...browser, ...proxied })
  expect((await get('/p', { ...browser, ...proxied })).cache).toBe('hit; ttl=60')
})

test.each(Object.entries(forms))(
  'a function without a server, whose socket is a plain object: %s',
  async (_, form) => {
    const { cache } = setupCache()
    const app = express()
    app.get('/p', ...form({ cache, ttl: '1m' }, (_request, response) => void response.send('page')))
    const get = () =>
      new Promise<unknown>((resolve) => {
        const socket = { encrypted: true, remoteAddress: '192.0.2.1', end() {}, destroy() {} }
        const request = new IncomingMessage(socket as unknown as Socket)
        Object.assign(request, { method: 'GET', url: '/p', headers: { host: 'shop.example' } })
        request.push(null)
        const response = new ServerResponse(request)
        response.end = ((...args: unknown[]) => {
          resolve([String(args[0]), response.getHeader('cache-status')])
          return response
        }) as typeof response.end
        app(request as never, response as never)
      })
    expect(await get()).toEqual(['page', 'Stowage; fwd=uri-miss; stored'])
    await expect.poll(get).toEqual(['page', 'Stowage; hit; ttl=60'])
  },
)
