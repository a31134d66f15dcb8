import 'reflect-metadata'
import { CACHE_MANAGER, CacheInterceptor, CacheModule } from '@nestjs/cache-manager'
import { Controller, type ExecutionContext, Get, Module, UseInterceptors } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { keyv6Store } from '@stowage/bridges/keyv'
import { nestStore } from '@stowage/bridges/nest'
import { Cache, CacheError, channels, type ErrorEvent } from '@stowage/core'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { type Cache as CacheManager, createCache } from 'cache-manager'
import { Keyv as Keyv6 } from 'keyv-6'
import { describe, expect, onTestFinished, test } from 'vitest'
import { backends, recorded, unreachable } from './backends.ts'

/** The type of cache-manager asks for the class of Keyv. */
const managerOf = (store: unknown, options = {}) =>
  createCache({ stores: [store as never], ...options })

describe.each(backends)('cache-manager on $name', (backend) => {
  const createStore = backend.use()
  const create = (options = {}) => {
    const cache = new Cache(createStore(), { prefix: `nest${crypto.randomUUID()}:`, ttl: '1h' })
    return { cache, manager: managerOf(nestStore(cache), options) }
  }

  test('stores, reads and deletes values', async () => {
    const { manager } = create()
    const value = { name: 'Ada', tags: ['a'], none: null }
    await manager.set('a', value)
    await manager.mset([
      { key: 'b', value: 2, ttl: 60_000 },
      { key: 'c', value: null },
    ])
    expect(await manager.mget(['a', 'b', 'c', 'missing'])).toEqual([value, 2, null, undefined])
    expect(await manager.get('a')).toEqual(value)
    await manager.del('a')
    await manager.mdel(['b'])
    expect(await manager.mget(['a', 'b', 'c'])).toEqual([undefined, undefined, null])
    await manager.clear()
    expect(await manager.get('c')).toBeUndefined()
  })

  test('wrap calls its function once', async () => {
    const { manager } = create()
    let calls = 0
    const load = async () => ({ value: ++calls })
    expect(await manager.wrap('k', load, 60_000)).toEqual({ value: 1 })
    expect(await manager.wrap('k', load, 60_000)).toEqual({ value: 1 })
  })

  test('refreshes a value before it expires', async () => {
    const { manager } = create({ refreshThreshold: 60_000 })
    let calls = 0
    const load = async () => ++calls
    expect(await manager.wrap('k', load, 30_000)).toBe(1)
    expect(await manager.wrap('k', load, 30_000)).toBe(1)
    await expect.poll(() => manager.get('k')).toBe(2)
  })
})

test('ttl tells when a value expires', async () => {
  const clock = new ManualClock()
  const manager = managerOf(nestStore(new Cache(memory({ clock }), { clock, ttl: '1h' })))
  await manager.set('default', 1)
  await manager.wrap('own', async () => 1, 60_000)
  const expiries = [await manager.ttl('default'), await manager.ttl('own')]
  expect(expiries.map((each) => (each ?? 0) - clock.now())).toEqual([3_600_000, 60_000])
})

test('a Keyv 6 in its place calls the function of wrap every time', async () => {
  const manager = managerOf(new Keyv6({ store: keyv6Store(new Cache(memory())) }))
  let calls = 0
  for (let call = 0; call < 2; call++) await manager.wrap('k', async () => ++calls, 60_000)
  expect(calls).toBe(2)
})

test('a ttl of 0 is over, and Infinity has no end', async () => {
  const { store, calls } = recorded()
  const manager = managerOf(nestStore(new Cache(store, { ttl: '1h' })))
  await manager.set('k', 1, Number.POSITIVE_INFINITY)
  expect(calls.find(([name]) => name === 'set')?.[1].at(-1)).toBeUndefined()
  expect([await manager.get('k'), await manager.ttl('k')]).toEqual([1, undefined])
  await manager.set('k', 2, 0)
  expect(await manager.get('k')).toBeUndefined()
})

