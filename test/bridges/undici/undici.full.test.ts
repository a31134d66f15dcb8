import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { undiciCacheStore } from '@stowage/bridges/undici'
import { Cache, channels, type ErrorEvent } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Agent, type Dispatcher, interceptors, request } from 'undici'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { backends as processBackends } from '../../remember/processes/backends.mjs'
import { backends, recorded, unreachable } from '../backends.ts'

type Store = ReturnType<typeof undiciCacheStore>

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An origin whose responses say how many requests it has received. */
async function startOrigin(headers: Record<string, string> = {}, body = ''): Promise<string> {
  let count = 0
  return listen((_, response) => {
    response.writeHead(200, { 'cache-control': 'max-age=60', ...headers })
    response.end(`${++count}${body}`)
  })
}

function client(store: Store) {
  const dispatcher = new Agent().compose(interceptors.cache({ store }))
  onTestFinished(() => dispatcher.close())
  return async (url: string, options: Partial<Dispatcher.RequestOptions> = {}) => {
    const { body } = await request(url, { dispatcher, ...options } as never)
    return body.text()
  }
}

function errors(): ErrorEvent[] {
  const events: ErrorEvent[] = []
  const listener = (event: unknown) => void events.push(event as ErrorEvent)
  channels.error.subscribe(listener)
  onTestFinished(() => void channels.error.unsubscribe(listener))
  return events
}

describe.each(backends)('undici on $name', (backend) => {
  const createStore = backend.use()
  const createCache = () => new Cache(createStore(), { prefix: `u${crypto.randomUUID()}:` })

  test('a process uses the response that another one has stored', async () => {
    const cache = createCache()
    const [first, second] = [client(undiciCacheStore(cache)), client(undiciCacheStore(cache))]
    const url = await startOrigin()
    expect(await first(url)).toBe('1')
    // The next request of the process waits until the response is stored.
    expect(await first(url)).toBe('1')
    expect(await second(url)).toBe('1')
    expect(await second(`${url}/other`)).toBe('2')
  })

  test('a response is selected by the headers that it varies by, also absent ones', async () => {
    const get = client(undiciCacheStore(createCache()))
    const url = await startOrigin({ vary: 'accept-language, x-theme' })
    const languages = ['en', 'de', undefined, 'en', 'de', undefined]
    const bodies: string[] = []
    for (const language of languages) {
      const headers = language === undefined ? {} : { 'accept-language': language }
      bodies.push(await get(url, { headers }))
    }
    expect(bodies).toEqual(['1', '2', '3', '1', '2', '3'])
  })

  test('an unsafe request removes all responses of a URL', async () => {
    const store = undiciCacheStore(createCache())
    const get = client(store)
    const url = await startOrigin({ vary: 'accept-language' })
    const [en, de] = [{ 'accept-language': 'en' }, { 'accept-language': 'de' }]
    const before = [await get(url, { headers: en }), await get(url, { headers: de })]
    await get(url, { method: 'POST' })
    const after = [await get(url, { headers: en }), await get(url, { headers: de })]
    expect(before).toEqual(['1', '2'])
    expect(after).toEqual(['4', '5'])
  })
})

const key = { origin: 'http://127.0.0.1', method: 'GET', path: '/' }
const head = (lifetime = 60_000) => {
  const now = Date.now()
  const times = { cachedAt: now, staleAt: now + lifetime, deleteAt: now + lifetime }
  return { statusCode: 200, statusMessage: 'OK', headers: {}, cacheControlDirectives: {}, ...times }
}

/** Stores a response, and resolves when that is done or was given up. */
async function store(
  target: Store,
  body: string,
  value: Parameters<Store['createWriteStream']>[1] = head(),
): Promise<void> {
  const stream = target.createWriteStream(key, value)
  stream.end(Buffer.from(body))
  await once(stream, 'finish')
}

test('entries end when undici says, and the backend has neither paths nor entries without a ttl', async () => {
  const { store: backend, calls } = recorded()
  const target = undiciCacheStore(new Cache(backend))
  const stream = target.createWriteStream({ ...key, path: '/secret' }, head())
  stream.end(Buffer.from('page'))
  await once(stream, 'finish')
  const writes = calls.filter(([name]) => name === 'add' || name === 'set')
  expect(writes).toHaveLength(2)
  for (const [, args] of writes) {
    expect(String(args[0])).not.toContain('secret')
    expect(args.at(-1)).toBeGreaterThan(50_000)
    expect(args.at(-1)).toBeLessThanOrEqual(60_000)
  }
  await store(target, 'over', head(-1))
  expect(await target.get(key)).toBeUndefined()
})

test('a response that ends before its URL is deleted is not found after it', async () => {
  const target = undiciCacheStore(new Cache(memory()))
  await store(target, 'old')
  const stream = target.createWriteStream(key, head())
  stream.write(Buffer.from('older than the change'))
  await new Promise(setImmediate)
  await target.delete(key)
  stream.end()
  await once(stream, 'finish')
  expect(await target.get(key)).toBeUndefined()
  await store(target, 'new')
  expect(String((await target.get(key))?.body)).toBe('new')
})

