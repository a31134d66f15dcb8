import { cached, responseCache, toOptimizedResult } from '@stowage/http-cache'
import express, { type RequestHandler, type Response } from 'express'
import { describe, expect, test } from 'vitest'
import { serve, setupCache } from './fixture.ts'
import { forms } from './forms.ts'

describe.each(Object.entries(forms))('middleware in front of %s', (_, form) => {
  test.each([
    ['Cache-Control', 'private, no-store', 'private'],
    ['Set-Cookie', 'front=1', 'set-cookie'],
    ['Vary', '*', 'vary-star'],
    ['Cache-Control', 'public private', 'malformed'],
    ['Cache-Control', '"private"', 'malformed'],
    ['Cache-Control', 'max-age=60 private', 'malformed'],
    ['Cache-Control', 'max-age=60; private', 'malformed'],
    ['Cache-Control', 'x="a" private', 'malformed'],
    ['Cache-Control', 'x="a, max-age=60', 'malformed'],
    ['Vary', 'Accept Cookie', 'malformed'],
    ['Vary', '"*"', 'malformed'],
  ])('can forbid with %s that a response is stored', async (name, value, detail) => {
    const { cache } = setupCache()
    const app = express()
    let calls = 0
    app.use((_request, response, next) => {
      response.set(name, value)
      next()
    })
    app.get('/p', ...form({ cache }, (_request, response) => void response.send(`${++calls}`)))
    const { get } = await serve(app)
    const first = await get('/p')
    expect([first.body, first.headers.get(name)]).toEqual(['1', value])
    expect(first.cache).toBe(`fwd=uri-miss; detail=${detail}`)
    expect((await get('/p')).body).toBe('2')
  })

  test.each([
    'public, max-age=60',
    ', max-age = 60 ,, public',
    'max-age="60", x="a, private", y=\'b\', z="\\"; private"',
    'MAX-AGE=60, stale-if-error=5, x=',
  ])('may set Cache-Control: %s', async (value) => {
    const { cache } = setupCache()
    const app = express()
    app.get(
      '/p',
      ...form({ cache }, (_, response) => void response.set('Cache-Control', value).send()),
    )
    const { get } = await serve(app)
    await get('/p')
    expect((await get('/p')).cache).toBe('hit; ttl=60')
  })

  test('sets headers and the status that the handler adds to', async () => {
    const { cache } = setupCache()
    const app = express()
    app.use((_request, response, next) => {
      response.status(404).vary('Origin').cookie('front', '1')
      next()
    })
    const handler: RequestHandler = (_request, response) => {
      response.vary('Accept').cookie('handler', '2').send('x')
    }
    app.get('/p', ...form({ cache }, handler))
    const { get } = await serve(app)
    const { status, headers } = await get('/p')
    expect([status, headers.get('vary')]).toEqual([404, 'Origin, Accept'])
    expect(headers.getSetCookie()).toEqual(['front=1; Path=/', 'handler=2; Path=/'])
  })
})

test('a refresh in the background knows what middleware in front has set, and not what was sent', async () => {
  const { cache, clock } = setupCache()
  const app = express()
  let isPrivate = false
  let calls = 0
  const seen: unknown[] = []
  app.use((_request, response, next) => {
    if (isPrivate) response.set('Cache-Control', 'private')
    next()
  })
  const options = { cache, ttl: '1m', staleWhileRevalidate: '1h' } as const
  const handler: RequestHandler = (_request, response) => {
    seen.push(response.getHeader('age'))
    response.send(`page ${++calls}`)
  }
  app.get('/p', cached(options, handler as never) as RequestHandler)
  const { get } = await serve(app)
  await get('/p')
  await clock.advance(61_000)
  isPrivate = true
  expect((await get('/p')).body).toBe('page 1')
  await expect.poll(() => calls).toBe(2)
  isPrivate = false
  // Requests are not shared for a while after a private response, which was not stored.
  expect((await get('/p')).body).not.toBe('page 2')
  expect(seen.filter((age) => age !== undefined)).toEqual([])
})

test.each(['GET', 'POST'])(
  'toOptimizedResult keeps Vary of middleware in front: %s',
  async (method) => {
    const { cache } = setupCache()
    const app = express()
    const types = { 'application/json': JSON.stringify, 'text/plain': String }
    app.all('/p', (request, response) => {
      response.vary('Origin')
      return toOptimizedResult(request, response, { cache, key: 'p', types }, () => 1)
    })
    const { get } = await serve(app)
    const vary = (await get('/p', {}, method)).headers.get('vary')
    expect(vary?.split(', ').sort()).toEqual(['Accept', 'Origin'])
  },
)

