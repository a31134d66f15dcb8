import { Cache } from '@stowage/core'
import { cached, responseCache } from '@stowage/http-cache'
import { memory } from '@stowage/memory'
import { redis } from '@stowage/redis'
import express from 'express'
import { Redis } from 'ioredis'
import { withLoad } from './with-load.mjs'

const options = { ttl: '1h', encodings: false }
const pages = 1_000
const bytes = 10_240
const bodies = Array.from({ length: pages }, (_, index) => {
  const text = JSON.stringify({ index, text: '' })
  return Buffer.from(JSON.stringify({ index, text: 'x'.repeat(bytes - text.length) }))
})
/** The headers that a hit has. */
const headers = {
  'Content-Type': 'application/json; charset=utf-8',
  ETag: '"qzIJ4asTY6B4lncNXEVaHDFRaIx"',
  'Cache-Control': 'no-cache',
  Date: new Date().toUTCString(),
  'Cache-Status': 'Stowage; hit; ttl=3599',
  Age: '1',
}

/** An Express route that sends what is prepared. */
export function prepared() {
  const app = createApp()
  app.get('/page/:index', (request, response) => {
    send(response, bodies[request.params.index])
  })
  return withLoad(app)
}

export async function handWrittenRedis({ url }) {
  const client = new Redis(url)
  await Promise.all(bodies.map((body, index) => client.set(`page:${index}`, body)))
  const app = createApp()
  app.get('/page/:index', async (request, response) => {
    send(response, await client.getBuffer(`page:${request.params.index}`))
  })
  return withLoad(app, () => client.quit())
}

export const stowageMemory = () => stowage(memory())
export const stowageRedis = ({ url }) => stowage(redis({ url }))
export const stowageNear = ({ url }) =>
  stowage(redis({ url }), { near: { maxBytes: 64 * 1024 * 1024, ttl: options.ttl } })

async function stowage(store, more) {
  const cache = new Cache(store, { prefix: 'pages:', ...more })
  const app = createApp()
  app.get('/page/:index', responseCache({ cache, ...options }), render)
  return filled(await withLoad(app, () => cache.close()))
}

export async function stowageCached() {
  const cache = new Cache(memory(), { prefix: 'pages:' })
  const app = createApp()
  app.get('/page/:index', cached({ cache, ...options }, render))
  return filled(await withLoad(app, () => cache.close()))
}

/** Requests each page twice, so that only hits are measured: the second request fills the near cache. */
async function filled(contestant) {
  for (let requested = 0; requested < 2 * pages; ) {
    const durations = await contestant.load.send({ path: '/page', connections: 1, ms: 200 })
    requested += durations.length
  }
  return contestant
}

/** The strongest other cache that keeps private responses apart. It has no middleware for Express, so this is one. */
export async function ocache() {
  const { defineCachedHandler } = await import('ocache')
  const handler = defineCachedHandler(
    ({ url }) => new Response(bodies[url.pathname.split('/').at(-1)], { headers }),
    { maxAge: 3_600, swr: false },
  )
  const app = createApp()
  app.get('/page/:index', async (request, response) => {
    const url = new URL(request.originalUrl, 'http://localhost')
    const result = await handler({ req: new Request(url), url })
    const body = Buffer.from(await result.arrayBuffer())
    response.setHeaders(result.headers).setHeader('Content-Length', body.byteLength)
    response.end(body)
  })
  return filled(await withLoad(app))
}

function render(request, response) {
  response.set({ 'Content-Type': headers['Content-Type'], ETag: headers.ETag })
  response.end(bodies[request.params.index])
}

function send(response, body) {
  for (const name in headers) response.setHeader(name, headers[name])
  response.setHeader('Content-Length', body.byteLength)
  response.end(body)
}

function createApp() {
  const app = express().disable('x-powered-by').disable('etag')
  app.get('/login/{*rest}', (_request, response) => void response.send('ok'))
  app.get('/login', (_request, response) => void response.send('ok'))
  return app
}
