import { Cache } from '@stowage/core'
import { cached, responseCache } from '@stowage/http-cache'
import { redis } from '@stowage/redis'
import { Stalls, startProxy, startRedis } from '@stowage/test-servers'
import express, { type RequestHandler } from 'express'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serve } from '../../packages/http-cache/test/fixture.ts'

let server: Awaited<ReturnType<typeof startRedis>>
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

/** How much longer than its deadline a request may take on a slow machine, in milliseconds. */
const slackMs = 1_500
const timeout = 300

const forms = {
  middleware: (options: Parameters<typeof responseCache>[0], handler: RequestHandler) => [
    responseCache(options),
    handler,
  ],
  cached: (options: Parameters<typeof responseCache>[0], handler: RequestHandler) => [
    cached(options, handler as never),
  ],
}

describe.each(Object.keys(forms) as (keyof typeof forms)[])('%s', (form) => {
  test.each(['frozen', 'killed'])(
    'a store that is %s: responses are complete, and in time',
    async (how) => {
      const proxy = await startProxy(server.port)
      const cache = new Cache(redis({ url: proxy.url }), { prefix: `${form}-${how}:` })
      const app = express()
      let calls = 0
      const handler: RequestHandler = (_request, response) => void response.send(`call ${++calls}`)
      app.get('/p', ...(forms[form]({ cache, timeout, ttl: '1h' }, handler) as RequestHandler[]))
      app.post(
        '/p',
        responseCache({ cache, timeout }),
        (_request, response) => void response.send('done'),
      )
      const { get } = await serve(app)
      // A request does not wait longer than its deadline for the connection, and for the reply of a busy machine.
      await expect.poll(async () => (await get('/p')).cache).toMatch(/^hit/)
      expect((await get('/p')).body).toMatch(/^call \d+$/)
      if (how === 'frozen') proxy.mute(true)
      else await proxy.stop()
      const stalls = new Stalls()
      const replies = await Promise.all(Array.from({ length: 20 }, () => get('/p')))
      expect(stalls.runningMs).toBeLessThan(timeout + slackMs)
      for (const { status, body, cache: outcome } of replies) {
        expect([status, body.slice(0, 5), outcome]).toEqual([
          200,
          'call ',
          'fwd=uri-miss; detail=store-failure',
        ])
      }
      expect((await get('/p')).body).toMatch(/^call/)
      const changed = await get('/p', {}, 'POST')
      expect([changed.status, changed.body]).toEqual([200, 'done'])
      stalls.stop()
      expect(stalls.runningMs).toBeLessThan(4 * timeout + slackMs)
      if (how === 'frozen') {
        proxy.mute(false)
        await proxy.stop()
      }
      await cache.close().catch(() => {})
    },
  )
})
