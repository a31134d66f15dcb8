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

/** Starts an application that counts the visits of each session. */
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
  app.get('/visits', (request, response) => void response.json(request.session.visits ?? 0))
  app.get('/logout', (request, response, next) => {
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

/** A client that keeps its cookie. */
function newClient() {
  let cookie = ''
  return async (url: string) => {
    const response = await fetch(url, { headers: { cookie } })
    cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie
    return { status: response.status, body: await response.json() }
  }
}

async function startRedisServer() {
  const server = await startRedis()
  cleanups.push(server.stop)
  return server
}

describe.each([
  ['memory', async () => memory()],
  ['memory with shared values', async () => memory({ values: 'shared' })],
  ['redis', async () => redis({ url: (await startRedisServer()).url, timeout: '20s' })],
] as const)('express-session on %s', (_, createStore) => {
  test('keeps the sessions of two clients apart, and destroys one', async () => {
    const { url, stop } = await serve(await createStore())
    cleanups.push(stop)
    const [ada, bob] = [newClient(), newClient()]
    expect((await ada(`${url}/visit`)).body).toBe(1)
    expect((await ada(`${url}/visit`)).body).toBe(2)
    expect((await bob(`${url}/visit`)).body).toBe(1)
    expect((await ada(`${url}/visits`)).body).toBe(2)
    expect((await ada(`${url}/logout`)).body).toBe('bye')
    expect((await ada(`${url}/visits`)).body).toBe(0)
    expect((await bob(`${url}/visits`)).body).toBe(1)
  })
})

test('sessions in Redis outlive the application, and requests recover after an outage', async () => {
  const server = await startRedisServer()
  const first = await serve(redis({ url: server.url, timeout: '20s' }))
  const ada = newClient()
  await ada(`${first.url}/visit`)
  await first.stop()

  const second = await serve(redis({ url: server.url, timeout: '20s' }))
  cleanups.push(second.stop)
  expect((await ada(`${second.url}/visit`)).body).toBe(2)

  await server.stop()
  expect((await ada(`${second.url}/visit`)).status).toBe(503)
  cleanups.push((await server.restart()).stop)
  const deadline = Date.now() + 20_000
  while ((await ada(`${second.url}/visits`)).status !== 200 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  expect(await ada(`${second.url}/visit`)).toEqual({ status: 200, body: 1 })
})
