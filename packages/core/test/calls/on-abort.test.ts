import { once } from 'node:events'
import { Cache } from '@stowage/core'
import { withDeadline } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { afterEach, expect, test, vi } from 'vitest'

afterEach(() => void vi.restoreAllMocks())

const stopped = new Error('stopped')
const hang = () => new Promise<never>(() => {})

/** Begins twenty waits with one signal. */
const waits: Record<string, (cache: Cache, signal: AbortSignal) => Promise<unknown>[]> = {
  'remember of one key': (cache, signal) => repeat(() => cache.remember('k', { signal }, hang)),
  'remember of several keys': (cache, signal) =>
    repeat((index) => cache.remember(`k${index}`, { signal }, hang)),
  rememberMany: (cache, signal) => {
    const keys = Array.from({ length: 20 }, (_, index) => `k${index}`)
    return [cache.rememberMany(keys, { signal }, hang)]
  },
  'waits for a lock': (cache, signal) =>
    repeat(() => cache.lock('held').run(hang, { wait: '1m', signal })),
  'work with a lock': (cache, signal) =>
    repeat((index) =>
      cache
        .lock(`own ${index}`)
        .run(({ signal: lost }) => once(lost, 'abort').then(() => Promise.reject(lost.reason)), {
          signal,
        }),
    ),
  'waits for a slot': (cache, signal) =>
    repeat(() => cache.concurrency('held', { limit: 1 }).run(hang, { wait: '1m', signal })),
  withDeadline: (_cache, signal) => repeat(() => withDeadline(60_000, hang, { signal })),
}

function repeat<T>(call: (index: number) => T): T[] {
  return Array.from({ length: 20 }, (_, index) => call(index))
}

test.each(Object.entries(waits))('one signal may end twenty waits: %s', async (_, begin) => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const cache = new Cache(referenceStore({ async: true }))
  await cache.lock('held', { ttl: '1m' }).acquire()
  const slot = cache.concurrency('held', { limit: 1 }).run(() => released)
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const controller = new AbortController()
  const outcomes = Promise.allSettled(begin(cache, controller.signal))
  await new Promise((resolve) => setTimeout(resolve, 20))
  controller.abort(stopped)
  for (const outcome of await outcomes) {
    expect(outcome).toEqual({ status: 'rejected', reason: stopped })
  }
  expect(warn).not.toHaveBeenCalled()
  release()
  await slot
})

test('a signal has no listener after the waits have ended', async () => {
  const cache = new Cache(referenceStore({ async: true }))
  const { signal } = new AbortController()
  const add = vi.spyOn(signal, 'addEventListener')
  const remove = vi.spyOn(signal, 'removeEventListener')
  for (let round = 1; round <= 2; round++) {
    await Promise.all(repeat((index) => cache.remember(`${round} ${index}`, { signal }, () => 'v')))
    expect(add).toHaveBeenCalledTimes(round)
    expect(remove).toHaveBeenCalledTimes(round)
  }
})
