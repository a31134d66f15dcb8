import { AsyncLocalStorage } from 'node:async_hooks'
import {
  Cache,
  type CacheStore,
  type CallEvent,
  channels,
  tracing,
  withBatching,
} from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { areRequestsTraced, traceRequest } from '@stowage/core/internal'
import { carryCallers } from '@stowage/core/tools'
import { memory } from '@stowage/memory'
import { referenceStore } from '@stowage/testing'
import { expect, test } from 'vitest'
import { tracedDuring } from './published.ts'

/** A store whose calls are requests, and batched. */
function remoteStore(): CacheStore {
  const requests = wrapStore(referenceStore() as CacheStore, async (operation, call, args) => {
    const send = async () => call()
    if (!areRequestsTraced()) return send() as never
    const [first] = args
    const keyCount = Array.isArray(first) ? first.length : 1
    const request = { store: 'remote', operation, keyCount, attempt: 1, server: 'localhost:1' }
    return traceRequest({ ...request, isInstrumented: false }, send) as never
  })
  return withBatching(requests)
}

/** The keys of the calls that each request serves. */
async function callersDuring(work: () => unknown) {
  const requests = await tracedDuring('store', async () => void (await tracedDuring('cache', work)))
  return requests.map(({ operation, callers }) => [
    operation,
    callers.map((call) => `${call.operation} ${call.keys.join()}`),
  ])
}

test('a batch names every call that waits for it', async () => {
  const cache = new Cache(remoteStore())
  const keys = ['a', 'b', 'c']
  expect(await callersDuring(() => Promise.all(keys.map((key) => cache.get(key))))).toEqual([
    ['getMany', ['get a', 'get b', 'get c']],
  ])
  expect(await callersDuring(() => Promise.all(keys.map((key) => cache.set(key, 1))))).toEqual([
    ['setMany', ['set a', 'set b', 'set c']],
  ])
  const equal = () => Promise.all([cache.get('a'), cache.get('a'), cache.getMany(['a', 'b'])])
  expect(await callersDuring(equal)).toEqual([['getMany', ['get a', 'get a', 'getMany a,b']]])
})

test('a request of one call names that one', async () => {
  const cache = new Cache(remoteStore())
  expect(await callersDuring(() => cache.get('a'))).toEqual([['get', ['get a']]])
  expect(await callersDuring(() => cache.delete('a'))).toEqual([['delete', ['delete a']]])
  const flushed = () => Promise.all([cache.get('a'), cache.get('b'), cache.increment('a')])
  expect(await callersDuring(flushed)).toEqual([
    ['getMany', ['get a', 'get b']],
    ['increment', ['increment a']],
  ])
})

test('callers are carried in the context of a tracer', async () => {
  const storage = new AsyncLocalStorage<readonly CallEvent[]>()
  const stop = carryCallers({
    current: () => storage.getStore(),
    run: (callers, work) => storage.run(callers, work),
  })
  const carried: string[] = []
  const store = wrapStore(remoteStore(), (_operation, call) => {
    carried.push((storage.getStore() ?? []).map(({ keys }) => keys.join()).join())
    return call()
  })
  const cache = new Cache(store)
  const read = () => callersDuring(() => Promise.all([cache.get('a'), cache.get('b')]))
  const named = [['getMany', ['get a', 'get b']]]
  expect(await read()).toEqual(named)
  stop()
  stop()
  expect(await read()).toEqual(named)
  expect(carried).toEqual(['a', 'b', '', ''])
})

test('the read of tags names every call that needs them', async () => {
  const cache = new Cache(remoteStore())
  for (const key of ['a', 'b']) await cache.set(key, 1, { tags: ['t'] })
  const requests = await callersDuring(() => Promise.all([cache.get('a'), cache.get('b')]))
  for (const [, callers] of requests) expect(callers).toEqual(['get a', 'get b'])
})

test('callers are not known without subscribers to the start of requests', async () => {
  const cache = new Cache(remoteStore())
  const events: { readonly callers: readonly unknown[] }[] = []
  const listener = (event: unknown) => void events.push(event as never)
  tracing.store.asyncEnd.subscribe(listener)
  try {
    await tracedDuring('cache', () => cache.get('a'))
  } finally {
    tracing.store.asyncEnd.unsubscribe(listener)
  }
  expect(events).toMatchObject([{ callers: [] }])
})

test('a call that a subscriber does not sample is not named', async () => {
  const cache = new Cache(remoteStore())
  const skip = (event: unknown) => {
    const call = event as CallEvent
    call.isSampled = call.keys[0] !== 'b'
  }
  tracing.cache.start.subscribe(skip)
  try {
    const requests = await callersDuring(() => Promise.all(['a', 'b'].map((key) => cache.get(key))))
    expect(requests).toEqual([['getMany', ['get a']]])
  } finally {
    tracing.cache.start.unsubscribe(skip)
  }
})

test('a sampled call that is made within another one is named', async () => {
  const inner = new Cache(remoteStore())
  const outer = new Cache(memory())
  await outer.set('k', 1)
  const skip = (event: unknown) => {
    const call = event as CallEvent
    call.isSampled = call.operation === 'getMany'
  }
  const reads: Promise<unknown>[] = []
  const read = () => void reads.push(inner.getMany(['a']))
  tracing.cache.start.subscribe(skip)
  channels.hit.subscribe(read)
  try {
    const requests = await callersDuring(async () => {
      await outer.get('k')
      await Promise.all(reads)
    })
    expect(requests).toEqual([['getMany', ['getMany a']]])
  } finally {
    tracing.cache.start.unsubscribe(skip)
    channels.hit.unsubscribe(read)
  }
})

test('a failed request is published with its error', async () => {
  const request = { store: 'remote', operation: 'get', keyCount: 1, attempt: 2, server: undefined }
  const error = new Error('refused')
  const events = await tracedDuring('store', () =>
    traceRequest({ ...request, isInstrumented: true }, () => Promise.reject(error)).catch(() => {}),
  )
  expect(events).toMatchObject([{ ...request, error }])
})
