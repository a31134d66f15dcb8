import { Cache, CacheError, encrypted, json, type LoadContext } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { ManualClock, referenceStore } from '@stowage/testing'
import { expect, test } from 'vitest'
import { eventsDuring } from './events.ts'
import { gate, settle, twoProcesses } from './two-processes.ts'

interface Page {
  readonly body: string
}

function page(body: unknown = 'body') {
  return (context: LoadContext<Page>): Page => ({ body: context.addPart('body', body) })
}

test('a part exists for a minute longer than its value and the stale window', async () => {
  const { a, clock } = twoProcesses()
  const { body } = await a.remember('k', { ttl: '1h', staleIfError: '1h' }, page())
  await clock.advance(2 * 3_600_000 + 59_999)
  expect(await a.get(body)).toBe('body')
  await clock.advance(1)
  expect(await a.get(body)).toBeUndefined()
})

test('the part of a value that never expires never expires', async () => {
  const { a, clock } = twoProcesses()
  const { body } = await a.remember('k', {}, page())
  await clock.advance(1e12)
  expect(await a.get(body)).toBe('body')
})

test('the ttl that the loader sets is that of the part as well', async () => {
  const { a, clock } = twoProcesses()
  const { body } = await a.remember('k', { ttl: '1h' }, (context: LoadContext<Page>) => {
    const loaded = page()(context)
    context.setTtl('1s')
    return loaded
  })
  await clock.advance(61_000)
  expect(await a.get(body)).toBeUndefined()
})

test('a part is stored before its value', async () => {
  const { a, writes } = twoProcesses()
  await a.remember('k', { ttl: '1h' }, page())
  expect(writes).toEqual(['add', 'set', 'compareAndSet'])
})

test('a part lies in the namespace of its value', async () => {
  const { a } = twoProcesses({ prefix: 'app:' })
  const pages = a.namespace('pages')
  const { body } = await pages.remember('k', {}, page())
  expect(await a.get(body)).toBeUndefined()
  expect(await pages.get(body)).toBe('body')
  const keys = []
  for await (const key of pages.keys()) keys.push(key)
  expect(new Set(keys)).toEqual(new Set(['k', body]))
  await pages.clear()
  expect(await pages.get(body)).toBeUndefined()
})

test('keys that are shortened for the backend have parts', async () => {
  const store = referenceStore({ limits: { keyBytes: 100 } })
  const cache = new Cache(store, { prefix: 'app:' })
  for (const name of ['~k', 'k'.repeat(300), `${'k'.repeat(300)}2`, 'ä'.repeat(60)]) {
    const { body } = await cache.remember(name, {}, page(name))
    expect(await cache.get(body)).toBe(name)
  }
})

test('the codec of the cache encodes parts, with their own key', async () => {
  const codec = encrypted(json(), { keys: [`k1:${Buffer.alloc(32).toString('base64')}`] })
  const store = referenceStore()
  const cache = new Cache(store, { codec })
  const bytes = Buffer.from([0, 1, 2, 255])
  const { body } = await cache.remember('k', {}, page(bytes))
  expect(await cache.get(body)).toEqual(bytes)
  expect(String(await store.get(body))).not.toContain(String(bytes))
})

test('memory stores parts as well', async () => {
  const clock = new ManualClock()
  for (const store of [memory({ clock }), memory({ clock, values: 'shared' })]) {
    const cache = new Cache(store, { clock })
    const { body } = await cache.remember('k', { ttl: '1h' }, page({ a: 1 }))
    expect(await cache.get(body)).toEqual({ a: 1 })
  }
})

test('without a lease, parts are stored as well', async () => {
  const { a, b } = twoProcesses()
  const { body } = await a.remember('k', { lease: false }, page())
  expect(await b.get(body)).toBe('body')
})

test('a refresh in the background stores parts of its own', async () => {
  const { a, b, clock } = twoProcesses()
  const options = { ttl: '1m', staleWhileRevalidate: '1h' } as const
  const old = await a.remember('k', options, page('old'))
  await clock.advance(60_000)
  expect(await a.remember('k', options, page('new'))).toEqual(old)
  await settle()
  const fresh = await b.get<Page>('k')
  expect(await b.getMany([old.body, fresh?.body ?? ''])).toEqual(['old', 'new'])
})

