import { Agent, request as send } from 'node:http'
import { connect } from 'node:net'
import { format, inspect } from 'node:util'
import { type ResponseCacheOptions, responseCache } from '@stowage/http-cache'
import { isFullTier } from '@stowage/test-servers'
// @ts-expect-error It has no declarations.
import cookieParser from 'cookie-parser'
import express, { type Express, type Request, type RequestHandler, type Response } from 'express'
import express4 from 'express-4'
import { describe, expect, onTestFinished, test } from 'vitest'
import { gate, serve, setupCache } from './fixture.ts'
import { counting, forms } from './forms.ts'

/** Headers in which gateways, identity-aware proxies and applications state who sends a request. */
const credentials = [
  'authorization',
  'x-api-key',
  'api-key',
  'apikey',
  'ocp-apim-subscription-key',
  'x-auth-token',
  'x-access-token',
  'token',
  'x-session-token',
  'x-session-id',
  'x-csrf-token',
  'x-goog-iap-jwt-assertion',
  'cf-access-jwt-assertion',
  'cf-access-authenticated-user-email',
  'x-ms-client-principal-name',
  'x-forwarded-user',
  'x-forwarded-email',
  'x-forwarded-groups',
  'x-forwarded-access-token',
  'x-remote-user',
  'remote-user',
  'x-webauth-user',
  'x-client-cert',
  'x-ssl-client-s-dn',
  'x-forwarded-client-cert',
  'x-amzn-mtls-clientcert',
  'x-amzn-oidc-identity',
  'tailscale-user-login',
  'x-consumer-username',
  'x-tenant-id',
  'x-user-id',
  'x-customer-id',
  'x-account-id',
  'x-org-id',
]
/** Headers that do not identify the sender, but that a response may depend on. */
const others = [
  'accept',
  'accept-language',
  'cf-connecting-ip',
  'cf-ipcountry',
  'cloudfront-viewer-country',
  'fly-client-ip',
  'origin',
  'referer',
  'true-client-ip',
  'user-agent',
  'x-appengine-user-ip',
  'x-custom',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-http-method-override',
  'x-real-ip',
  'x-requested-with',
]

/** Where the header is read: by the handler, or by middleware in front that hands it on. */
const places: Record<string, (app: Express, name: string) => (request: Request) => unknown> = {
  'the handler': (_app, name) => (request) => request.headers[name],
  'get() in the handler': (_app, name) => (request) => request.get(name),
  'middleware in front': (app, name) => {
    app.use((request, _response, next) => {
      Object.assign(request, { tenant: request.headers[name] })
      next()
    })
    return (request) => Reflect.get(request, 'tenant')
  },
}

/** All of them once, and in the full tier in each form and place. */
function headersFor(form: string, place: string): readonly string[] {
  const all = [...credentials, ...others]
  if (isFullTier || (form === 'middleware' && place === 'the handler')) return all
  return ['authorization', 'x-tenant-id', 'accept-language', 'x-real-ip', 'x-custom']
}

type Read = (request: Request, response: Response) => unknown

/** Ways to show a request, also those that look past proxies. */
const printers: Record<string, (request: Request) => string> = {
  request: (request) => inspect(request),
  'request-deeply': (request) => inspect(request, { depth: 4, showHidden: true }),
  headers: ({ headers }) => inspect(headers),
  'headers-unchanged': ({ headers }) => inspect(headers, { customInspect: false }),
  'headers-with-proxy': ({ headers }) =>
    inspect(headers, { showProxy: true, customInspect: false }),
  'headers-getters': ({ headers }) => inspect(headers, { getters: true, showHidden: true }),
  cookies: ({ cookies }) => inspect(cookies),
  'raw-headers': (request) => inspect(request.rawHeaders),
}

const tenantKey = Symbol('tenant')

class Vault {
  readonly #user: string

  constructor(user: string) {
    this.#user = user
  }

  get(_name: string): string {
    return this.#user
  }
}

/** Adds what `Object.keys` does not return. */
function addHidden(request: Request, response: Response): void {
  Object.assign(request, { [tenantKey]: 'e' })
  Object.defineProperty(request, 'plan', { value: 'f', configurable: true })
  Object.defineProperty(response.locals, 'plan', { value: 'g', configurable: true })
}

function appWith(options: Partial<ResponseCacheOptions>, build: (app: Express) => void) {
  const { cache, clock } = setupCache()
  const app = express()
  build(app)
  return { app, clock, options: { cache, ttl: '1m', ...options } as ResponseCacheOptions }
}

