import type { Server } from 'node:http'
import { CacheError } from '@stowage/core'
import { closeServer, html, listen, urlOf } from '@stowage/example-shared'
import {
  createBaseApp,
  errorHandler,
  httpStatusOf,
  notFound,
} from '@stowage/example-shared/express'
import { type HttpResponse, Visitor } from '@stowage/example-shared/testing'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'

const host = '127.0.0.1'
const log = vi.spyOn(console, 'error').mockImplementation(() => {})
let server: Server
let visitor: Visitor

beforeAll(async () => {
  const app = createBaseApp(new URL('.', import.meta.url))
  app.get('/bug', () => {
    throw new RangeError('a bug')
  })
  app.get('/outage', () => {
    throw new CacheError('ERR_CACHE_UNAVAILABLE', 'no server', { key: 'session:secret' })
  })
  app.get('/late', (_req, res) => {
    res.write('half a page')
    throw new Error('too late')
  })
  const statusOf = (error: unknown) => (CacheError.is(error) ? 503 : httpStatusOf(error))
  const errorPages = errorHandler({
    statusOf,
    sendPage: (_error, _req, res) => res.send(html`<b>${res.statusCode}</b>`.toString()),
  })
  app.use(notFound, errorPages)
  server = await listen(app, { host, port: 0 })
  visitor = new Visitor(urlOf(server, host))
})

afterEach(() => log.mockClear())

afterAll(async () => {
  log.mockRestore()
  await closeServer(server, 1_000)
})

async function expectPage(path: string, status: number): Promise<HttpResponse> {
  const response = await visitor.get(path)
  expect([response.status, response.text]).toEqual([status, `<b>${status}</b>`])
  return response
}

test('sends a page for an unknown path, and logs nothing', async () => {
  const { headers } = await expectPage('/nowhere', 404)
  expect(headers.get('Content-Security-Policy')).toContain("default-src 'none'")
  expect(log).not.toHaveBeenCalled()
})

test('logs a bug as an error object, which prints its stack', async () => {
  await expectPage('/bug', 500)
  expect(log.mock.calls).toEqual([['GET /bug:', new RangeError('a bug')]])
})

test('logs a CacheError in one line without its key', async () => {
  await expectPage('/outage', 503)
  expect(log.mock.calls).toEqual([['GET /outage:', 'ERR_CACHE_UNAVAILABLE: no server']])
})

test('aborts a response that has already started', async () => {
  await expect(visitor.get('/late')).rejects.toThrow()
  expect(log).toHaveBeenCalledOnce()
})
