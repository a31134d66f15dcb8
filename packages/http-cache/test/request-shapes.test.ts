import { once } from 'node:events'
import { connect, createServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { responseCache } from '@stowage/http-cache'
import express, { type RequestHandler } from 'express'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parse, serve, setupCache } from './fixture.ts'
import { delay, forms } from './forms.ts'

describe.each(Object.entries(forms))('%s', (_, form) => {
  const shapes: Record<string, (host: string) => string> = {
    'two hosts': (host) => `GET /p HTTP/1.1\r\nHost: ${host}\r\nHost: evil\r\n`,
    'two hosts, reversed': (host) => `GET /p HTTP/1.1\r\nHost: evil\r\nHost: ${host}\r\n`,
    'a full URL': (host) => `GET http://evil/p HTTP/1.1\r\nHost: ${host}\r\n`,
    'a full URL of this host': (host) => `GET http://${host}/p?evil HTTP/1.1\r\nHost: ${host}\r\n`,
    'two slashes': (host) => `GET //evil/../p HTTP/1.1\r\nHost: ${host}\r\n`,
    'a fragment': (host) => `GET /p#evil HTTP/1.1\r\nHost: ${host}\r\n`,
    'a backslash': (host) => `GET /p\\evil HTTP/1.1\r\nHost: ${host}\r\n`,
    'a host with a path': () => 'GET /p HTTP/1.1\r\nHost: evil/p\r\n',
    'a host with a user': (host) => `GET /p HTTP/1.1\r\nHost: evil@${host}\r\n`,
    'another host': () => 'GET /p HTTP/1.1\r\nHost: evil\r\n',
    'no host': () => 'GET /p HTTP/1.0\r\n',
    'a body': (host) => `GET /p HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\n`,
    'a chunked body': (host) =>
      `GET /p HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n`,
    'an upgrade': (host) => `GET /p HTTP/1.1\r\nHost: ${host}\r\nUpgrade: evil\r\n`,
    HEAD: (host) => `HEAD /p HTTP/1.1\r\nHost: ${host}\r\nX-Evil: 1\r\n`,
    POST: (host) => `POST /p HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\n`,
  }

  test.each(Object.keys(shapes))(
    'a request with %s does not determine the response of others',
    async (name) => {
      const { cache } = setupCache()
      const app = express()
      app.disable('etag')
      const handler: RequestHandler = async (request, response) => {
        let body = ''
        for await (const chunk of request) body += chunk
        const isEvil = request.method !== 'GET' || body !== ''
        response.send(`${request.headers.host} ${request.originalUrl} ${isEvil ? 'evil' : ''}`)
      }
      app.all(/.*/, ...form({ cache, ttl: '1m' }, handler))
      const { raw, get, port } = await serve(app)
      const host = `127.0.0.1:${port}`
      const request = shapes[name]?.(host) ?? ''
      const bodies: Record<string, string> = {
        'a body': 'evil',
        POST: 'evil',
        'a chunked body': '4\r\nevil\r\n0\r\n\r\n',
      }
      const attack = `${request}Connection: close\r\n\r\n${bodies[name] ?? ''}`
      await raw(attack)
      await raw(attack)
      expect((await get('/p')).body).toBe(`${host} /p `)
      expect((await get('/p')).body).toBe(`${host} /p `)
    },
  )

  test('parameters that a handler reads as one keep their order', async () => {
    const { cache } = setupCache()
    const app = express()
    app.set('query parser', 'extended')
    const handler: RequestHandler = (request, response) => void response.json(request.query)
    app.get('/p', ...form({ cache }, handler))
    const { get } = await serve(app)
    const pairs = [
      ['a=1&a=2', 'a=2&a=1'],
      ['user=1&us%65r=2', 'us%65r=2&user=1'],
      ['a[b]=1&a=2', 'a=2&a[b]=1'],
      ['a=1&%=2', '%=2&a=1'],
      ['a=1&b=2', 'a=1&b=3'],
      ['a=1&b=2', 'a=1%26b=2'],
    ]
    const truth = async (query: string) => (await get(`/p?${query}&unique=${Math.random()}`)).body
    for (const query of pairs.flat()) {
      const { unique: _, ...expected } = JSON.parse(await truth(query))
      expect(JSON.parse((await get(`/p?${query}`)).body), query).toEqual(expected)
      expect(JSON.parse((await get(`/p?${query}`)).body), query).toEqual(expected)
    }
  })

  test('the order of all parameters counts with sort: false', async () => {
    const { cache } = setupCache()
    const app = express()
    const handler: RequestHandler = ({ url }, response) => void response.send(url)
    app.get('/p', ...form({ cache, query: { sort: false } }, handler))
    const { get } = await serve(app)
    for (const url of ['/p?a&b', '/p?b&a', '/p?b&a']) expect((await get(url)).body).toBe(url)
    expect((await get('/p?b&a')).cache).toBe('hit; ttl=60')
  })
})

test('with trust proxy, the forwarded host is part of the key', async () => {
  const { cache } = setupCache()
  const app = express()
  app.set('trust proxy', true)
  let calls = 0
  app.get('/p', responseCache({ cache }) as RequestHandler, (request, response) => {
    calls++
    response.send(`${request.protocol}://${request.host}`)
  })
  const { get } = await serve(app)
  const from = async (host: string) => (await get('/p', { 'x-forwarded-host': host })).body
  for (const host of ['a.example', 'a.example:8443', 'b.example', 'a.example']) {
    expect(await from(host)).toBe(`http://${host}`)
  }
  expect(calls).toBe(3)
  expect((await get('/p')).body).toContain('127.0.0.1')
})