test('an origin that varies by other headers each time does not make reads larger and larger', async () => {
  const { store: backend, calls } = recorded()
  const target = undiciCacheStore(new Cache(backend))
  for (let count = 0; count < 30; count++) {
    await store(target, `page ${count}`, { ...head(), vary: { [`x-${count}`]: null } })
  }
  calls.length = 0
  expect(String((await target.get(key))?.body)).toMatch(/^page/)
  const [, [keys]] = calls.find(([name]) => name === 'getMany') as [string, unknown[]]
  expect(keys).toHaveLength(20)
  expect(String((await target.get({ ...key, headers: { 'x-29': 'other' } }))?.body)).not.toBe(
    'page 29',
  )
})

test('a response that was interrupted is not stored', async () => {
  const target = undiciCacheStore(new Cache(memory()))
  const stream = target.createWriteStream(key, head())
  stream.write(Buffer.from('half'))
  stream.destroy()
  await once(stream, 'close')
  expect(await target.get(key)).toBeUndefined()
})

test('a response that is too large is not stored, and replaces an older one', async () => {
  const events = errors()
  const target = undiciCacheStore(new Cache(memory()), { maxBytes: 10 })
  await store(target, 'small')
  await store(target, 'larger than that')
  expect(await target.get(key)).toBeUndefined()
  expect(events).toMatchObject([{ error: { code: 'ERR_CACHE_LIMIT' }, isRejected: false }])
})

test('maxBytes is a number or a size with a unit, and nothing else', async () => {
  const target = undiciCacheStore(new Cache(memory()), { maxBytes: '1KiB' })
  await store(target, 'small')
  expect(String((await target.get(key))?.body)).toBe('small')
  await store(target, 'x'.repeat(1_025))
  expect(await target.get(key)).toBeUndefined()
  const maxBytes = 'small' as never
  expect(() => undiciCacheStore(new Cache(memory()), { maxBytes })).toThrow('maxBytes must be')
})

test('bytes of a body, and headers that are lists, are returned as they were', async () => {
  const target = undiciCacheStore(new Cache(memory()))
  const body = Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte))
  const headers = { 'set-cookie': ['a=1', 'b=2'] }
  const stream = target.createWriteStream(key, { ...head(), headers })
  for (const byte of body) stream.write(Buffer.from([byte]))
  stream.end()
  await once(stream, 'finish')
  const found = await target.get(key)
  expect(found?.body).toEqual(body)
  expect(found?.headers).toEqual(headers)
})

test('without a backend, requests are answered, and nothing is rejected', async () => {
  const events = errors()
  const get = client(undiciCacheStore(new Cache(unreachable())))
  const url = await startOrigin()
  expect([await get(url), await get(url), await get(url, { method: 'POST' })]).toEqual([
    ...['1', '2', '3'],
  ])
  await expect.poll(() => events.some(({ isRejected }) => isRejected === false)).toBe(true)
})

test('a naive store fails the request', async () => {
  const cache = new Cache(unreachable())
  const naive = Object.assign(undiciCacheStore(cache), { get: () => cache.get('url') }) as never
  await expect(client(naive)(await startOrigin())).rejects.toThrow('redis')
})

describe('http-cache-tests', () => {
  const program = fileURLToPath(new URL('run-suite.mjs', import.meta.url))
  const timeoutMs = 600_000
  /** The suite counts seconds, so that a busy machine may fail a test: what is wrong fails in each run. */
  const maxRuns = 10
  /** The ids of the required tests that have passed with the store of undici. */
  let required: string[] = []

  beforeAll(async () => {
    const { passed, failed } = await run()
    required = [...passed, ...(await run({ ids: failed })).passed]
    expect(required.length).toBeGreaterThan(100)
  }, timeoutMs)

  const names = ['memory', 'redis', 'memcached', 'dynamodb']
  test.each(Object.entries(processBackends).filter(([name]) => names.includes(name)))(
    'not one required test is worse on %s than with the store of undici',
    async (_name, start) => {
      const { driver, options, env, stop } = await start()
      onTestFinished(async () => void (await stop()))
      let worse = required
      for (let runs = 0; worse.length > 0 && runs < maxRuns; runs++) {
        const { passed } = await run({ driver, options, ids: worse }, env)
        worse = worse.filter((id) => !passed.includes(id))
      }
      expect(worse).toEqual([])
    },
    timeoutMs,
  )

  async function run(job = {}, more = {}): Promise<Record<'passed' | 'failed', string[]>> {
    const args = ['--no-warnings', program, JSON.stringify(job)]
    const env = { ...process.env, ...more }
    const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 1e8, env })
    return JSON.parse(stdout)
  }
})
