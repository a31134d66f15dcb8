import type { IncomingMessage } from 'node:http'
import { responseCache } from '@stowage/http-cache'
import express from 'express'
import { expect, test } from 'vitest'
import { serve, setupCache } from './fixture.ts'

const secret = 'correct-horse-battery-staple'

test.each([
  ['varyBy Authorization', { varyBy: ['authorization'] }, { authorization: `Bearer ${secret}` }],
  ['varyBy Cookie', { varyBy: ['cookie'] }, { cookie: `sid=${secret}` }],
  [
    'varyBy a cookie',
    { varyBy: ['cookie:sid'], ignoreReads: ['cookie'] },
    { cookie: `sid=${secret}` },
  ],
  ['Vary: Cookie', { public: true, vary: 'Cookie' }, { cookie: `sid=${secret}` }],
  ['Vary: X-Api-Key', { public: true, vary: 'X-Api-Key' }, { 'x-api-key': secret }],
] as const)(
  'keys do not contain credentials: %s',
  async (_, { vary, ...options }: Case, headers) => {
    const { cache, backend } = setupCache()
    const app = express()
    app.use(responseCache({ cache, showKey: true, ...options }))
    app.get('/p', (request: IncomingMessage, response) => {
      if (vary !== undefined) response.vary(vary)
      response.send(`${Object.keys(headers).map((name) => request.headers[name])}`)
    })
    const { get } = await serve(app)
    const shown = [(await get('/p', headers)).cache, (await get('/p', headers)).cache]
    expect(shown[1]).toContain('hit')
    const other = Object.fromEntries(Object.keys(headers).map((name) => [name, 'sid=other']))
    expect((await get('/p', other)).body).toBe('sid=other')
    const keys: unknown[] = []
    for await (const page of backend.scan?.('') ?? []) keys.push(page)
    expect(keys.length).toBeGreaterThan(0)
    expect(JSON.stringify([shown, keys])).not.toContain(secret)
  },
)

interface Case {
  readonly varyBy?: readonly string[]
  readonly ignoreReads?: readonly string[]
  readonly public?: boolean
  readonly vary?: string
}

test('half of a surrogate pair in varyBy differs from any other text', async () => {
  const { cache } = setupCache()
  const handle = responseCache({
    cache,
    varyBy: ({ headers }) => JSON.parse(headers['x-name'] as string) as string,
  })
  const { get } = await serve((request, response) => {
    handle(request, response, () => response.end(request.headers['x-name']))
  })
  const half = '"\\ud800"'
  const names = [half, '"\\ud801"', '"\\ufffd"', JSON.stringify(half), JSON.stringify(`?${half}`)]
  for (const name of names) expect((await get('/p', { 'x-name': name })).body).toBe(name)
  expect((await get('/p', { 'x-name': half })).cache).toContain('hit')
})

test('what a quoted string contains is part of the key as it is', async () => {
  const { cache } = setupCache()
  const app = express()
  app.use(responseCache({ cache, varyBy: ['x-list', 'accept-language'] }))
  app.get('/p', ({ headers }, response) => {
    response.send(`${headers['x-list']} ${headers['accept-language']}`)
  })
  const { get } = await serve(app)
  for (const list of ['"a , b"', '"a,b"', '"a, b"', 'a,"b ; c"', 'a,"b;c"', 'a , b']) {
    for (const language of ['de;x="A"', 'de;x="a"', 'DE']) {
      const { body } = await get('/p', { 'x-list': list, 'accept-language': language })
      expect(body).toBe(`${list} ${language}`)
    }
  }
  const same = await get('/p', { 'x-list': 'a,b', 'accept-language': 'de' })
  expect(same.cache).toBe('hit; ttl=60')
})
