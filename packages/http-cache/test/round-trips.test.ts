import { Cache, type CacheStore } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { type ResponseCacheOptions, responseCache } from '@stowage/http-cache'
import { memory } from '@stowage/memory'
import express, { type Express } from 'express'
import { expect, test } from 'vitest'
import { serve } from './fixture.ts'

/** A store whose calls of one turn are one round trip, as with drivers that batch them. */
function setup() {
  const state = { roundTrips: 0, keys: [] as string[] }
  let turn: Promise<void> | undefined
  const store = wrapStore(memory(), async (_operation, call, args) => {
    state.keys.push(String((args as unknown[])[0]))
    turn ??= new Promise((resolve) => {
      state.roundTrips++
      setTimeout(() => {
        turn = undefined
        resolve()
      }, 2)
    })
    await turn
    return call() as never
  })
  // Not a memory of this process, as far as the cache knows.
  Object.defineProperties(store, { name: { value: 'remote' }, processLocal: { value: false } })
  const open = () => new Cache(store as CacheStore, { prefix: 'p:' })
  return { state, open }
}

async function measure(
  options: Partial<ResponseCacheOptions>,
  addRoute: (app: Express) => void,
  headers: Record<string, string> = {},
) {
  const { state, open } = setup()
  const apps = [express(), express()]
  for (const app of apps) {
    app.use(responseCache({ cache: open(), ttl: '1h', ...options }))
    addRoute(app)
  }
  const [one, two] = await Promise.all(apps.map((app) => serve(app)))
  // One host for both.
  const host = { host: 'shop.example', ...headers }
  const count = async (server: typeof one) => {
    state.roundTrips = 0
    await server?.get('/p', host)
    return state.roundTrips
  }
  const miss = await count(one)
  await settled(state)
  await two?.get('/p', host) // the clock of the backend is read once per minute
  return { miss, first: await count(two), hit: await count(two) }
}

const small = 'x'.repeat(1_000)
const large = 'x'.repeat(100_000)
const send = (text: string, vary?: string) => (app: Express) =>
  void app.get('/p', (_request, response) => {
    if (vary !== undefined) response.vary(vary)
    response.cache?.tags('late')
    response.type('text').send(text)
  })

test.each([
  ['a small body', {}, send(small), {}],
  ['a small body with tags', { tags: ['a', 'b'] }, send(small), {}],
  ['declared variation', { varyBy: ['accept-language'] }, send(small), { 'accept-language': 'de' }],
  ['a response with Vary', {}, send(small, 'Accept-Language'), { 'accept-language': 'de' }],
  ['a large body', {}, send(large), {}],
  ['an encoded body', {}, send(large), { 'accept-encoding': 'gzip' }],
  ['everything', { tags: ['a'] }, send(large, 'Accept-Language'), { 'accept-encoding': 'br' }],
] as const)('a hit of %s costs one round trip', async (_, options, addRoute, headers) => {
  const { hit } = await measure(options, addRoute, headers)
  expect(hit).toBe(1)
})

/** Waits until the cache is idle. */
async function settled(state: { readonly roundTrips: number }) {
  for (let before = -1; before !== state.roundTrips; ) {
    before = state.roundTrips
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** Measures the second miss of a process, which knows the tags: how many round trips before the handler, and in all. */
async function measureMiss(options: Partial<ResponseCacheOptions>, vary?: string) {
  const { state, open } = setup()
  const app = express()
  app.use(responseCache({ cache: open(), ttl: '1h', ...options }))
  let before = 0
  let answered = 0
  app.get('/:page', (_request, response) => {
    before = state.roundTrips
    // Not when the client has it, which depends on the machine.
    response.once('finish', () => {
      answered = state.roundTrips
    })
    if (vary !== undefined) response.vary(vary)
    response.send(small)
  })
  const { get } = await serve(app)
  await get('/one')
  await settled(state)
  state.roundTrips = 0
  await get('/two')
  await settled(state)
  return { before, answered, all: state.roundTrips }
}

test.each([
  ['without tags', {}],
  ['with tags', { tags: ['a', 'b'] }],
  ['with declared variation', { varyBy: ['accept-language'] }],
] as const)(
  'a miss %s costs three round trips, the rendering, and one after the answer has begun',
  async (_, options) => {
    // The lookup; the read of remember, with the versions of the tags; the lease; the response, with the versions again.
    const { before, all } = await measureMiss(options)
    expect({ before, all }).toEqual({ before: 3, all: 4 })
  },
)

test('a response with Vary is sent before its variant and the record of the variation are stored', async () => {
  const { before, answered, all } = await measureMiss({}, 'Accept-Language')
  expect(before).toBe(3)
  expect(answered).toBeLessThanOrEqual(4)
  expect(all).toBe(6)
})