describe.each(Object.entries(forms))('%s', (formName, form) => {
  describe.each(Object.keys(places))('a header that is read by %s', (place) => {
    test.each([
      ['nothing declared', {}],
      ['public', { public: true }],
      ['varyBy another header', { varyBy: ['x-other'] }],
    ])('does not reach others: %s', async (_declared, declaration) => {
      const leaks: string[] = []
      for (const name of headersFor(formName, place)) {
        let read: (request: Request) => unknown = () => {}
        const { app, options } = appWith(declaration, (each) => {
          read = places[place]?.(each, name) ?? read
        })
        const handler: RequestHandler = (request, response) => {
          response.send(`for ${read(request) ?? 'nobody'}`)
        }
        app.get('/p', ...form(options, handler))
        const { get } = await serve(app)
        // Also a response that was rendered without the header: it is that of others, too.
        for (const value of [undefined, 'alice', 'bob', undefined]) {
          const { body } = await get('/p', value === undefined ? {} : { [name]: value })
          if (body !== `for ${value ?? 'nobody'}`) leaks.push(`${name}: ${value} sees ${body}`)
        }
      }
      expect(leaks).toEqual([])
    })
  })

  test.each(credentials)('a request with %s bypasses the cache', async (name) => {
    const { app, options } = appWith({}, () => {})
    app.get('/p', ...form(options, (_request, response) => void response.send('x')))
    const { get } = await serve(app)
    expect((await get('/p', { [name]: 'alice' })).cache).toBe(`fwd=bypass; detail=request-${name}`)
    expect((await get('/p', { cookie: 'a=1' })).cache).toBe('fwd=bypass; detail=request-cookie')
    await get('/p')
    expect((await get('/p')).cache).toBe('hit; ttl=60')
  })

  test.each(['x-api-key', 'x-tenant-id', 'accept-language'])(
    'varyBy covers %s: each value has its own response',
    async (name) => {
      const { app, options } = appWith({ varyBy: [name] }, () => {})
      const handler: RequestHandler = ({ headers }, response) => {
        response.send(`for ${headers[name] ?? 'nobody'}`)
      }
      app.get('/p', ...form(options, handler))
      const { get } = await serve(app)
      for (const value of ['alice', 'bob', undefined]) {
        const headers: Record<string, string> = value === undefined ? {} : { [name]: value }
        await get('/p', headers)
        const { body, cache } = await get('/p', headers)
        expect([body, cache]).toEqual([`for ${value ?? 'nobody'}`, 'hit; ttl=60'])
      }
    },
  )

  /** What a handler reads that makes its response private, and what `Cache-Status` says. */
  const reads: Record<string, [string, (request: Request, response: Response) => unknown]> = {
    'a header that is absent': ['x-custom', ({ headers }) => headers['x-custom']],
    'whether a header is present': ['x-custom', ({ headers }) => 'x-custom' in headers],
    'all headers': ['headers', ({ headers }) => ({ ...headers })],
    'all headers, by printing them': ['headers', ({ headers }) => inspect({ headers })],
    'all headers, with %o': ['headers', ({ headers }) => format('%o', headers)],
    'all headers as JSON': ['headers', ({ headers }) => JSON.stringify(headers)],
    'the entries of all headers': ['headers', ({ headers }) => Object.entries(headers)],
    'the names of all headers': ['headers', ({ headers }) => Object.keys(headers)],
    rawHeaders: ['request.rawHeaders', ({ rawHeaders }) => rawHeaders.length],
    headersDistinct: ['request.headersDistinct', ({ headersDistinct }) => headersDistinct],
    xhr: ['x-requested-with', ({ xhr }) => xhr],
    accepts: ['accept', (request) => request.accepts('html')],
    acceptsLanguages: ['accept-language', (request) => request.acceptsLanguages('de')],
    ip: ['request.ip', ({ ip }) => ip],
    remoteAddress: ['socket.remoteAddress', ({ socket }) => socket.remoteAddress],
    'connection.remoteAddress': [
      'socket.remoteAddress',
      ({ connection }) => connection.remoteAddress,
    ],
    remotePort: ['socket.remotePort', ({ socket }) => socket.remotePort],
    'the socket, by printing it': ['socket.inspect', ({ socket }) => inspect(socket, { depth: 1 })],
    authorized: ['socket.authorized', ({ socket }) => Reflect.get(socket, 'authorized')],
    'the certificate': [
      'socket.getPeerCertificate',
      ({ socket }) => Object(socket).getPeerCertificate?.(),
    ],
    'the user, who is absent': ['request.user', (request) => Reflect.get(request, 'user')],
    'a property that middleware in front has added': [
      'request.tenant',
      (request) => Reflect.get(request, 'tenant'),
    ],
    'a domain that is not one of Node': [
      'request.domain',
      (request) => Reflect.get(request, 'domain'),
    ],
    'a property of Node that middleware in front has replaced': [
      'request.client',
      (request) => Reflect.get(request, 'client'),
    ],
    'a body that middleware in front has invented': ['request.body', ({ body }) => body.user],
    'what was parsed of the first line': ['request.httpVersion', ({ httpVersion }) => httpVersion],
    trailers: ['request.trailers', ({ trailers }) => trailers.user],
    'the secret of cookies': ['request.secret', (request) => Reflect.get(request, 'secret')],
    'a property with a symbol as its name': [
      'request.tenant',
      (request) => Reflect.get(request, tenantKey),
    ],
    'a property that is not enumerable': [
      'request.plan',
      (request) => Reflect.get(request, 'plan'),
    ],
    'a property of res.locals that is not enumerable': [
      'locals.plan',
      (_request, { locals }) => locals.plan,
    ],
    'res.locals': ['locals.name', (_request, response) => response.locals.name],
    'a cookie that is absent': ['cookie:sid', ({ cookies }) => cookies.sid],
    'a signed cookie': ['cookie:sid', ({ signedCookies }) => signedCookies.sid],
    'all cookies': ['cookie', ({ cookies }) => Object.keys(cookies)],
    'all cookies, by printing them': ['cookie', ({ cookies }) => inspect(cookies)],
    'the header Cookie': ['cookie', ({ headers }) => headers.cookie],
    'the header Authorization': ['authorization', ({ headers }) => headers.authorization],
  }

  /** An application whose handler at `/p` does one of these reads, and the one at `/q` none. */
  function appThatReads(name: string, more: Partial<ResponseCacheOptions> = {}) {
    const [label, read] = reads[name] as (typeof reads)[string]
    const { app, options } = appWith({ public: true, ...more }, (each) => {
      each.use(cookieParser('secret'), (request, response, next) => {
        Object.assign(request.socket, { authorized: true, getPeerCertificate: () => ({}) })
        Object.assign(request, { tenant: 'a', client: 'b', body: { user: 'c' }, domain: 'd' })
        response.locals.name = 'd'
        addHidden(request, response)
        next()
      })
    })
    const handler: RequestHandler = (request, response) => {
      read(request, response)
      response.send('x')
    }
    app.get('/p', ...form(options, handler))
    app.get('/q', ...form(options, (_request, response) => void response.send('x')))
    return { app, label }
  }

  test.each(Object.keys(reads))('reads %s: the response is private', async (name) => {
    const { app, label } = appThatReads(name)
    const { get } = await serve(app)
    expect((await get('/p')).cache).toBe(`fwd=uri-miss; detail=read-${label}`)
    expect((await get('/p')).cache).not.toContain('hit')
    await get('/q')
    expect((await get('/q')).cache).toBe('hit; ttl=60')
  })

  /** What middleware in front may set for each user, and how a handler may send that. */
  const setInFront: Record<
    string,
    [(request: Request, response: Response, user: string) => unknown, Read?]
  > = {
    'a property of the response': [
      (_request, response, user) => Object.assign(response, { user }),
      (_request, response) => Reflect.get(response, 'user'),
    ],
    'a function of the response': [
      (_request, response, user) => Object.assign(response, { getUser: () => user }),
      (_request, response) => Reflect.get(response, 'getUser')?.(),
    ],
    'a method of Express': [
      (_request, response, user) => {
        const send = response.send.bind(response)
        response.send = (body) => send(`${body} and ${user}`)
      },
    ],
    'a property of the connection': [
      ({ socket }, _response, user) => Object.assign(socket, { ntlm: user }),
      ({ socket }) => Reflect.get(socket, 'ntlm'),
    ],
    'a name of a header': [
      (_request, response, user) => response.set(`X-User-${user}`, '1'),
      (_request, response) =>
        response.getHeaderNames().filter((name) => name.startsWith('x-user-')),
    ],
    'a name of a header as it was written': [
      (_request, response, user) => response.set(`X-User-${user}`, '1'),
      (_request, response) => {
        const names: string[] = Reflect.get(response, 'getRawHeaderNames').call(response)
        return names.filter((name) => name.startsWith('X-User-'))
      },
    ],
    'a body that is no plain object': [
      (request, _response, user) => Object.assign(request, { body: new URLSearchParams({ user }) }),
      ({ body }) => body.get('user'),
    ],
    trailers: [
      (request, _response, user) => Object.assign(request, { trailers: { user } }),
      ({ trailers }) => trailers.user,
    ],
    'the message of the request': [
      (request, _response, user) => Object.assign(request, { statusMessage: user }),
      ({ statusMessage }) => statusMessage,
    ],
    'a time': [
      (request, _response, user) => Object.assign(request, { _startTime: user }),
      (request) => Reflect.get(request, '_startTime'),
    ],
    'the status of the request': [
      (request, _response, user) => Object.assign(request, { statusCode: user }),
      (request) => request.statusCode,
    ],
    'a field of the response': [
      (_request, response, user) => Object.assign(response, { _user: user }),
      (_request, response) => Reflect.get(response, '_user'),
    ],
    'a symbol of the response': [
      (_request, response, user) => Object.assign(response, { [tenantKey]: user }),
      (_request, response) => Reflect.get(response, tenantKey),
    ],
    'a symbol of the connection': [
      ({ socket }, _response, user) => Object.assign(socket, { [tenantKey]: user }),
      ({ socket }) => Reflect.get(socket, tenantKey),
    ],
    'cookies in a map': [
      (request, _response, user) => Object.assign(request, { cookies: new Map([['user', user]]) }),
      ({ cookies }) => cookies.get('user'),
    ],
    'cookies in private fields': [
      (request, _response, user) => Object.assign(request, { cookies: new Vault(user) }),
      ({ cookies }) => cookies.get('user'),
    ],
    'cookies by a function': [
      (request, _response, user) => Object.assign(request, { cookies: () => user }),
      ({ cookies }) => cookies('user'),
    ],
    'cookies as text': [
      (request, _response, user) => Object.assign(request, { cookies: `user=${user}` }),
      ({ cookies }) => cookies,
    ],
    'res.locals in a map': [
      (_request, response, user) => Object.assign(response, { locals: new Map([['user', user]]) }),
      (_request, { locals }) => locals.get('user'),
    ],
    'res.locals by a function': [
      (_request, response, user) => Object.assign(response, { locals: () => user }),
      (_request, { locals }) => Object(locals)(),
    ],
    'res.locals by a proxy': [
      (_request, response, user) => {
        response.locals = new Proxy({}, { get: (_target, name) => name === 'user' && user })
      },
      (_request, { locals }) => locals.user,
    ],
    'the status': [
      (_request, response, user) => response.status(user === 'alice' ? 203 : 201),
      (_request, { statusCode }) => (statusCode === 203 ? 'alice' : 'bob'),
    ],
    'the message of the status': [
      (_request, response, user) => Object.assign(response, { statusMessage: user }),
    ],
    'the entity tag': [(_request, response, user) => response.set('ETag', `"${user}"`)],
    'the date': [(_request, response, user) => response.set('Date', user)],
  }

  test.each(Object.keys(setInFront))('%s of one user does not reach another', async (name) => {
    const [set, read] = setInFront[name] as (typeof setInFront)[string]
    const { app, options } = appWith({ public: true }, (each) => {
      each.use((request, response, next) => {
        set(request, response, request.headers['x-custom'] as string)
        next()
      })
    })
    app.get(
      '/p',
      ...form(options, (request, response) => void response.send(`${read?.(request, response)}`)),
    )
    const { get } = await serve(app)
    const seen: string[] = []
    for (const user of ['alice', 'bob']) {
      const { body, status, statusText, headers } = await get('/p', { 'x-custom': user })
      seen.push(inspect([body, status, statusText, headers.get('etag'), headers.get('date')]))
    }
    if (formName === 'middleware' && read !== undefined) expect(seen[0]).toMatch(/alice|203/)
    expect(seen[1]).not.toMatch(/alice|203|500/)
  })

  test('a status of middleware in front says why the response is not stored', async () => {
    const { app, options } = appWith({ ignoreReads: [] }, (each) => {
      each.use((_request, response, next) => {
        response.status(203)
        next()
      })
    })
    app.get('/kept', ...form(options, (_request, response) => void response.send('x')))
    app.get('/set', ...form(options, (_request, response) => void response.status(200).send('x')))
    const { get } = await serve(app)
    expect((await get('/kept')).cache).toBe('fwd=uri-miss; detail=read-response.status')
    await get('/set')
    expect(await get('/set')).toMatchObject({ status: 200, cache: 'hit; ttl=60' })
  })

  test.each(Object.keys(reads))('ignoreReads: %s', async (name) => {
    const [label] = reads[name] as (typeof reads)[string]
    const { get } = await serve(appThatReads(name, { ignoreReads: [label] }).app)
    await get('/p')
    expect((await get('/p')).cache).toBe('hit; ttl=60')
  })

  test('what a handler prints of a request does not reach others', async () => {
    const { app, clock, options } = appWith({ public: true }, (each) => each.use(cookieParser()))
    for (const [name, print] of Object.entries(printers)) {
      app.get(
        `/${name}`,
        ...form(options, (request, response) => void response.send(print(request))),
      )
    }
    const { get } = await serve(app)
    for (const name of Object.keys(printers)) {
      for (const value of ['alice', 'bob']) {
        const { body } = await get(`/${name}`, { 'x-custom': value, cookie: `sid=${value}` })
        expect(body, name).not.toContain(value === 'bob' ? 'alice' : 'bob')
        await clock.advance(2)
      }
    }
  })

  test('requests do not wait for a response that depends on a header, more than once', async () => {
    const { app, clock, options } = appWith({ waitTimeout: '1h' }, () => {})
    const gates = [gate(), gate(), gate(), gate()]
    let calls = 0
    let readsHeader = true
    const handler: RequestHandler = async ({ headers }, response) => {
      if (readsHeader) response.set('X-Read', `${headers['x-custom']}`)
      await gates[calls++]?.opened
      response.send('x')
    }
    app.get('/p', ...form(options, handler))
    const { get } = await serve(app)
    gates[0]?.open()
    expect((await get('/p')).cache).toBe('fwd=uri-miss; detail=read-x-custom')
    await clock.advance(2)
    const first = get('/p')
    await expect.poll(() => calls).toBe(2)
    const second = get('/p')
    await expect.poll(() => calls).toBe(3)
    gates[2]?.open()
    expect((await second).cache).toBe('fwd=uri-miss')
    gates[1]?.open()
    expect((await first).cache).toBe('fwd=uri-miss; detail=read-x-custom')
    await clock.advance(2)
    // One that does not read it is stored, and later ones share a rendering again.
    readsHeader = false
    gates[3]?.open()
    expect((await get('/p')).cache).toBe('fwd=uri-miss; stored')
    expect((await get('/p')).cache).toBe('hit; ttl=60')
    await clock.advance(60_000)
    gates[4] = gate()
    const together = [get('/p'), get('/p'), get('/p')]
    await expect.poll(() => calls).toBe(5)
    gates[4].open()
    await Promise.all(together)
    expect(calls).toBe(5)
  })

  test('headers are printed as they are', async () => {
    const printed: string[] = []
    const { app, options } = appWith({ ignoreReads: ['headers'] }, () => {})
    const handler: RequestHandler = ({ headers }, response) => {
      printed.push(inspect(headers), JSON.stringify(headers), inspect({ ...headers }))
      Object.defineProperty(headers, 'x-defined', { value: 'c', enumerable: true })
      printed.push(inspect(headers), inspect(structuredClone({ ...headers })))
      response.send('x')
    }
    app.get('/p', ...form(options, handler))
    const { get } = await serve(app)
    await get('/p', { host: 'h', 'x-custom': 'a' })
    const shown = { host: 'h', connection: 'close', 'x-custom': 'a', 'accept-encoding': 'identity' }
    const after = { ...shown, 'x-defined': 'c' }
    const expected = [inspect(shown), JSON.stringify(shown), inspect(shown)]
    expect(printed).toEqual([...expected, inspect(after), inspect(after)])
  })

  test('a property that cannot be watched makes the response private', async () => {
    const { app, options } = appWith({}, (each) => {
      each.use((request, _response, next) => {
        Object.defineProperty(request, 'tenant', { value: request.headers['x-custom'] })
        next()
      })
    })
    const handler: RequestHandler = (request, response) => {
      response.send(`for ${Reflect.get(request, 'tenant')}`)
    }
    app.get('/p', ...form(options, handler))
    const { get } = await serve(app)
    for (const name of ['alice', 'bob']) {
      expect((await get('/p', { 'x-custom': name })).body).toBe(`for ${name}`)
    }
  })

  test.each([
    ['Express 4', express4],
    ['Express 5', express],
  ])('what middleware in front adds to the query is not shared: %s', async (_version, create) => {
    const { cache, clock } = setupCache()
    const app = (create as typeof express)()
    app.use((request, _response, next) => {
      // A copy, as middleware makes that checks the query.
      const query = { ...request.query }
      if (request.path === '/added') query.tenant = request.headers['x-custom'] as string
      Object.defineProperty(request, 'query', { value: query, configurable: true })
      next()
    })
    const handler: RequestHandler = ({ query }, response) => void response.send(`${query.tenant}`)
    for (const path of ['/added', '/plain']) {
      app.get(path, ...form({ cache, ttl: '1m' }, handler))
    }
    const { get } = await serve(app)
    for (const name of ['alice', 'bob']) {
      expect((await get('/added?tenant=x&a=b', { 'x-custom': name })).body).toBe(name)
      await clock.advance(2)
    }
    await get('/plain?tenant=x&a=b')
    expect(await get('/plain?tenant=x&a=b')).toMatchObject({ body: 'x', cache: 'hit; ttl=60' })
  })

  test.each(['params', 'query', 'route', 'app', 'baseUrl', 'connection', 'Symbol(router.user)'])(
    'a property that routers set as well is that of middleware in front: %s',
    async (name) => {
      const { cache } = setupCache()
      const key = name.startsWith('Symbol') ? Symbol('router.user') : name
      const [first, second] = form({ cache, public: true }, (request, response) => {
        response.end(`for ${JSON.stringify(Reflect.get(request, key))}`)
      }) as unknown as ((...args: unknown[]) => void)[]
      const { get } = await serve((request, response) => {
        const value = { user: request.headers['x-custom'] }
        Object.defineProperty(request, key, { value, configurable: true, writable: true })
        first?.(request, response, () => second?.(request, response))
      })
      for (const user of ['alice', 'bob']) {
        expect((await get('/p', { 'x-custom': user })).body).toBe(`for {"user":"${user}"}`)
      }
      for await (const stored of cache.keys()) expect.fail(stored)
    },
  )

  test('parameters that middleware in front has replaced, and what it has hidden in res.locals', async () => {
    const { app, options } = appWith({ public: true }, (each) => {
      each.param('id', (request, _response, next) => {
        request.params.user = request.headers['x-custom'] as string
        next()
      })
      each.use((request, response, next) => {
        const user = request.headers['x-custom']
        Object.assign(response, { locals: Object.create({ user }) })
        next()
      })
    })
    app.get('/a/:id', ...form(options, ({ params }, response) => void response.send(params.user)))
    app.param('item', (request, _response, next) => {
      request.params.user = request.headers['x-custom'] === 'alice' ? '7' : '8'
      next()
    })
    const sendUser: RequestHandler = ({ params }, response) => void response.send(params.user)
    app.get('/items/:item', ...form(options, sendUser))
    app.param('name', (request, _response, next) => {
      // Text that is within a part of the path, and no part.
      request.params.name = request.headers['x-custom'] === 'alice' ? '1' : 'user'
      next()
    })
    const sendName: RequestHandler = ({ params }, response) => void response.send(params.name)
    app.get('/v1/users/:name', ...form(options, sendName))
    app.get('/b', ...form(options, (_, response) => void response.send(response.locals.user)))
    const { get } = await serve(app)
    for (const path of ['/a/1', '/b']) {
      for (const user of ['alice', 'bob']) {
        expect((await get(path, { 'x-custom': user })).body).toBe(user)
      }
    }
    for (const [user, id] of Object.entries({ alice: '7', bob: '8' })) {
      expect((await get('/items/7', { 'x-custom': user })).body).toBe(id)
    }
    for (const [user, name] of Object.entries({ alice: '1', bob: 'user' })) {
      expect((await get('/v1/users/me', { 'x-custom': user })).body).toBe(name)
    }
  })

  test('what follows from the URL does not make a response private', async () => {
    const { app, options } = appWith({ public: true }, (each) => {
      each.param('id', (request, _response, next, id) => {
        Object.assign(request.params, { id: Number(id) })
        next()
      })
    })
    const router = express.Router({ mergeParams: true })
    const handler: RequestHandler = ({ params, query, baseUrl, route, app }, response) => {
      response.json([params, query, baseUrl, route.path, typeof app])
    }
    router.get('/:name/*rest', ...form(options, handler))
    app.use('/shops/:id', router)
    const { get } = await serve(app)
    const path = '/shops/7/%C3%A4%2Fb/x/y?a=b&c[]=d'
    const { body } = await get(path)
    expect(JSON.parse(body)[0]).toEqual({ id: 7, name: 'ä/b', rest: ['x', 'y'] })
    expect(await get(path)).toMatchObject({ body, cache: 'hit; ttl=60' })
  })

  test('the value of a property with a symbol as its name reaches the handler', async () => {
    const { app, options } = appWith({ ignoreReads: ['request.tenant'] }, (each) => {
      each.use((request, response, next) => {
        addHidden(request, response)
        next()
      })
    })
    const handler: RequestHandler = (request, response) => {
      response.send(`for ${Reflect.get(request, tenantKey)}`)
    }
    app.get('/p', ...form(options, handler))
    const { get } = await serve(app)
    expect((await get('/p')).body).toBe('for e')
    expect(await get('/p')).toMatchObject({ body: 'for e', cache: 'hit; ttl=60' })
  })

  test('the scheme is not part of the key of a route: it counts without the header of a proxy, too', async () => {
    const { app, options } = appWith({ key: () => 'own' }, (each) => each.set('trust proxy', true))
    app.get('/p', ...form(options, ({ protocol }, response) => void response.send(protocol)))
    const { get } = await serve(app)
    expect((await get('/p')).body).toBe('http')
    expect((await get('/p', { 'x-forwarded-proto': 'https' })).body).toBe('https')
  })

  test.each([
    ['cache-control', 'max-age=0', 'evil'],
    ['pragma', 'no-cache', 'evil'],
    ['connection', 'close', 'close, evil'],
  ])('%s is shared only with a value that browsers send', async (name, plain, evil) => {
    const { app, options, clock } = appWith({}, () => {})
    const handler: RequestHandler = (request, response) => {
      response.send(`${request.get(name)}`)
    }
    app.get('/p', ...form(options, handler))
    const { get } = await serve(app)
    const connection = 'close'
    const first = await get('/p', { connection, [name]: evil })
    expect(first.cache).toBe(`fwd=uri-miss; detail=read-${name}`)
    await clock.advance(2)
    expect((await get('/p', { connection, [name]: plain })).body).toBe(plain)
    expect((await get('/p')).cache).toBe('hit; ttl=60')
  })

  test('varyBy of one cookie does not cover the others', async () => {
    const readers: Record<string, RequestHandler> = {
      currency: ({ cookies }, response) => void response.send(`${cookies.currency}`),
      sid: ({ cookies }, response) => void response.send(`${cookies.sid}`),
      header: ({ headers }, response) => void response.send(`${headers.cookie}`),
      vary: ({ headers }, response) => void response.vary('Cookie').send(`${headers.cookie}`),
    }
    const { app, options } = appWith({ varyBy: ['cookie:currency'] }, (each) => {
      each.use(cookieParser())
    })
    for (const [name, handler] of Object.entries(readers)) {
      app.get(`/${name}`, ...form(options, handler))
    }
    const { get } = await serve(app)
    for (const sid of ['alice', 'bob']) {
      const cookie = `currency=eur; sid=${sid}`
      expect((await get('/sid', { cookie })).body).toBe(sid)
      expect((await get('/header', { cookie })).body).toBe(cookie)
      expect((await get('/vary', { cookie })).body).toBe(cookie)
      expect((await get('/currency', { cookie })).body).toBe('eur')
    }
    expect((await get('/currency', { cookie: 'currency=eur' })).cache).toBe('hit; ttl=60')
  })

  test('what middleware behind the cache adds to the request is not watched', async () => {
    const { app, options } = appWith({}, () => {})
    const [first, ...rest] = form(options, (request, response) => {
      Object.assign(request, { product: 'lamp' })
      Object.assign(request.headers, { 'x-added': '1' })
      response.send(`${Reflect.get(request, 'product')} ${request.headers['x-added']}`)
    })
    app.get('/p', first as RequestHandler, ...rest)
    const { get } = await serve(app)
    await get('/p')
    expect(await get('/p')).toMatchObject({ body: 'lamp 1', cache: 'hit; ttl=60' })
  })

  test('the scheme and the host are part of the key, unless the route replaces it', async () => {
    const handler: RequestHandler = (request, response) => {
      response.send(`${request.protocol}://${request.hostname}`)
    }
    const { app, options } = appWith({}, () => {})
    app.get('/p', ...form(options, handler))
    app.get('/own', ...form({ ...options, key: () => 'own' }, handler))
    const { get } = await serve(app)
    await get('/p')
    expect((await get('/p')).cache).toBe('hit; ttl=60')
    expect((await get('/own', { host: 'evil.example' })).cache).toBe(
      'fwd=uri-miss; detail=read-request.hostname',
    )
    expect((await get('/own')).body).toBe('http://127.0.0.1')
  })

  test('Host in upper case is not sent to those who ask in lower case', async () => {
    const { app, options } = appWith({}, () => {})
    app.get('/p', ...form(options, ({ headers }, response) => void response.send(headers.host)))
    const { get } = await serve(app)
    const shouted = await get('/p', { host: 'H.TEST' })
    expect([shouted.body, shouted.cache]).toEqual(['H.TEST', 'fwd=bypass'])
    expect((await get('/p', { host: 'h.test' })).body).toBe('h.test')
  })
})