test('a value that is not modified again and again keeps its part', async () => {
  const { a, b, clock } = twoProcesses()
  const options = { ttl: '1h', staleIfError: '1d' } as const
  const { body } = await a.remember('k', options, page())
  for (const cache of [b, a, b]) {
    await clock.advance(20 * 3_600_000)
    await cache.remember('k', options, (context: LoadContext<Page>) => context.notModified())
  }
  expect(await a.get(body)).toBe('body')
  await clock.advance(25 * 3_600_000 + 60_000)
  expect(await a.get(body)).toBeUndefined()
})

test('an expired value keeps its part', async () => {
  const { a, b } = twoProcesses()
  const options = { ttl: '1h', staleIfError: '1d' } as const
  const { body } = await a.remember('k', options, page())
  await b.expire('k')
  await b.remember('k', options, (context: LoadContext<Page>) => context.notModified())
  expect(await a.get<Page>('k')).toEqual({ body })
  expect(await a.get(body)).toBe('body')
})

test('a value is not stored if the write of its part fails', async () => {
  const backend = referenceStore()
  const broken = new Cache(
    wrapStore(backend, (operation, call) => {
      if (operation !== 'set') return call()
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { store: 'x', operation })
    }),
  )
  const other = new Cache(wrapStore(backend, (_, call) => call()))
  const errors = await eventsDuring('stowage:error', async () => {
    expect(await broken.remember('k', {}, page())).toMatchObject({ body: expect.any(String) })
  })
  expect(errors).toMatchObject([{ error: { code: 'ERR_CACHE_UNAVAILABLE' } }])
  expect(await other.get('k')).toBeUndefined()
  expect(await other.remember('k', {}, page('other'))).toMatchObject({ body: expect.any(String) })
})

test('a stale value stays if the part of the next one cannot be stored', async () => {
  const { a, backend, clock } = twoProcesses()
  const options = { ttl: '1m', staleIfError: '1h' } as const
  const old = await a.remember('k', options, page('old'))
  await clock.advance(60_000)
  const broken = new Cache(
    wrapStore(backend, (operation, call) => {
      if (operation !== 'set') return call()
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { store: 'x', operation })
    }),
    { clock },
  )
  await broken.remember('k', options, page('new'))
  const fail = () => {
    throw new Error('database down')
  }
  expect(await a.remember<Page>('k', options, fail)).toEqual(old)
})

test('a value that is skipped or undefined stores no parts', async () => {
  const { a, writes } = twoProcesses()
  await a.remember('k', {}, (context: LoadContext<Page>) => {
    context.skip()
    return page()(context)
  })
  await a.remember('other', {}, (context: LoadContext) => {
    context.addPart('body', 'x')
    return undefined
  })
  expect(writes).not.toContain('set')
})

test('callers that wait for a load find the part, also if the key is deleted meanwhile', async () => {
  const { a, b } = twoProcesses()
  const loaded = gate<string>()
  const load = async (context: LoadContext<Page>) => page(await loaded.opened)(context)
  const calls = [a, a].map((cache) => cache.remember('k', {}, load))
  await settle()
  await b.delete('k')
  loaded.open('body')
  for (const { body } of await Promise.all(calls)) expect(await b.get(body)).toBe('body')
  expect(await b.get('k')).toBeUndefined()
})

test('undefined is rejected', async () => {
  const { a } = twoProcesses()
  const load = (context: LoadContext) => context.addPart('body', undefined)
  await expect(a.remember('k', {}, load)).rejects.toThrow(TypeError)
  await expect(a.remember('k', {}, page(null))).resolves.toBeDefined()
})

test('a part that the codec cannot encode prevents that its value is stored', async () => {
  const { a, b } = twoProcesses()
  const errors = await eventsDuring('stowage:error', () => a.remember('k', {}, page(1n)))
  expect(errors).toMatchObject([{ error: { code: 'ERR_CACHE_CODEC' } }])
  expect(await b.get('k')).toBeUndefined()
})