test.each(['shop.example', 'backend:3000'])(
  'with trust proxy, the URL that clients request is invalidated: %s',
  async (host) => {
    const { cache, open } = setupCache()
    const app = express()
    app.set('trust proxy', true)
    let version = 1
    app.use(responseCache({ cache }))
    app.get('/p', (_request, response) => void response.send(`${version}`))
    app.post('/form', (_request, response) => {
      response.location('https://shop.example/p').send()
    })
    const { get } = await serve(app)
    const headers = {
      host,
      'x-forwarded-host': 'Shop.example:443, proxy',
      'x-forwarded-proto': 'https',
    }
    expect((await get('/p', headers)).body).toBe('1')
    version = 2
    expect((await get('/p', headers)).body).toBe('1')
    await responseCache({ cache: open() }).invalidate('https://shop.example/p')
    expect((await get('/p', headers)).body).toBe('2')
    version = 3
    await get('/form', headers, 'POST')
    expect((await get('/p', headers)).body).toBe('3')
  },
)

describe('invalidate', () => {
  /** A route that counts its responses, and one that invalidates what its query names. */
  async function setUp(query?: { readonly sort: boolean }) {
    const { cache } = setupCache()
    const app = express()
    const handle = responseCache({ cache, query })
    let version = 0
    app.get('/invalidate', async (request, response) => {
      await handle.invalidate(request.query.url as string, request)
      response.end()
    })
    app.use(handle)
    app.use((_request, response) => void response.send(`${++version}`))
    return { handle, ...(await serve(app)) }
  }

  test.each([
    ['its path', '/p', () => '/p'],
    ['its full URL', '/p', (url: string) => `${url}/p`],
    ['its path as people write it', '/caf%C3%A9?q=%20', () => '/café?q= '],
  ])('with a request removes what is stored for %s', async (_, path, named) => {
    const { get, url } = await setUp()
    expect([(await get(path)).body, (await get(path)).body]).toEqual(['1', '1'])
    await get(`/invalidate?url=${encodeURIComponent(named(url))}`)
    expect((await get(path)).body).toBe('2')
  })

  test.each([true, false])('removes a URL with parameters in any order, sort: %s', async (sort) => {
    const { get } = await setUp({ sort })
    const url = '/p?b&a'
    expect([(await get(url)).body, (await get(url)).body]).toEqual(['1', '1'])
    await get(`/invalidate?url=${encodeURIComponent(url)}`)
    expect((await get(url)).body).toBe('2')
  })

  test.each(['/p', 'p', 'localhost:3000/p', undefined as unknown as string])(
    'rejects for %s, which names no host',
    async (url) => {
      const { handle } = await setUp()
      const remedy =
        "a path with the request whose host it is on: invalidate('/products/1', request)"
      await expect(handle.invalidate(url)).rejects.toThrow(remedy)
      const during = handle.invalidateDuring({ urls: [url] }, () => {})
      await expect(during).rejects.toThrow(remedy)
    },
  )

  test('of a list of URLs that is not one is refused', async () => {
    const { handle } = await setUp()
    const urls = 'https://shop.example/p' as unknown as string[]
    await expect(handle.invalidateDuring({ urls }, () => {})).rejects.toThrow(
      'urls must be an array',
    )
  })
})

test('an unsafe request with a full URL invalidates its path', async () => {
  const { cache } = setupCache()
  const app = express()
  let version = 1
  app.use(responseCache({ cache }))
  app.get('/p', (_request, response) => void response.send(`${version}`))
  app.post('/p', (_request, response) => void response.send(`${++version}`))
  const { get, raw, port } = await serve(app)
  const host = `127.0.0.1:${port}`
  const head = `Host: ${host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`
  for (const target of [`http://${host}/p`, `HTTP://other.test/p`]) {
    expect((await get('/p')).body).toBe(`${version}`)
    expect(parse(await raw(`POST ${target} HTTP/1.1\r\n${head}`)).status).toBe(200)
    expect((await get('/p')).body).toBe(`${version}`)
  }
  expect(version).toBe(3)
})

test('pipelined requests receive their own responses', async () => {
  const { cache } = setupCache()
  const app = express()
  app.get('/:name', responseCache({ cache }) as RequestHandler, async (request, response) => {
    await delay()
    response.send(request.params.name)
  })
  const { raw } = await serve(app)
  const line = (name: string, last = false) =>
    `GET /${name} HTTP/1.1\r\nHost: x\r\n${last ? 'Connection: close\r\n' : ''}\r\n`
  const text = (
    await raw(line('alice') + line('bob') + line('alice') + line('carol', true))
  ).toString()
  expect(text.match(/\r\n\r\n(alice|bob|carol)/g)?.map((part) => part.trim())).toEqual([
    'alice',
    'bob',
    'alice',
    'carol',
  ])
  expect(parse(Buffer.from(text)).status).toBe(200)
})

test.each(['GET', 'POST'])('a %s over HTTP/2 passes by the cache', async (method) => {
  const { cache } = setupCache()
  const handle = responseCache({ cache, ttl: '1m', varyBy: () => 'all' })
  let calls = 0
  const server = createServer((request, response) => {
    const pass = () => response.end(`${++calls}`)
    handle(request as never, response as never, pass)
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  onTestFinished(() => client.close())
  for (const expected of ['1', '2']) {
    const stream = client.request({ ':method': method, ':path': '/', host: 'shop.example' })
    stream.end()
    expect(String(Buffer.concat(await stream.toArray()))).toBe(expected)
  }
})
