import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  ServerResponse,
  request as sendRequest,
} from 'node:http'
import { type AddressInfo, connect } from 'node:net'
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
