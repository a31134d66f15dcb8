import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { type RequestSession, Sessions, session } from '@stowage/sessions'
import { ManualClock } from '@stowage/testing'
import express from 'express'
import express4 from 'express-4'
import { afterEach, expect, test } from 'vitest'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type Handler = (request: IncomingMessage, response: ServerResponse) => void
const copies = { 'the same copy': express, 'another copy': express4 as typeof express }

/** A function that sends requests with the cookie of the response before. */
async function serve(app: express.Express) {
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  let cookie = ''
  return async (path = '/') => {
    const response = await fetch(url + path, { headers: { cookie } })
    cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
    return response.text()
  }
}

/** An application inside another one replaces the prototypes of the request and the response. */
test.each(
  Object.entries(copies).flatMap(([name, create]) =>
    (['mounted', 'called'] as const).map((way) => [name, way, create] as const),
  ),
)('an application of %s of Express that is %s stores the session', async (_, way, create) => {
  const store = new Sessions({ cache: new Cache(memory(), { prefix: 'session:', ttl: '1h' }) })
  const [outer, inner] = [express(), create()]
  outer.use(session({ secret: 'test only', store }))
  inner.get('/', (request, response) => {
    const visits = request.session as unknown as { n?: number }
    visits.n = (visits.n ?? 0) + 1
    response.send(`${visits.n}`)
  })
  if (way === 'mounted') outer.use(inner)
  else outer.use((request, response) => (inner as unknown as Handler)(request, response))
  const get = await serve(outer)
  await get()
  expect(await get()).toBe('2')
  await expect.poll(async () => (await store.all())[0]?.session.n).toBe(2)
})

/** An application that calls one of another copy of Express below /inner, whose responses do not wait. */
async function serveCalled(handler: express.RequestHandler) {
  const clock = new ManualClock()
  const cache = new Cache(memory({ clock }), { prefix: 'session:', ttl: '1d', clock })
  const store = new Sessions({ cache, rotation: true })
  const [outer, inner] = [express(), copies['another copy']()]
  const errors: string[] = []
  outer.use(session({ secret: 'test only', store, rotateAfter: '10m' }))
  outer.get('/outer', handler)
  inner.get('*', handler)
  outer.use((request, response) => (inner as unknown as Handler)(request, response))
  outer.use(((error, _request, response, next) => {
    errors.push(error.message)
    if (!response.headersSent) next(error)
  }) as express.ErrorRequestHandler)
  return { get: await serve(outer), clock, store, errors }
}

test('a response that cannot wait does not give the session an id that the browser does not receive', async () => {
  const { get, clock, errors } = await serveCalled((request, response) => {
    const visit = request.session as unknown as { first?: string }
    visit.first ??= request.url
    response.send(visit.first)
  })
  await get('/outer')
  for (const path of ['/inner', '/inner', '/outer', '/inner']) {
    await clock.advance(600_000)
    expect(await get(path)).toBe('/outer')
  }
  expect(errors).toEqual([])
})

test('a response that cannot wait for regenerate causes an error that says so', async () => {
  const { get, store, errors } = await serveCalled((request, response) => {
    const { session } = request as unknown as { session: RequestSession }
    if (session.cart === undefined) session.cart = 'full'
    else if (request.url !== '/inner?wait') session.regenerate({ keep: ['cart'] })
    else {
      session.regenerate({ keep: ['cart'] }, () => response.send('done'))
      return
    }
    response.send('done')
  })
  const keys = async () => (await store.all()).map(({ key }) => key)
  await get('/outer')
  const [before] = await keys()
  await get('/inner?wait')
  // This response does not wait until the session is stored under its new id.
  await expect.poll(async () => (await keys()).filter((key) => key !== before).length).toBe(1)
  expect(errors).toEqual([])
  await get('/inner').catch(() => {})
  await expect.poll(() => errors).toEqual([expect.stringContaining('app.use(inner)')])
})