describe.each(Object.entries(forms))('a cache in front of %s', (_, form) => {
  test('obeys what a handler requests of the inner one', async () => {
    const setup = setupCache()
    const { cache } = setup
    const other = setupCache()
    const app = express()
    let calls = 0
    // Without a function, it would store nothing.
    app.use(responseCache({ cache, ttl: '1h', varyBy: () => 'all' }))
    const inner = { cache: other.cache, ttl: '1h' } as const
    app.get(
      '/private',
      ...form(inner, (_request, response) => {
        response.cache?.noStore()
        response.send(`${++calls}`)
      }),
    )
    app.get(
      '/tagged',
      ...form(inner, (_request, response) => {
        response.cache?.tags('products')
        response.cache?.ttl('5s')
        response.send(`${++calls}`)
      }),
    )
    const { get } = await serve(app)
    expect([(await get('/private')).body, (await get('/private')).body]).toEqual(['1', '2'])
    expect([(await get('/tagged')).body, (await get('/tagged')).body]).toEqual(['3', '3'])
    await Promise.all([cache, other.cache].map((each) => each.invalidateTags('products')))
    expect((await get('/tagged')).body).toBe('4')
    await Promise.all([setup, other].map(({ clock }) => clock.advance(6_000)))
    expect((await get('/tagged')).body).toBe('5')
  })

  test.each([{}, { public: true }, { key: () => 'k' }])(
    'stores nothing, as it cannot notice what a hit of the inner one depends on: %o',
    async (options) => {
      const outer = setupCache()
      const inner = setupCache()
      const app = express()
      app.use(responseCache({ cache: outer.cache, cacheStatus: 'Outer' }))
      app.get(
        '/p',
        ...form({ cache: inner.cache, ...options }, (_, response) => void response.send('x')),
      )
      const { get } = await serve(app)
      await get('/p')
      // The one that is sent is the status of the inner cache.
      expect((await get('/p')).cache).toContain('hit')
      for await (const key of outer.cache.keys()) expect.fail(key)
    },
  )
})

test.each(Object.entries(forms))(
  'a header that the handler removes does not return with hits: %s',
  async (_, form) => {
    const { cache } = setupCache()
    const app = express()
    app.use((_request, response, next) => {
      response.set({
        'Content-Security-Policy': "frame-ancestors 'none'",
        'X-Front': '1',
        Vary: 'Origin',
      })
      next()
    })
    app.get(
      '/embed',
      ...form({ cache }, (_request, response) => {
        response.removeHeader('Content-Security-Policy')
        response.removeHeader('Vary')
        response.send('widget')
      }),
    )
    app.get(
      '/private',
      ...form({ cache }, (_request, response) => {
        response.removeHeader('X-Front')
        response.set('Cache-Control', 'private').send('widget')
      }),
    )
    const { get } = await serve(app)
    for (const cacheStatus of [/stored/, /^hit/]) {
      const { headers, cache: status } = await get('/embed')
      expect(status).toMatch(cacheStatus)
      expect(headers.get('content-security-policy')).toBeNull()
      expect(headers.get('x-front')).toBe('1')
    }
    expect((await get('/private')).headers.get('x-front')).toBeNull()
  },
)

describe.each(Object.entries(forms))('headers that belong to one client: %s', (_, form) => {
  test('those of no-cache="…" reach the client of the handler, and no later one', async () => {
    const { cache } = setupCache()
    const app = express()
    const options = { cache, mode: 'rfc9111' } as const
    const handler: RequestHandler = (_request, response) => {
      response.set({ 'Cache-Control': 'max-age=60, no-cache="x-count"', 'X-Count': '1' }).send('x')
    }
    app.get('/p', ...form(options, handler))
    const { get } = await serve(app)
    expect((await get('/p')).headers.get('x-count')).toBe('1')
    const hit = await get('/p')
    expect([hit.cache.slice(0, 3), hit.headers.get('x-count')]).toEqual(['hit', null])
  })

  test('those of a 304 that forbids to store are sent with the stored body', async () => {
    const { cache, clock } = setupCache()
    const app = express()
    const options = { cache, mode: 'rfc9111' } as const
    const handler: RequestHandler = (request, response) => {
      response.set({ 'Cache-Control': 'max-age=10', ETag: '"1"' })
      if (request.headers['if-none-match'] === undefined) response.send('body')
      else response.cookie('visit', '2').status(304).end()
    }
    app.get('/p', ...form(options, handler))
    const { get } = await serve(app)
    await get('/p')
    await clock.advance(11_000)
    const reply = await get('/p')
    expect([reply.status, reply.body, reply.headers.getSetCookie()]).toEqual([
      200,
      'body',
      ['visit=2; Path=/'],
    ])
    expect(reply.cache).toBe('fwd=stale; fwd-status=304; detail=set-cookie')
  })
})

