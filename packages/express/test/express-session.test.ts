import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Cache, CacheError, type CacheStore } from '@stowage/core'
import { SessionStore } from '@stowage/express'
import { memory } from '@stowage/memory'
import { redis } from '@stowage/redis'
import { startRedis } from '@stowage/test-servers'
import express, { type NextFunction, type Request, type Response } from 'express'
import session from 'express-session'
import { afterEach, describe, expect, test } from 'vitest'

declare module 'express-session' {
  interface SessionData {
    visits?: number
  }
}

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** An application that counts visits, and its address. */
async function serve(store: CacheStore): Promise<{ url: string; stop: () => Promise<void> }> {
  const cache = new Cache(store, { prefix: 'session:' })
  const app = express()
  app.use(
    session({
      secret: 'test only',
      resave: false,
      saveUninitialized: false,
      cookie: { maxAge: 60_000 },
      store: new SessionStore({ cache }),
    }),
  )
  app.get('/visit', (request, response) => {
    request.session.visits = (request.session.visits ?? 0) + 1
    response.json(request.session.visits)
  })
  app.get('/look', (request, response) => void response.json(request.session.visits ?? 0))
  app.get('/leave', (request, response, next) => {
    request.session.destroy((error) => (error ? next(error) : response.json('bye')))
  })
  app.use((error: unknown, _: Request, response: Response, _next: NextFunction) => {
    response.status(CacheError.is(error) ? 503 : 500).json('unavailable')
  })
  const server: Server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await cache.close()
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop }
}

/** A browser, as far as cookies go. */
function visitor() {
  let cookie = ''
  return async (url: string) => {
    const response = await fetch(url, { headers: { cookie } })
    cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie
    return { status: response.status, body: await response.json() }
  }
}

async function redisServer() {
  const server = await startRedis()
  cleanups.push(server.stop)
  return server
}

describe.each([
  ['memory', async () => memory()],
  ['memory by reference', async () => memory({ values: 'shared' })],
  ['redis', async () => redis({ url: (await redisServer()).url })],
] as const)('express-session on %s', (_, makeStore) => {
  test('keeps each visitor’s session, and ends it', async () => {
    const { url, stop } = await serve(await makeStore())
    cleanups.push(stop)
    const [ada, bob] = [visitor(), visitor()]
    expect((await ada(`${url}/visit`)).body).toBe(1)
    expect((await ada(`${url}/visit`)).body).toBe(2)
    expect((await bob(`${url}/visit`)).body).toBe(1)
    expect((await ada(`${url}/look`)).body).toBe(2)
    expect((await ada(`${url}/leave`)).body).toBe('bye')
    expect((await ada(`${url}/look`)).body).toBe(0)
    expect((await bob(`${url}/look`)).body).toBe(1)
  })
})

test('sessions in Redis survive the application, and an outage is a 503 that ends by itself', async () => {
  const server = await redisServer()
  const first = await serve(redis({ url: server.url }))
  const ada = visitor()
  await ada(`${first.url}/visit`)
  await first.stop()

  const second = await serve(redis({ url: server.url }))
  cleanups.push(second.stop)
  expect((await ada(`${second.url}/visit`)).body).toBe(2)

  await server.stop()
  expect((await ada(`${second.url}/visit`)).status).toBe(503)
  cleanups.push((await server.restart()).stop)
  const deadline = Date.now() + 20_000
  while ((await ada(`${second.url}/look`)).status !== 200 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  expect(await ada(`${second.url}/visit`)).toEqual({ status: 200, body: 1 })
})