test('ignoreReads: names of headers in any case, and nothing but names', async () => {
  const { app } = counting(express, { ignoreReads: ['X-Request-Id'] })
  app.get('/p', (request, response) => void response.send(`${typeof request.get('x-request-id')}`))
  const { get } = await serve(app)
  await get('/p')
  expect((await get('/p')).cache).toBe('hit; ttl=60')
  for (const ignoreReads of ['x-request-id', [1], [''], {}]) {
    expect(() => counting(express, { ignoreReads })).toThrow(
      /ignoreReads must be an array of names/,
    )
  }
})

test('a detail contains only characters that Cache-Status permits', async () => {
  const { app, next } = counting(express, { public: true }, undefined, (front) => {
    front.use(cookieParser())
  })
  app.get('/p', ({ cookies, query }, response) => {
    response.send(`${cookies[String(query.name)]} ${next()}`)
  })
  const { get } = await serve(app)
  const { cache } = await get(
    `/p?name=${encodeURIComponent(`a", x\r\nb=\u{1f600}${'c'.repeat(200)}`)}`,
  )
  expect(cache).toMatch(/^fwd=uri-miss; detail=read-cookie:a___x__b___c+$/)
  expect(cache.length).toBeLessThan(200)
})

test('requests of one connection are watched apart, also if they are answered at the same time', async () => {
  const { app } = counting(express)
  const release: (() => void)[] = []
  app.get('/address', ({ socket }, response) => {
    release.push(() => void response.send(`${typeof socket.remoteAddress}`))
  })
  app.get('/plain', (_request, response) => void response.send('x'))
  const { raw, get } = await serve(app)
  const host = 'Host: 127.0.0.1\r\n'
  const replies = raw(
    `GET /address HTTP/1.1\r\n${host}\r\nGET /plain HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
  )
  await expect.poll(() => release.length).toBe(1)
  await expect
    .poll(async () => (await get('/plain', { host: '127.0.0.1' })).cache)
    .toBe('hit; ttl=60')
  release[0]?.()
  expect((await replies).toString()).toContain('detail=read-socket.remoteAddress')
})

test('a second request on a connection does not keep the response of the first out of the cache', async () => {
  let release = () => {}
  const { app, clock, next } = counting(express, {}, undefined, (front) => {
    // As a rate limit does.
    front.use(({ ip, path }, _response, callNext) => {
      if (path === '/other') release()
      callNext(ip === undefined ? 'route' : undefined)
    })
  })
  const called = gate()
  const outcome = gate<unknown>()
  app.get('/page', (_request, response) => {
    if (next() > 1) return void response.send('page')
    release = () => {
      response.send('page')
      outcome.open(response.get('Cache-Status'))
    }
    called.open()
  })
  app.get('/other', (_request, response) => void response.send('other'))
  const { port, get } = await serve(app)
  const client = connect(port, '127.0.0.1')
  client.write('GET /page HTTP/1.1\r\nHost: h.test\r\n\r\n')
  await called.opened
  client.write('GET /other HTTP/1.1\r\nHost: h.test\r\n\r\n')
  expect(await outcome.opened).toContain('detail=read-socket.remoteAddress')
  client.destroy()
  clock.advance(2)
  await get('/page', { host: 'h.test' })
  expect((await get('/page', { host: 'h.test' })).cache).toBe('hit; ttl=60')
})

test('a property that is deleted from a connection after each response is watched again', async () => {
  const { app } = counting(express, { public: true }, undefined, (front) => {
    front.use(({ headers, socket }, response, next) => {
      Object.assign(socket, { tenant: headers['x-custom'] })
      response.once('finish', () => Reflect.deleteProperty(socket, 'tenant'))
      next()
    })
  })
  app.get('/', (_request, response) => void response.send('x'))
  app.get('/p', ({ socket }, response) => void response.send(`${Reflect.get(socket, 'tenant')}`))
  const { port, get } = await serve(app)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  onTestFinished(() => agent.destroy())
  for (const path of ['/', '/p']) {
    const options = { port, host: '127.0.0.1', path, agent, headers: { 'x-custom': 'alice' } }
    await new Promise((resolve, reject) => {
      send({ ...options }, (response) => response.resume().once('end', resolve))
        .once('error', reject)
        .end()
    })
  }
  const host = `127.0.0.1:${port}`
  expect((await get('/p', { host, 'x-custom': 'bob' })).body).toBe('bob')
})

test('a keep-alive connection does not collect listeners', async () => {
  const { app } = counting(express, { ttl: 1 })
  const listeners = new Set<number>()
  app.get('/p', ({ socket }, response) => {
    listeners.add(socket.listenerCount('close'))
    response.cache?.noStore()
    response.send('x')
  })
  const { port } = await serve(app)
  const { Agent } = await import('node:http')
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (let index = 0; index < 30; index++) {
    await new Promise<void>((resolve, reject) => {
      const options = { port, host: '127.0.0.1', path: `/p?${index}`, agent }
      send(options, (response) => response.resume().on('end', resolve))
        .on('error', reject)
        .end()
    })
  }
  agent.destroy()
  expect(listeners.size).toBeLessThanOrEqual(2)
})

test('the watch ends with the response: what logs it afterwards does not count', async () => {
  const { cache } = setupCache()
  const seen: unknown[] = []
  const app = express()
  app.use((request, response, next) => {
    response.on('finish', () => {
      seen.push(request.headers['user-agent'], request.ip, Object.keys(request.headers).length > 0)
    })
    next()
  })
  app.get('/p', responseCache({ cache }) as RequestHandler, (_request, response) => {
    response.send('x')
  })
  const { get } = await serve(app)
  await get('/p', { 'user-agent': 'test' })
  expect((await get('/p')).cache).toBe('hit; ttl=60')
  expect(seen.slice(0, 3)).toEqual(['test', '127.0.0.1', true])
})
