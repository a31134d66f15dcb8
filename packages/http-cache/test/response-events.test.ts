import { type HttpResponseEvent, httpCacheChannels } from '@stowage/http-cache'
import express, { type RequestHandler } from 'express'
import { describe, expect, onTestFinished, test } from 'vitest'
import { serve, setupCache } from './fixture.ts'
import { forms } from './forms.ts'

/** How the requests of this test were answered. */
function collectOutcomes(): string[] {
  const outcomes: string[] = []
  const listener = (event: unknown) => {
    const { cache, outcome, isStored } = event as HttpResponseEvent
    expect(cache).toBe('memory')
    outcomes.push(isStored ? `${outcome}, stored` : outcome)
  }
  httpCacheChannels.response.subscribe(listener)
  onTestFinished(() => void httpCacheChannels.response.unsubscribe(listener))
  return outcomes
}

describe.each(Object.entries(forms))('%s', (_, form) => {
  async function start(handler: RequestHandler, options = {}) {
    const setup = setupCache()
    const app = express()
    app.all('/p', ...form({ cache: setup.cache, ttl: '1m', ...options }, handler))
    return { ...setup, ...(await serve(app)), outcomes: collectOutcomes() }
  }

  test('each request is one event', async () => {
    const { get, outcomes } = await start((_request, response) => void response.send('x'), {
      requestDirectives: true,
    })
    await get('/p')
    const { headers } = await get('/p')
    await get('/p', { 'if-none-match': headers.get('etag') as string })
    await get('/p', {}, 'HEAD')
    await get('/p', {}, 'POST')
    await get('/p', { authorization: 'Basic x' })
    await get('/p?other=1', { 'cache-control': 'only-if-cached' })
    expect(outcomes).toEqual([
      'miss, stored',
      ...['hit', 'hit', 'hit'],
      ...['uncached', 'uncached', 'uncached'],
    ])
  })

  test('a stale response is one', async () => {
    const { get, outcomes, clock } = await start((_request, response) => void response.send('x'), {
      staleWhileRevalidate: '1m',
    })
    await get('/p')
    await get('/p')
    await clock.advance(90_000)
    await get('/p')
    expect(outcomes.slice(0, 2)).toEqual(['miss, stored', 'hit'])
    expect(outcomes[2]).toMatch(/^(stale|refresh)/)
    expect(outcomes).toHaveLength(3)
  })

  test('responses that are not stored, and failures, are events as well', async () => {
    let status = 200
    const { get, outcomes } = await start((_request, response) => {
      response.status(status).set('Cache-Control', 'private').send('x')
    })
    await get('/p')
    status = 500
    await get('/p')
    expect(outcomes).toEqual(['miss', 'miss'])
  })

  test('requests that share a response are events each', async () => {
    const setup = setupCache()
    const app = express()
    let arrived = 0
    let onArrived = () => {}
    const allArrived = new Promise<void>((resolve) => {
      onArrived = resolve
    })
    app.use((_request, _response, next) => {
      next()
      if (++arrived === 3) onArrived()
    })
    const handler: RequestHandler = async (_request, response) => {
      await allArrived
      response.send('x')
    }
    app.get('/p', ...form({ cache: setup.cache, ttl: '1m' }, handler))
    const { get } = await serve(app)
    const outcomes = collectOutcomes()
    await Promise.all([get('/p'), get('/p'), get('/p')])
    // The last one may read the key when the response is stored already.
    const others = outcomes.filter((each) => each !== 'miss, stored')
    expect(others).toHaveLength(2)
    for (const each of others) expect(['shared', 'hit']).toContain(each)
    expect(outcomes).toHaveLength(3)
  })
})
