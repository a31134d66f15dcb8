import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import {
  type RequestSession,
  type SessionMiddlewareOptions,
  Sessions,
  session,
  sessionLock,
} from '@stowage/sessions'
import { afterEach, expect, test } from 'vitest'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type Request = IncomingMessage & { session: RequestSession & { names?: string[] } }

/** Begins a session, and stores it. */
async function newSession(request: Request): Promise<void> {
  await new Promise((done) => request.session.regenerate(done))
  request.session.names = ['new']
  await new Promise((done) => request.session.save(done))
}

/** A server of `node:http` whose requests wait until `release` is called. */
async function serve(
  options: Parameters<typeof sessionLock>[0],
  more: Partial<SessionMiddlewareOptions> = {},
) {
  let offset = 0
  const clock = { now: () => Date.now() + offset, sleep: () => setTimeout(5) }
  let readsUntilFailure = Number.POSITIVE_INFINITY
  const backend = wrapStore(memory({ clock }), (operation, call, args) => {
    const isOfSession = operation === 'get' && String(args[0]).startsWith('session:v1:')
    if (isOfSession && --readsUntilFailure === 0) throw new Error('The connection was lost.')
    return call()
  })
  const failRead = (number: number) => {
    readsUntilFailure = number
  }
  const cache = new Cache(backend, { prefix: 'session:', ttl: '1d', clock })
  const store = new Sessions({ cache, rotation: more.rotateAfter !== undefined })
  const middleware = session({ secret: 'test only', store, ...more })
  const lock = sessionLock(options)
  const held: { name: string; release: () => void }[] = []
  /** The requests that have read their session. */
  const arrived: unknown[] = []
  const server = createServer((request, response) => {
    middleware(request, response, async () => {
      arrived.push(request.url)
      if (request.url === '/login') await newSession(request as Request)
      lock(request, response, (error) => {
        if (request.url === '/throw') throw new Error('An error of the application.')
        if (request.url === '/twice')
          lock(request, response, (failure) => response.end(String(failure ?? 'done')))
        else handle(error)
      })
      async function handle(error: unknown): Promise<void> {
        if (error !== undefined) {
          response.writeHead(423).end((error as Error).message)
          return
        }
        const { session } = request as Request
        const name = String(request.url)
        const names = [session.names ?? []].flat()
        if (name !== '/begin') {
          await new Promise<void>((release) => held.push({ name, release }))
        }
        session.names = [...names, name]
        response.end(JSON.stringify(session.names))
      }
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  const begun = await fetch(`${url}/begin`)
  const cookie = String(begun.headers.getSetCookie()[0]).split(';')[0] as string
  const get = (path: string) => fetch(url + path, { headers: { cookie } })
  const advance = (ms: number) => (offset += ms)
  return { get, held, arrived, store, cookie, url, port, advance, failRead }
}

test('requests of one session run one after another, and see what the one before has written', async () => {
  const { get, held } = await serve({ wait: '20s' })
  const first = get('/1')
  await expect.poll(() => held.length).toBe(1)
  const second = get('/2')
  await expect(Promise.race([second, setTimeout(50)])).resolves.toBe(undefined)
  expect(held.length).toBe(1)
  held[0]?.release()
  expect(await (await first).json()).toEqual(['/begin', '/1'])
  await expect.poll(() => held.length).toBe(2)
  held[1]?.release()
  expect(await (await second).json()).toEqual(['/begin', '/1', '/2'])
})

test('a request fails if the others take too long', async () => {
  const { get, held } = await serve({ wait: 30 })
  const first = get('/1')
  await expect.poll(() => held.length).toBe(1)
  const second = await get('/2')
  expect(second.status).toBe(423)
  expect(await second.text()).toContain('held by another owner')
  held[0]?.release()
  expect((await first).status).toBe(200)
})

test('a request releases the lock when its connection is closed', async () => {
  const { get, held, cookie, port } = await serve({ wait: '20s' })
  const aborted = httpRequest({ port, path: '/1', headers: { cookie } })
  aborted.on('error', () => {})
  aborted.end()
  await expect.poll(() => held.length).toBe(1)
  const second = get('/2')
  aborted.destroy()
  await expect.poll(() => held.length).toBe(2)
  held[1]?.release()
  expect(await (await second).json()).toEqual(['/begin', '/2'])
})

test('a request whose session has ended while it waited begins a new one', async () => {
  const { get, held, store } = await serve({ wait: '20s' })
  const first = get('/1')
  await expect.poll(() => held.length).toBe(1)
  const second = get('/2')
  await store.clear()
  held[0]?.release()
  await first
  await expect.poll(() => held.length).toBe(2)
  held[1]?.release()
  const reply = await second
  expect(await reply.json()).toEqual(['/2'])
  expect(reply.headers.getSetCookie()).toHaveLength(1)
})

test('a request that has waited past the grace of its old id has its session', async () => {
  const { get, held, arrived, advance } = await serve(
    { ttl: '10m', wait: '1h' },
    { rotateAfter: '1m' },
  )
  advance(61_000)
  const first = get('/1')
  await expect.poll(() => held.length).toBe(1)
  const second = get('/2')
  held[0]?.release()
  expect((await first).headers.getSetCookie()).toHaveLength(1)
  await expect.poll(() => held.length).toBe(2)
  const third = get('/3')
  await expect.poll(() => arrived).toContain('/3')
  advance(31_000)
  held[1]?.release()
  await second
  await expect.poll(() => held.length).toBe(3)
  held[2]?.release()
  const reply = await third
  expect(await reply.json()).toEqual(['/begin', '/1', '/2', '/3'])
  expect(reply.headers.getSetCookie()).toEqual([])
})

test('a request whose session cannot be read again fails, and keeps its session', async () => {
  const { get, held, failRead } = await serve({}, { unset: 'destroy' })
  failRead(2)
  const failed = await get('/1')
  expect([failed.status, await failed.text()]).toEqual([423, 'The connection was lost.'])
  expect(failed.headers.getSetCookie()).toEqual([])
  const second = get('/2')
  await expect.poll(() => held.length).toBe(1)
  held[0]?.release()
  expect(await (await second).json()).toEqual(['/begin', '/2'])
})

test('a request that has stored a new session before keeps it', async () => {
  const { get, held } = await serve({})
  const login = get('/login')
  await expect.poll(() => held.length).toBe(1)
  held[0]?.release()
  expect(await (await login).json()).toEqual(['new', '/login'])
})

test('a second lock of the same request does not wait', async () => {
  const { get } = await serve({ wait: 1 })
  expect(await (await get('/twice')).text()).toBe('done')
})

test.each(['cookie', 'other'])('an exception of the handler is uncaught: %s', async (header) => {
  const { url, cookie } = await serve({})
  const handlers = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  try {
    const thrown = once(process, 'uncaughtException')
    fetch(`${url}/throw`, { headers: { [header]: cookie } }).catch(() => {})
    const [error] = await thrown
    expect(error).toEqual(new Error('An error of the application.'))
  } finally {
    for (const handler of handlers) process.on('uncaughtException', handler)
  }
})

test.each([{ ttl: 'soon' }, { ttl: 0 }, { wait: 'x' }, { wiat: '1s' }])(
  'invalid options are errors: %o',
  (options) => {
    expect(() => sessionLock(options as never)).toThrow(/duration|ttl|wait/)
  },
)

test('a request without a session is an error', async () => {
  const errors: unknown[] = []
  const server = createServer((request, response) => {
    sessionLock()(request, response, (error) => {
      errors.push(error)
      response.end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => server.close())
  await (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)).text()
  expect(String(errors[0])).toContain('Use it behind session()')
})
