import { once } from 'node:events'
import { createServer, IncomingMessage, ServerResponse, request as sendRequest } from 'node:http'
import { type AddressInfo, connect, Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import {
  type RequestSession,
  type SessionMiddlewareOptions,
  Sessions,
  session,
} from '@stowage/sessions'
import { afterEach, expect, test } from 'vitest'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type SessionRequest = IncomingMessage & { session: RequestSession }

/** A server whose requests to `/login` store a session, and whose other requests respond with its user. */
async function serve(options: Partial<SessionMiddlewareOptions> = {}) {
  const store = new Sessions<Record<string, unknown>>({
    cache: new Cache(memory(), { prefix: 'session:' }),
  })
  const middleware = session({ secret: 'test only', store, ...options })
  const server = createServer((request, response) => {
    middleware(request, response, (error) => {
      const { session } = request as SessionRequest
      if (error !== undefined) return response.writeHead(500).end(String(error))
      if (request.url === '/login') session.user = 'ada'
      return response.end(String(session === undefined ? 'no session' : session.user))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const get = async (path: string, cookie = '') => {
    const signal = AbortSignal.timeout(10_000)
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { cookie }, signal })
    return { text: await response.text(), cookie: response.headers.get('set-cookie') ?? '' }
  }
  const login = async () => (await get('/login')).cookie.split(';')[0] as string
  return { get, login, server, port, store, middleware }
}

test('an upgrade reads the session, although the response is an empty object', async () => {
  const { login, server, port, middleware } = await serve()
  const users: unknown[] = []
  server.on('upgrade', (request, socket) => {
    middleware(request, {} as ServerResponse, (error) => {
      users.push(error ?? (request as SessionRequest).session.user)
      socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n')
    })
  })
  for (const cookie of [await login(), '']) {
    const headers = { cookie, connection: 'Upgrade', upgrade: 'test' }
    const [, socket] = await once(sendRequest({ port, headers }).end(), 'upgrade')
    socket.destroy()
  }
  expect(users).toEqual(['ada', undefined])
})

test('an exception of genid is an error of the request, with and without a cookie', async () => {
  let isBroken = false
  const genid = () => {
    if (isBroken) throw new Error('no id')
    return 'an id of the test'
  }
  const { get, login, store } = await serve({ genid })
  const cookie = await login()
  await store.clear()
  isBroken = true
  expect((await get('/', cookie)).text).toBe('Error: no id')
  expect((await get('/')).text).toBe('Error: no id')
})

test.each([
  ['/app', true],
  ['/app/page?query', true],
  ['http://example.com/app', true],
  ['/', false],
  ['//', false],
  ['//app', false],
  ['/?/app', false],
  ['/\\', false],
  ['*', false],
  ['http://example.com', false],
])('with the path /app of the cookie, whether %s has a session: %s', async (target, hasSession) => {
  const { port } = await serve({ cookie: { path: '/app' } })
  const socket = connect(port, '127.0.0.1')
  socket.end(`GET ${target} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n`)
  const [, body] = (await text(socket)).split('\r\n\r\n')
  expect(body).toContain(hasSession ? 'undefined' : 'no session')
})

test('a response that does not know its request is sent, with the cookie', async () => {
  const { middleware } = await serve()
  const request = new IncomingMessage(new Socket())
  // As serverless-http creates it.
  const response = new ServerResponse({ method: 'GET' } as IncomingMessage)
  response.assignSocket(new PassThrough() as unknown as Socket)
  middleware(request, response, () => {
    ;(request as SessionRequest).session.user = 'ada'
    response.end()
  })
  await once(response, 'finish')
  expect(response.getHeader('Set-Cookie')).toHaveLength(1)
})
