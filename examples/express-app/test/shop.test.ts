import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type Caches, createCaches, type Role } from '@stowage/core'
import { eventually, Visitor } from '@stowage/example-shared/testing'
import { memory } from '@stowage/memory'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createApp } from '../dist/app.js'
import { Backends } from '../dist/backends.js'
import { Products } from '../dist/products.js'
import { Statistics } from '../dist/telemetry/statistics.js'
import { outcomeOf, startShop } from './shop.ts'

const iPhone =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1'

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
    statistics = new Statistics(caches)
    const app = createApp({
      caches,
      backends: new Backends(),
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

  it('creates no session for guests', async () => {
    const { headers } = await visitor.get('/')
    expect(headers.getSetCookie()).toEqual([])
    expect(headers.get('Content-Security-Policy')).toContain("default-src 'none'")
  })

  it('returns metrics to Prometheus, and its health to load balancers', async () => {
    await visitor.get('/')
    const metrics = await visitor.get('/metrics')
    expect(metrics.headers.get('Content-Type')).toMatch(/^text\/plain; version=0.0.4/)
    expect(metrics.text).toMatch(/^stowage_cache_requests_total{cache="cache".*result="miss"} 1$/m)
    const health = await visitor.get('/health')
    expect(health.status).toBe(200)
    expect(JSON.parse(health.text)).toMatchObject({ status: 'pass' })
  })

  it('draws the last minutes on the status page', async () => {
    expect((await visitor.get('/status')).text).toContain('No calls in the last 10 minutes.')
    await visitor.get('/')
    await visitor.get('/')
    const { text } = await visitor.get('/status')
    expect(text).toContain('aria-label="Hit ratio, 10 minutes ago to now: last minute 50%"')
    // At the right, where 600 is now.
    expect(text).toMatch(/chart-first" d="M(600|59\d(\.\d)?) 50/)
  })

  it('loads the list once for concurrent requests', async () => {
    const responses = await Promise.all([visitor.get('/'), visitor.get('/'), visitor.get('/')])
    expect(statistics.of('cache').loads).toBe(1)
    expect(responses.map(outcomeOf)).toContain('miss')
  })

  it('sends product pages from the cache, until the product is edited', async () => {
    await visitor.post('/sign-in', { name: 'Ada' })
    const statusOf = async () => (await visitor.get('/products/salt')).headers.get('Cache-Status')
    expect(await statusOf()).toBe('Stowage; fwd=uri-miss; stored')
    expect(await statusOf()).toMatch(/^Stowage; hit; ttl=3[56]\d\d$/)
    const { text } = await visitor.get('/status')
    expect(text).toMatch(/\/products\/salt<.*data-cache-status>Stowage; hit; ttl=/)
    await visitor.post('/products/salt/edit', { name: 'Rock salt', price: '4' })
    const page = await new Visitor(origin).get('/products/salt')
    expect(page.text).toContain('Rock salt')
    expect(page.text).not.toContain('Ada')
    expect(page.headers.get('Cache-Status')).toBe('Stowage; fwd=uri-miss; stored')
    expect((await visitor.get('/products/nothing')).status).toBe(404)
  })

  it('lists the other sessions of a user, and signs them out', async () => {
    const [phone, laptop, other] = [visitor, new Visitor(origin), new Visitor(origin)]
    await phone.post('/sign-in', { name: 'Ada' }, { 'User-Agent': iPhone })
    await laptop.post('/sign-in', { name: 'Ada' }, { 'User-Agent': 'a laptop' })
    await other.post('/sign-in', { name: 'Bob' }, { 'User-Agent': 'curl/8.0' })
    const { text } = await laptop.get('/account')
    expect(text).toContain('Safari on an iPhone')
    expect(text).toContain('On this computer')
    expect(text).not.toContain('curl')
    const key = /name="key" value="([^"]+)"/.exec(text)?.[1] ?? ''
    await other.post('/sessions/end', { key })
    expect((await phone.get('/account')).status).toBe(200)
    await laptop.post('/sessions/end', { key })
    expect((await phone.get('/account')).status).toBe(303)
    await phone.post('/sign-in', { name: 'Ada' })
    await laptop.post('/sessions/end-others')
    expect((await phone.get('/account')).status).toBe(303)
    expect((await laptop.get('/account')).status).toBe(200)
    expect((await other.get('/account')).status).toBe(200)
  })

  it('shows a message once', async () => {
    await visitor.post('/sign-in', { name: 'Ada' })
    expect((await visitor.get('/account')).text).toContain('Welcome, Ada.')
    expect((await visitor.get('/account')).text).not.toContain('Welcome, Ada.')
  })

  it('creates a new session ID on signing in, and ends the old session', async () => {
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

  it('saves a change even if the cache is unavailable', async () => {
    await visitor.post('/sign-in', { name: 'Ada' })
    await caches.use('cache').close()
    const response = await visitor.post('/products/salt/edit', { name: 'Salt', price: '1' })
    expect(response.headers.get('Location')).toBe('/?saved=salt&cache=failed')
  })

  it.each([
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-site' }, 403],
    [{ origin: 'https://elsewhere.example' }, 403],
    [{ origin: 'null' }, 403],
    [{ 'sec-fetch-site': 'same-origin' }, 303],
    [{}, 303],
  ])('responds to a form with the headers %j with %i', async (headers, status) => {
    const response = await visitor.post(
      '/sign-in',
      { name: 'Ada' },
      headers as Record<string, string>,
    )
    expect(response.status).toBe(status)
  })

  it.each(['//elsewhere.example', '/\\elsewhere.example', 'https://elsewhere.example', '/.//x'])(
    'does not redirect to %s',
    async (next) => {
      const response = await visitor.post('/sign-in', { name: 'Ada', next })
      expect(response.headers.get('Location')).toBe('/account')
    },
  )

  it.each([
    ['/nowhere', 404],
    ['/products/gold/edit', 404],
    ['/products/%E0/edit', 400],
  ])('responds to %s with a page and status %i', async (path, status) => {
    await visitor.post('/sign-in', { name: 'Ada' })
    const response = await visitor.get(path)
    expect(response.status).toBe(status)
    expect(response.text).toContain('Back to the products')
  })

  it('rejects a form that is too large', async () => {
    const response = await visitor.post('/sign-in', { name: 'A'.repeat(20_000) })
    expect(response.status).toBe(413)
  })
})

describe('shutdown', () => {
  it('finishes the running request and exits with 0', async () => {
    const app = startShop({ PRODUCTS_DELAY: '1500' })
    const url = await app.url()
    const running = fetch(url)
    await eventually(async () => {
      const { text } = await new Visitor(url).get('/metrics')
      return /^stowage_cache_loads_in_flight{cache="cache".*} 1$/m.test(text) ? true : undefined
    })
    app.signal('SIGTERM')
    const response = await running
    expect(response.status).toBe(200)
    expect(await response.text()).toContain('Manila rope')
    expect(await app.exitCode()).toBe(0)
    expect(app.stderr).toBe('')
  })
})
