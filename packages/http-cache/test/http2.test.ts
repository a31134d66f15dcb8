import { once } from 'node:events'
import { connect, createServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { responseCache, toOptimizedResult } from '@stowage/http-cache'
import { expect, onTestFinished, test } from 'vitest'
import { type Listener, serve, setupCache } from './fixture.ts'

/** Starts a server of HTTP/2. Returns a function that sends a request. */
async function serveHttp2(listener: Listener) {
  const server = createServer((request, response) => {
    listener(request as never, response as never)
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  onTestFinished(() => client.close())
  return async (headers: Record<string, string>) => {
    const stream = client.request(headers)
    stream.end()
    const [reply] = (await once(stream, 'response')) as [Record<string, unknown>]
    return { reply, body: Buffer.concat(await stream.toArray()).toString() }
  }
}

test('an unsafe request over HTTP/2 invalidates what clients of HTTP/1.1 receive', async () => {
  const { cache } = setupCache()
  const handle = responseCache({ cache })
  let version = 1
  const listener: Listener = (request, response) =>
    handle(request, response, () => {
      if (request.url === '/form') response.setHeader('Location', '/p')
      response.end(`${version}`)
    })
  const { get } = await serve(listener)
  const send = await serveHttp2(listener)
  for (const path of ['/p', '/form']) {
    await get('/p', { host: 'h.test' })
    version++
    await send({ ':method': 'POST', ':path': path, ':authority': 'h.test' })
    expect((await get('/p', { host: 'h.test' })).body, path).toBe(`${version}`)
  }
  version++
  const invalidate = await serveHttp2(async (request, response) => {
    await handle.invalidate('/p', request)
    response.end()
  })
  await invalidate({ ':path': '/other', ':authority': 'h.test' })
  expect((await get('/p', { host: 'h.test' })).body).toBe(`${version}`)
})

test('toOptimizedResult answers requests of HTTP/2', async () => {
  const { cache } = setupCache()
  let loads = 0
  const send = await serveHttp2((request, response) =>
    toOptimizedResult(request, response, { cache, key: 'result' }, () => ({ loads: ++loads })),
  )
  for (const outcome of ['Stowage; fwd=uri-miss; stored', 'Stowage; hit; ttl=60']) {
    const { reply, body } = await send({ ':path': '/' })
    expect([body, reply['cache-status']]).toEqual(['{"loads":1}', outcome])
  }
  const { reply, body } = await send({ ':path': '/', 'if-none-match': '*' })
  expect([body, reply[':status']]).toEqual(['', 304])
})
