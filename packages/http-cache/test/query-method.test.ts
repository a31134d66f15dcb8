import { once } from 'node:events'
import { connect } from 'node:net'
import type { ResponseCacheOptions } from '@stowage/http-cache'
import { responseCache } from '@stowage/http-cache'
import express, { type Request, type RequestHandler, type Response } from 'express'
import { describe, expect, onTestFinished, test } from 'vitest'
import { gate, parse, serve, setupCache } from './fixture.ts'
import { forms } from './forms.ts'

const maxQueryBytes = 65_536

async function textOf(request: Request): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

/** Starts a server whose handler responds with the method, its content and how often it was called. */
async function start(
  form: (typeof forms)[string],
  options: Omit<ResponseCacheOptions, 'cache'> = { maxQueryBytes },
  { setup = setupCache(), front = [], before = async () => {} }: Setup = {},
) {
  const app = express()
  const state = { calls: 0 }
  const handler = async (request: Request, response: Response) => {
    const call = ++state.calls
    await before()
    const content = request.is('text/*') === false ? '' : await textOf(request)
    response.send(`${request.method} ${content.slice(0, 50)} ${content.length} ${call}`)
  }
  for (const middleware of front) app.use(middleware)
  app.use('/p', ...form({ cache: setup.cache, ...options }, handler as RequestHandler))
  const server = await serve(app)
  const query = async (content: string, headers: Record<string, string> = {}) => {
    const lines = { host: 'h', connection: 'close', 'content-type': 'text/plain', ...headers }
    const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`)
    const length = `content-length: ${Buffer.byteLength(content)}\r\n`
    return parse(await server.raw(`QUERY /p HTTP/1.1\r\n${head.join('')}${length}\r\n${content}`))
  }
  return { ...setup, ...server, state, query }
}

interface Setup {
  readonly setup?: ReturnType<typeof setupCache>
  readonly front?: readonly RequestHandler[]
  /** Called by the handler before it reads the content. */
  readonly before?: () => Promise<void>
}

describe.each(Object.entries(forms))('QUERY, %s', (_, form) => {
  test('responses are stored by the content of their requests', async () => {
    const { query, get, state } = await start(form)
    expect((await query('a')).body).toBe('QUERY a 1 1')
    const hit = await query('a')
    expect(hit.body).toBe('QUERY a 1 1')
    expect(hit.cache).toMatch(/^hit/)
    expect((await query('b')).body).toBe('QUERY b 1 2')
    expect((await query('')).body).toBe('QUERY  0 3')
    expect((await query('')).body).toBe('QUERY  0 3')
    // A GET has a key of its own.
    expect((await get('/p', { host: 'h' })).body).toBe('GET  0 4')
    expect((await query('')).body).toBe('QUERY  0 3')
    expect(state.calls).toBe(4)
  })

  test.each([
    ['content-type', 'text/csv'],
    ['content-encoding', 'gzip'],
    ['content-language', 'de'],
  ])('%s is part of the key', async (name, value) => {
    const { query, state } = await start(form)
    await query('a')
    await query('a', { [name]: value })
    expect(state.calls).toBe(2)
    expect((await query('a', { [name]: value })).body).toBe('QUERY a 1 2')
  })

  test('bypasses the cache by default, and reads no content then', async () => {
    const { query, state } = await start(form, {})
    expect((await query('a')).cache).toBe('fwd=method')
    await query('a')
    expect(state.calls).toBe(2)
  })

  test.each([
    ['the limit', 70_000, 70_000, 'hit'],
    ['one more byte', 70_000, 70_001, 'fwd=bypass'],
  ])('%s', async (__, limit, bytes, cache) => {
    const { query } = await start(form, { maxQueryBytes: limit })
    const content = 'x'.repeat(bytes)
    for (const expected of [1, cache === 'hit' ? 1 : 2])
      expect((await query(content)).body).toBe(`QUERY ${'x'.repeat(50)} ${bytes} ${expected}`)
    expect((await query(content)).cache).toContain(cache)
  })

  test.each([
    ['is the same as with a length', 3, 'QUERY aaa 3 1', 'hit'],
    ['beyond the limit reaches the handler', 80_000, `QUERY ${'a'.repeat(50)} 80000 2`, 'fwd'],
  ])('content in chunks %s', async (__, bytes, body, cache) => {
    const { query, raw } = await start(form)
    const content = 'a'.repeat(bytes)
    await query(content)
    const head = 'QUERY /p HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-type: text/plain\r\n'
    const [first, rest] = [content.slice(0, 1), content.slice(1)]
    const chunks = `1\r\n${first}\r\n${rest.length.toString(16)}\r\n${rest}\r\n0\r\n\r\n`
    const reply = parse(await raw(`${head}transfer-encoding: chunked\r\n\r\n${chunks}`))
    expect(reply.body).toBe(body)
    expect(reply.cache).toContain(cache)
  })

  test.each([
    ['a parser in front', express.text({ type: () => true })],
    [
      'a listener in front',
      ((request, _response, next) => {
        request.on('data', () => {})
        next()
      }) as RequestHandler,
    ],
  ])('content that was read by %s is not shared', async (__, middleware) => {
    const { query, state } = await start(form, { maxQueryBytes }, { front: [middleware] })
    expect((await query('a')).cache).toBe('fwd=bypass')
    await query('a')
    expect(state.calls).toBe(2)
  })

  test('concurrent requests with the same content share one call of the handler', async () => {
    const { open, opened } = gate()
    const { query, state } = await start(form, { maxQueryBytes }, { before: () => opened })
    const replies = Promise.all(Array.from({ length: 5 }, () => query('a')))
    await expect.poll(() => state.calls).toBe(1)
    open()
    expect((await replies).map(({ body }) => body)).toEqual(Array(5).fill('QUERY a 1 1'))
  })

  test('a function of the route that fails does not end the process', async () => {
    const tags = () => {
      throw new Error('no tags')
    }
    const { query } = await start(form, { maxQueryBytes, tags })
    expect([200, 500]).toContain((await query('a')).status)
  })

  test('an unsafe request to the URL invalidates the responses', async () => {
    const { query, get, state } = await start(form)
    await query('a')
    await query('b')
    await get('/p', { host: 'h' }, 'POST')
    await query('a')
    await query('b')
    expect(state.calls).toBe(5)
  })

  test('a connection continues after a hit whose content no handler has read', async () => {
    const { query, port } = await start(form)
    await query('x'.repeat(60_000))
    const socket = connect(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    const head = `QUERY /p HTTP/1.1\r\nhost: h\r\ncontent-type: text/plain\r\ncontent-length: 60000\r\n\r\n`
    for (let round = 0; round < 3; round++) {
      socket.write(head + 'x'.repeat(60_000))
      const [reply] = (await once(socket, 'data')) as [Buffer]
      expect(parse(reply).cache).toMatch(/^hit/)
    }
  })

  test('a client that stalls or leaves in its content delays nobody, and stores nothing', async () => {
    const { query, port, state } = await start(form)
    const socket = connect(port, '127.0.0.1')
    socket.write('QUERY /p HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nabc')
    await once(socket, 'connect')
    expect((await query('abc')).body).toMatch(/^QUERY abc 3/)
    socket.destroy()
    expect((await query('abc')).cache).toMatch(/^hit/)
    expect((await query('abcdefghij')).cache).toContain('fwd=uri-miss')
    expect(state.calls).toBeGreaterThanOrEqual(2)
  })

  test('answers with 304, and not with a part', async () => {
    const { query } = await start(form)
    await query('a')
    const { headers } = await query('a')
    const etag = headers.get('etag') as string
    expect((await query('a', { 'if-none-match': etag })).status).toBe(304)
    const part = await query('a', { range: 'bytes=0-1' })
    expect([part.status, part.body]).toEqual([200, 'QUERY a 1 1'])
  })
})

test('a refresh in the background has the content', async () => {
  const options = { maxQueryBytes, ttl: '1s', staleWhileRevalidate: '1h' } as const
  const { query, clock, state } = await start(forms.cached as never, options)
  await query('a')
  clock.advance(2_000)
  expect((await query('a')).body).toBe('QUERY a 1 1')
  await expect.poll(() => state.calls).toBe(2)
  await expect.poll(async () => (await query('a')).body).toBe('QUERY a 1 2')
})

test('maxQueryBytes must be a number of bytes', () => {
  const { cache } = setupCache()
  expect(() => responseCache({ cache, maxQueryBytes: -1 })).toThrow('maxQueryBytes')
})