test('an unreachable backend is a miss and an event, and writes reject', async () => {
  const errors: ErrorEvent[] = []
  const listener = (event: unknown) => errors.push(event as ErrorEvent)
  channels.error.subscribe(listener)
  onTestFinished(() => void channels.error.unsubscribe(listener))
  const store = nestStore(new Cache(unreachable(), { name: 'products' }))
  expect([await store.get('k'), await store.getMany(['k', 'l'])]).toEqual([
    undefined,
    [undefined, undefined],
  ])
  expect(errors.map(({ cache, key }) => [cache, key])).toEqual(Array(2).fill(['products', 'k']))
  const manager = managerOf(store)
  expect(await manager.wrap('k', async () => 1).catch(CacheError.is)).toBe(true)
  for (const write of [manager.set('k', 1), manager.del('k'), manager.clear()]) {
    await expect(write).rejects.toSatisfy(CacheError.is)
  }
})

/** Caches only answers to requests that no user can be recognised by. */
class SharedPages extends CacheInterceptor {
  protected override isRequestCacheable(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest()
    const isAnonymous = headers.cookie === undefined && headers.authorization === undefined
    return isAnonymous && super.isRequestCacheable(context)
  }
}

describe('an application of Nest', () => {
  async function start(Interceptor: typeof CacheInterceptor) {
    const cache = new Cache(memory(), { ttl: '1m' })
    let calls = 0
    class Pages {
      hello(request: { headers: { cookie?: string } }) {
        calls++
        return { user: request.headers.cookie ?? 'nobody' }
      }
    }
    const descriptor = Object.getOwnPropertyDescriptor(Pages.prototype, 'hello') as never
    Controller()(Pages)
    Get('hello')(Pages.prototype, 'hello', descriptor)
    UseInterceptors(Interceptor)(Pages.prototype, 'hello', descriptor)
    const { Req } = await import('@nestjs/common')
    Req()(Pages.prototype, 'hello', 0)
    class App {}
    const stores = [nestStore(cache)]
    Module({
      imports: [CacheModule.register({ stores, isGlobal: true })],
      controllers: [Pages],
    })(App)
    const app = await NestFactory.create(App, { logger: false })
    await app.listen(0, '127.0.0.1')
    onTestFinished(() => app.close())
    const url = await app.getUrl()
    const get = async (cookie?: string) => {
      const headers = cookie === undefined ? {} : { cookie }
      const response = await fetch(`${url}/hello`, { headers })
      const { user } = (await response.json()) as { user: string }
      return [user, response.headers.get('x-cache')]
    }
    const manager = app.get<CacheManager>(CACHE_MANAGER)
    return { app, cache, get, manager, stores, calls: () => calls }
  }

  test('caches responses, and does not close the cache when it is closed', async () => {
    const { app, cache, get, manager, stores, calls } = await start(CacheInterceptor)
    // Nest puts a Keyv, and its codec, around what it does not know.
    expect(manager.stores[0]).toBe(stores[0])
    expect([await get(), await get()]).toEqual([
      ['nobody', 'MISS'],
      ['nobody', 'HIT'],
    ])
    expect(calls()).toBe(1)
    expect(await manager.get('/hello')).toEqual({ user: 'nobody' })
    await manager.clear()
    expect((await get())[1]).toBe('MISS')
    await app.close()
    await cache.ping()
  })

  test('sends the page of one user to another, unless the interceptor excludes them', async () => {
    const naive = await start(CacheInterceptor)
    await naive.get('ada')
    expect((await naive.get('grace'))[0]).toBe('ada')
    const safe = await start(SharedPages)
    expect([await safe.get('ada'), await safe.get('grace')].map(([user]) => user)).toEqual([
      'ada',
      'grace',
    ])
    await safe.get()
    expect(await safe.get()).toEqual(['nobody', 'HIT'])
  })
})