describe.each(Object.entries(forms))(
  'headers that middleware in front sets for one user: %s',
  (_, form) => {
    const extensions: Record<string, (response: Response) => unknown> = {
      append: (response) => response.append('X-User', 'own'),
      appendHeader: (response) => response.appendHeader('x-user', 'own'),
      'a list': (response) => response.set('X-User', [response.get('X-User') as string, 'own']),
      'a list of all headers': (response) => {
        const { 'x-user': user } = response.getHeaders()
        response.writeHead(200, { 'X-User': [String(user), 'own'] })
      },
      'the body': (response) => response.write(response.get('X-User')),
      'its presence': (response) => response.write(String(response.hasHeader('X-User'))),
    }

    test.each(Object.keys(extensions))(
      'are not stored if the handler adds to them: %s',
      async (name) => {
        const { cache } = setupCache()
        const app = express()
        app.use((request, response, next) => {
          response.set('X-User', request.headers['x-name'])
          next()
        })
        app.get(
          '/p',
          ...form({ cache, public: true }, (_request, response) => {
            extensions[name]?.(response)
            response.end()
          }),
        )
        const { get } = await serve(app)
        await get('/p', { 'x-name': 'alice' })
        const { headers, body, cache: status } = await get('/p', { 'x-name': 'bob' })
        expect(`${headers.get('x-user')} ${body}`).not.toContain('alice')
        expect(headers.get('x-user')).toMatch(/^bob/)
        expect(status).not.toContain('hit')
        for await (const key of cache.keys()) expect.fail(key)
      },
    )

    test('a header that the handler has set is its own: it may add to it', async () => {
      const { cache } = setupCache()
      const app = express()
      app.use((request, response, next) => {
        response.append('Link', `</${request.headers['x-name']}>`)
        next()
      })
      const handler: RequestHandler = (_request, response) => {
        response.set('Link', '</a>').append('Link', '</b>').send('x')
      }
      app.get('/p', ...form({ cache }, handler))
      const { get } = await serve(app)
      await get('/p', { 'x-name': 'alice' })
      const { headers, cache: status } = await get('/p', { 'x-name': 'bob' })
      expect([status, headers.get('link')]).toEqual(['hit; ttl=60', '</a>, </b>'])
    })

    test('only the names that the handler has added to Vary are stored', async () => {
      const { cache } = setupCache()
      const app = express()
      app.use((request, response, next) => {
        response.vary(`X-${request.headers['x-name']}`)
        next()
      })
      const handler: RequestHandler = (_request, response) => void response.vary('Accept').send('x')
      app.get('/p', ...form({ cache }, handler))
      const { get } = await serve(app)
      await get('/p', { 'x-name': 'alice' })
      const { headers, cache: status } = await get('/p', { 'x-name': 'bob' })
      expect(status).toBe('hit; ttl=60')
      expect(headers.get('vary')?.split(', ').sort()).toEqual(['Accept', 'X-Bob'])
    })

    test('a value of the handler is stored although middleware in front had set the same', async () => {
      const { cache } = setupCache()
      const app = express()
      let isFirst = true
      app.use((_request, response, next) => {
        if (isFirst) response.set({ 'X-Frame-Options': 'DENY', Vary: 'Accept' })
        isFirst = false
        next()
      })
      app.get(
        '/p',
        ...form({ cache }, (_request, response) => {
          response.set('X-Frame-Options', 'DENY').send('x')
        }),
      )
      const { get } = await serve(app)
      await get('/p')
      const { headers, cache: status } = await get('/p')
      expect([status, headers.get('x-frame-options')]).toEqual(['hit; ttl=60', 'DENY'])
    })
  },
)
