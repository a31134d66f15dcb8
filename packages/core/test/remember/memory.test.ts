import { AsyncLocalStorage } from 'node:async_hooks'
import { Cache, compressed, json } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { expect, test } from 'vitest'
import { collectGarbage, expectCollected } from '../collected.ts'
import { gate, settle, twoProcesses } from './two-processes.ts'

test('no request is held in memory after its loads', async () => {
  const request = new AsyncLocalStorage<object>()
  const { a: cache, clock } = twoProcesses()
  const options = { ttl: '1m', staleWhileRevalidate: '1h', tags: ['t'] } as const
  const serve = async () => {
    const current = { body: Buffer.alloc(1_000) }
    await request.run(current, async () => {
      await cache.remember('k', options, async () => settle())
      await cache.remember('k', options, async () => ({ loaded: request.getStore() !== undefined }))
      await clock.advance(60_000)
      await cache.remember('k', options, async () => 'refreshed')
    })
    await settle()
    return new WeakRef(current)
  }
  const reference = await serve()
  await settle()
  await expectCollected(reference)
})

test('no request is held by the versions of tags that it has read', async () => {
  const request = new AsyncLocalStorage<object>()
  const { backend, clock } = twoProcesses()
  const cache = new Cache(
    wrapStore(backend, async (_, call) => call()),
    { clock },
  )
  const options = { ttl: '1m', tags: ['t'] } as const
  const serve = async () => {
    const current = { body: Buffer.alloc(1_000) }
    await request.run(current, () => cache.remember('k', options, () => 'loaded'))
    await settle()
    return new WeakRef(current)
  }
  await serve()
  const reference = await serve()
  await settle()
  await expectCollected(reference)
})

test('codecs that were used once leave nothing behind', async () => {
  const cache = new Cache(memory())
  const load = async () => {
    const codec = compressed(json())
    await cache.view({ codec }).remember('k', { ttl: '1h' }, async () => 'value')
    return new WeakRef(codec)
  }
  const references: WeakRef<object>[] = []
  for (let index = 0; index < 1_000; index++) references.push(await load())
  await settle()
  // What a collection in progress has marked already is kept by the first one.
  collectGarbage()
  collectGarbage()
  const kept = references.filter((reference) => reference.deref() !== undefined)
  expect(kept.length).toBeLessThan(100)
})

test('a write ends the loads of every codec, however many there are', async () => {
  const cache = new Cache(memory())
  const value = gate<string>()
  const views = Array.from({ length: 50 }, () => cache.view({ codec: compressed(json()) }))
  const loads = views.map((view, index) => view.remember(`k${index}`, {}, () => value.opened))
  for (const [index] of views.entries()) await cache.delete(`k${index}`)
  value.open('old')
  await Promise.all(loads)
  for (const [index] of views.entries()) expect(await cache.get(`k${index}`)).toBeUndefined()
})
