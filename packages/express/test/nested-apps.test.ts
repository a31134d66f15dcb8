import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Sessions, session } from '@stowage/sessions'
import express from 'express'
import express4 from 'express-4'
import { afterEach, expect, test } from 'vitest'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type Handler = (request: IncomingMessage, response: ServerResponse) => void
const copies = { 'the same copy': express, 'another copy': express4 as typeof express }

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
  const server = createServer(outer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const first = await fetch(url)
  const cookie = String(first.headers.getSetCookie()[0]).split(';')[0] as string
  expect(await (await fetch(url, { headers: { cookie } })).text()).toBe('2')
  await expect.poll(async () => (await store.all())[0]?.session.n).toBe(2)
})
