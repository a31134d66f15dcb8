import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type Caches, createCaches, type Role } from '@stowage/core'
import { memory } from '@stowage/memory'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createApp } from '../dist/app.js'
import { MemcachedNodes } from '../dist/nodes.js'
import { Products } from '../dist/products.js'
import { Statistics } from '../dist/statistics.js'
import { AppProcess } from './app-process.ts'
import { eventually } from './eventually.ts'
import { outcomeOf, Visitor } from './visitor.ts'

describe('the shop', () => {
  let caches: Caches<Role>
  let statistics: Statistics
  let server: Server
  let visitor: Visitor
  let origin: string

  beforeEach(async () => {
    caches = createCaches<Role>({
      default: 'cache',
      stores: { cache: () => memory(), session: () => memory() },
    })
    statistics = new Statistics()
    const app = createApp({
      caches,
      nodes: new MemcachedNodes(),
      statistics,
      products: new Products(5),
      sessionSecret: 'only-for-this-test',
    })
    server = createServer(app).listen(0, '127.0.0.1')
    await once(server, 'listening')
    origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`
    visitor = new Visitor(origin)
  })

  afterEach(async () => {
    statistics.close()
    server.close()
    server.closeAllConnections()
    await caches.close()
  })

  it('gives guests no session', async () => {
    const { headers } = await visitor.get('/')
    expect(headers.getSetCookie()).toEqual([])
    expect(headers.get('Content-Security-Policy')).toContain("default-src 'none'")
  })

  it('shares one load among those who ask at once', async () => {
    const answers = await Promise.all([visitor.get('/'), visitor.get('/'), visitor.get('/')])
    expect(statistics.of('cache').loads).toBe(1)
    expect(answers.map(outcomeOf)).toContain('miss')
  })

  it('gives a new session id at every sign-in, and ends the old session', async () => {
    await visitor.post('/sign-in', { name: 'Ada' })
    const first = visitor.cookie
    await visitor.post('/sign-in', { name: 'Grace' })
    expect(visitor.cookie).not.toBe(first)
    const old = await fetch(`${origin}/account`, {
      headers: { cookie: first ?? '' },
      redirect: 'manual',
    })
    expect(old.status).toBe(303)
  })

  it('saves a change even when the cache cannot be told', async () => {
    await visitor.post('/sign-in', { name: 'Ada' })
    await caches.use('cache').close()
    const answer = await visitor.post('/products/salt/edit', { name: 'Salt', price: '1' })
    expect(answer.headers.get('Location')).toBe('/?saved=salt&cached=kept')
  })

  it.each([
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-site' }, 403],
    [{ origin: 'https://elsewhere.example' }, 403],
    [{ origin: 'null' }, 403],
    [{ 'sec-fetch-site': 'same-origin' }, 303],
    [{}, 303],
  ])('takes a change that comes with %j as %i', async (headers, status) => {
    const answer = await visitor.post(
      '/sign-in',
      { name: 'Ada' },
      headers as Record<string, string>,
    )
    expect(answer.status).toBe(status)
  })

  it.each(['//elsewhere.example', '/\\elsewhere.example', 'https://elsewhere.example', '/.//x'])(
    'does not lead away to %s',
    async (next) => {
      const answer = await visitor.post('/sign-in', { name: 'Ada', next })
      expect(answer.headers.get('Location')).toBe('/account')
    },
  )

  it.each([
    ['/nowhere', 404],
    ['/products/gold/edit', 404],
    ['/products/%E0/edit', 400],
  ])('answers %s with a page of status %i', async (path, status) => {
    await visitor.post('/sign-in', { name: 'Ada' })
    const answer = await visitor.get(path)
    expect(answer.status).toBe(status)
    expect(answer.text).toContain('Back to the products')
  })

  it('refuses a form that is too large', async () => {
    const answer = await visitor.post('/sign-in', { name: 'A'.repeat(20_000) })
    expect(answer.status).toBe(413)
  })
})

describe('stopping', () => {
  it('finishes the running request, and ends with 0', async () => {
    const app = new AppProcess({ PRODUCTS_DELAY: '1500' })
    const url = await app.url()
    const running = fetch(url)
    // The process counts the miss as soon as the request is in the loader.
    await eventually(async () => {
      const { text } = await new Visitor(url).get('/status')
      return /data-count="misses">1</.test(text) ? true : undefined
    })
    app.signal('SIGTERM')
    const answer = await running
    expect(answer.status).toBe(200)
    expect(await answer.text()).toContain('Manila rope')
    expect(await app.exitCode()).toBe(0)
    expect(app.stderr).toBe('')
  })
})
