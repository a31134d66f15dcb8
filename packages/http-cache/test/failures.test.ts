import { type HttpCacheErrorEvent, httpCacheChannels, toOptimizedResult } from '@stowage/http-cache'
import express, { type ErrorRequestHandler, type RequestHandler } from 'express'
import { describe, expect, onTestFinished, test } from 'vitest'
import { serve, setupCache } from './fixture.ts'
import { forms } from './forms.ts'

const invalid = '10 minits' as '10m'

const sendError: ErrorRequestHandler = (error, _request, response, _next) => {
  response.status(500).send(error.message)
}

/** A server for one route, whose errors are sent. */
async function serveRoute(...handlers: RequestHandler[]) {
  const app = express()
  app.get('/p', ...handlers)
  app.use(sendError)
  return serve(app)
}

/** The errors that the cache reports. */
function collectErrors(): unknown[] {
  const errors: unknown[] = []
  const onError = (event: unknown) => void errors.push((event as HttpCacheErrorEvent).error)
  httpCacheChannels.error.subscribe(onError)
  onTestFinished(() => void httpCacheChannels.error.unsubscribe(onError))
  return errors
}

describe.each(Object.entries(forms))('%s', (_, form) => {
  test('throws for an invalid ttl where the handler requests it', async () => {
    const { cache } = setupCache()
    const handler: RequestHandler = (request, response) => {
      response.cache?.ttl(request.query.ttl as '1m')
      response.send('page')
    }
    const { get } = await serveRoute(...form({ cache, waitTimeout: '1h' }, handler))
    const { status, body } = await get('/p?ttl=soon')
    expect([status, body]).toEqual([500, expect.stringContaining('Not a duration: soon')])
    expect((await get('/p?ttl=5m')).cache).toBe('fwd=uri-miss; stored')
  })

  test('sends the response of the handler, and reports the error, if it cannot be stored', async () => {
    const { cache, clock } = setupCache()
    const errors = collectErrors()
    const failure = new Error('no time')
    let fails = false
    const now = clock.now.bind(clock)
    clock.now = () => {
      if (fails) throw failure
      return now()
    }
    const handler: RequestHandler = (_request, response) => {
      response.send('page')
      fails = true
      setImmediate(() => {
        fails = false
      })
    }
    const { get } = await serveRoute(...form({ cache, waitTimeout: '1h' }, handler))
    const { status, body, cache: cacheStatus } = await get('/p')
    expect([status, body, cacheStatus]).toEqual([200, 'page', 'fwd=uri-miss; detail=store-failure'])
    expect(errors).toContain(failure)
  })

  test('does not leave a response unanswered that Node cannot send', async () => {
    const { cache } = setupCache()
    let isInvalid = true
    const handler: RequestHandler = (_request, response) => {
      if (isInvalid) response.statusMessage = 'two\nlines'
      response.end('page')
    }
    const { get, port } = await serveRoute(...form({ cache, waitTimeout: '1h' }, handler))
    const first = await fetch(`http://127.0.0.1:${port}/p`).catch(() => undefined)
    expect(first?.status ?? 500).toBe(500)
    isInvalid = false
    expect((await get('/p')).body).toBe('page')
  })
})

test('toOptimizedResult rejects for an invalid ttl', async () => {
  const { cache } = setupCache()
  const { get } = await serveRoute((request, response, next) => {
    const options = { cache, key: 'k', ttl: invalid }
    toOptimizedResult(request, response, options, () => ({ a: 1 })).catch(next)
  })
  const { status, body } = await get('/p')
  expect([status, body]).toEqual([500, expect.stringContaining('Not a duration: 10 minits')])
})
