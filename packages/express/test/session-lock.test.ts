import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Cache, type CacheStore } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { SessionStore } from '@stowage/express'
import { memory } from '@stowage/memory'
import { sessionLock } from '@stowage/sessions'
import express, { type NextFunction, type Request, type Response } from 'express'
import session from 'express-session'
import { afterEach, expect, test } from 'vitest'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type Account = { balance: number }
const accountOf = (request: Request) => request.session as unknown as Account

/** An account in a session of express-session. Payments wait until their function in `held` is called. */
async function serve(backend: CacheStore = memory()) {
  let reads = 0
  const store = wrapStore(backend, (operation, call, args) => {
    if (operation === 'get' && String(args[0]).startsWith('session:v1:')) reads++
    return call()
  })
  const sessions = new SessionStore({ cache: new Cache(store, { prefix: 'session:', ttl: '1d' }) })
  const held: (() => void)[] = []
  const app = express()
  const secret = 'test only'
  app.use(session({ secret, resave: false, saveUninitialized: false, store: sessions }))
  app.get('/begin', (request, response) => {
    accountOf(request).balance = 100
    response.end()
  })
  app.get('/balance', (request, response) => void response.json(accountOf(request).balance ?? null))
  app.use(sessionLock({ wait: '20s' }))
  app.get('/pay', async (request, response) => {
    await new Promise<void>((release) => held.push(release))
    accountOf(request).balance -= 50
    response.end()
  })
  app.get('/refund', (request, response) => {
    accountOf(request).balance += 50
    response.end()
  })
  app.use((_: unknown, __: Request, response: Response, ___: NextFunction) => {
    response.status(503).end()
  })
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const begun = await fetch(`${url}/begin`)
  const cookie = String(begun.headers.getSetCookie()[0]).split(';')[0] as string
  const get = (path: string) => fetch(url + path, { headers: { cookie } })
  /** Begins a refund while a payment holds the lock. */
  const queueRefund = async () => {
    const pay = get('/pay')
    await expect.poll(() => held.length).toBe(1)
    const before = reads
    const refund = get('/refund')
    await expect.poll(() => reads).toBeGreaterThan(before)
    return [pay, refund] as const
  }
  return { get, held, sessions, queueRefund }
}

test('a change back to what the request had read before it waited is stored', async () => {
  const { get, held, queueRefund } = await serve()
  const replies = await queueRefund()
  held[0]?.()
  await Promise.all(replies)
  expect(await (await get('/balance')).json()).toBe(100)
})

test('a request whose session ended while it waited begins a new one', async () => {
  const { held, sessions, queueRefund } = await serve()
  const [pay, refund] = await queueRefund()
  await sessions.sessions.clear()
  held[0]?.()
  await pay
  const reply = await refund
  expect(reply.status).toBe(200)
  expect(reply.headers.getSetCookie()).toHaveLength(1)
})

test('a request whose session cannot be read again fails, and keeps its session', async () => {
  let reads = Number.NEGATIVE_INFINITY
  const store = wrapStore(memory(), (operation, call, args) => {
    const isOfSession = operation === 'get' && String(args[0]).startsWith('session:v1:')
    if (isOfSession && ++reads === 2) throw new Error('The connection was lost.')
    return call()
  })
  const { get } = await serve(store)
  reads = 0
  const reply = await get('/refund')
  expect(reply.status).toBe(503)
  expect(reply.headers.getSetCookie()).toEqual([])
  expect(await (await get('/balance')).json()).toBe(100)
})
