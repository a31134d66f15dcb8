import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { type RequestSession, Sessions, session } from '@stowage/sessions'
// @ts-expect-error It has no declarations.
import compression from 'compression'
import { afterEach, expect, test } from 'vitest'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type SessionRequest = IncomingMessage & { session: RequestSession }
type Handle = (request: SessionRequest, response: ServerResponse) => unknown

/**
 * A server of `node:http` with a session that each request changes, so that its response waits. Errors that reach the
 * middleware's `next` are collected, and answered with 500.
 */
async function serve(
  handle: Handle,
  before: (response: ServerResponse) => unknown = () => {},
  onError = (response: ServerResponse): unknown => {
    response.statusCode = 500
    return response.end('error handler')
  },
) {
  const store = new Sessions({ cache: new Cache(memory(), { prefix: 'session:' }), maxBytes: 500 })
  const middleware = session({ secret: 'test only', store })
  const errors: Error[] = []
  const server = createServer((request, response) => {
    before(response)
    middleware(request, response, (error) => {
      if (error !== undefined) {
        errors.push(error as Error)
        onError(response)
        return
      }
      const sessionRequest = request as SessionRequest
      sessionRequest.session.n = Math.random()
      handle(sessionRequest, response)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const get = async (path = '/', cookie = '') => {
    const signal = AbortSignal.timeout(10_000)
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { cookie }, signal })
    return { status: response.status, headers: response.headers, text: await response.text() }
  }
  return { get, errors }
}

const codeOf = (call: () => unknown) => {
  try {
    call()
    return 'none'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

test.each([
  ['setHeader', (response: ServerResponse) => response.setHeader('Content-Length', '1')],
  ['appendHeader', (response: ServerResponse) => response.appendHeader('X-Late', '1')],
  ['removeHeader', (response: ServerResponse) => response.removeHeader('Content-Length')],
  ['writeHead', (response: ServerResponse) => response.writeHead(404)],
])('%s throws once the response has ended, as without a session', async (_, call) => {
  const codes: unknown[] = []
  const { get } = await serve((_, response) => {
    response.setHeader('Content-Length', '5')
    response.end('first')
    codes.push(codeOf(() => call(response)))
    response.statusCode = 404
  })
  const { status, text, headers } = await get()
  expect(codes).toEqual(['ERR_HTTP_HEADERS_SENT'])
  expect({ status, text }).toEqual({ status: 200, text: 'first' })
  expect(headers.get('content-length')).toBe('5')
  expect(headers.get('x-late')).toBeNull()
})

test.each([
  ['a chunk of another type', (response: ServerResponse) => response.end(1 as never)],
  ['an invalid header', (response: ServerResponse) => response.writeHead(200, { 'a b': '1' })],
  ['a status that does not exist', (response: ServerResponse) => response.writeHead(1)],
])('%s reaches the error handler', async (_, call) => {
  const { get, errors } = await serve((_, response) => {
    call(response)
    response.end()
  })
  expect(await get()).toMatchObject({ status: 500, text: 'error handler' })
  expect(errors).toHaveLength(1)
})

test('a session that is not stored leaves the cookies that others have set before it', async () => {
  const handle: Handle = ({ session, url }, response) => {
    if (url === '/large') session.text = 'x'.repeat(1_000)
    response.setHeader('X-Handler', '1')
    response.end()
  }
  const { get } = await serve(handle, (response) => response.setHeader('Set-Cookie', 'csrf=1'))
  const [, cookie] = (await get()).headers.getSetCookie()
  // The session has a cookie already, or gets one that is taken back.
  for (const sent of [cookie, '']) {
    const { status, headers } = await get('/large', sent)
    expect([status, headers.getSetCookie()]).toEqual([500, ['csrf=1']])
    expect(headers.get('x-handler')).toBeNull()
  }
})

test.each([
  ['its later chunks', 500, (response: ServerResponse) => response.end('later')],
  ['an error handler', 503, (response: ServerResponse) => response.writeHead(503).end('later')],
])('after a stream whose session is not stored, %s are sent with %i', async (_, expected, send) => {
  const handle: Handle = ({ session }, response) => {
    session.text = 'x'.repeat(1_000)
    response.write('first')
  }
  const { get } = await serve(handle, undefined, (response) => setImmediate(() => send(response)))
  expect(await get()).toMatchObject({ status: expected, text: 'later' })
})

test('the methods that another middleware has replaced are there again after the wait', async () => {
  const names: string[] = []
  const { get } = await serve((_, response) => {
    const { setHeader } = response
    response.setHeader = function replaced(name, value) {
      names.push(name)
      return setHeader.call(this, name, value)
    }
    response.on('finish', () => names.push(response.setHeader.name))
    response.end('done')
  })
  expect((await get()).text).toBe('done')
  expect(names).toEqual(['Cache-Control', 'Set-Cookie', 'replaced'])
})

test('a response that is compressed behind the session is complete', async () => {
  const compress = compression({ threshold: 0 })
  const { get } = await serve((request, response) => {
    compress(request as never, response as never, () => {
      response.setHeader('Content-Type', 'text/plain')
      response.write('a'.repeat(5_000))
      response.write('b'.repeat(5_000))
      response.end('c')
    })
  })
  const { headers, text } = await get()
  expect(headers.get('content-encoding')).not.toBeNull()
  expect(headers.getSetCookie()).toHaveLength(1)
  expect(text).toHaveLength(10_001)
})

test.each([
  ['an array', ['Set-Cookie', 'a=1', 'X-Other', '1', 'set-cookie', 'b=2']],
  ['an array, after the reason', 'OK', ['Set-Cookie', ['a=1', 'b=2'], 'X-Other', '1']],
  [
    'pairs',
    [
      ['Set-Cookie', ['a=1', 'b=2']],
      ['X-Other', '1'],
    ],
  ],
  ['an object, before undefined', { 'Set-Cookie': ['a=1', 'b=2'], 'X-Other': '1' }, undefined],
])('writeHead with %s keeps the cookie of the session', async (_, ...args) => {
  const { get } = await serve((_, response) => {
    response.setHeader('Set-Cookie', 'replaced=1')
    response.writeHead(200, ...(args as []))
    response.end()
  })
  const { headers } = await get()
  const names = headers.getSetCookie().map((cookie) => cookie.split('=')[0])
  expect(names).toEqual(['a', 'b', 'connect.sid'])
  expect(headers.get('x-other')).toBe('1')
})

test('an array of headers that is not complete reaches the error handler', async () => {
  const { get, errors } = await serve((_, response) => {
    response.writeHead(200, ['Set-Cookie'])
    response.end()
  })
  expect(await get()).toMatchObject({ status: 500, text: 'error handler' })
  expect(errors).toHaveLength(1)
})
