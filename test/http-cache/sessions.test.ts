import type { AddressInfo } from 'node:net'
import { Cache } from '@stowage/core'
import { cached, httpCacheChannels } from '@stowage/http-cache'
import { memory } from '@stowage/memory'
import { Sessions, session } from '@stowage/sessions'
import express, { type RequestHandler } from 'express'
import { expect, onTestFinished, test } from 'vitest'

test.each([false, true])(
  'a session in front of cached: responses go through the cache (rolling: %s)',
  async (rolling) => {
    const errors: unknown[] = []
    const onError = (event: unknown) => errors.push(event)
    httpCacheChannels.error.subscribe(onError)
    onTestFinished(() => void httpCacheChannels.error.unsubscribe(onError))
    const cache = new Cache(memory())
    const store = new Sessions({ cache: new Cache(memory()), idleTimeout: '1h' })
    const app = express()
    app.use(session({ secret: 'k'.repeat(32), store, rolling }) as RequestHandler)
    const route = (handler: RequestHandler) =>
      cached({ cache, public: true }, handler as never) as RequestHandler
    app.get('/login', (request, response) => {
      Object.assign(request.session, { user: 'alice' })
      response.send('welcome')
    })
    app.get(
      '/public',
      route((_request, response) => {
        response.set('Cache-Control', 'public, max-age=60').send('the same for all')
      }),
    )
    app.get(
      '/own',
      route((request, response) => void response.send(`${Object(request.session).user}`)),
    )
    const server = app.listen(0, '127.0.0.1')
    onTestFinished(() => {
      server.closeAllConnections()
      server.close()
    })
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    let cookie = ''
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { cookie } })
      const [set] = response.headers.getSetCookie()
      if (set !== undefined) cookie = set.split(';', 1)[0] as string
      const status = response.headers.get('cache-status')?.replace(/; ttl=.*/, '')
      if (path === '/public') {
        expect(response.headers.get('cache-control')).toContain('public')
        expect(set, 'a shared cache would send it to all').toBeUndefined()
      }
      return [response.status, await response.text(), status]
    }
    await get('/login')
    expect(await get('/public')).toEqual([200, 'the same for all', 'Stowage; fwd=uri-miss; stored'])
    expect(await get('/public')).toEqual([200, 'the same for all', 'Stowage; hit'])
    const read = 'Stowage; fwd=uri-miss; detail=read-request.session'
    expect(await get('/own')).toEqual([200, 'alice', read])
    expect(errors).toEqual([])
  },
)
