import { Cache, CacheError, withTimeout } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { expect, test } from 'vitest'

const pending = new Promise<never>(() => {})

test('a call without a reply rejects after the timeout', async () => {
  const hanging = wrapStore(memory(), () => pending)
  const store = withTimeout(hanging, '20ms')
  for (const call of [
    () => store.get('secret'),
    () => store.set('secret', 'v'),
    () => store.ping(),
  ]) {
    const error = await Promise.resolve(call()).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'ERR_CACHE_TIMEOUT', retryable: true, store: 'memory' })
    expect(CacheError.is(error)).toBe(true)
  }
})

test('a scan that hangs rejects after the timeout', async () => {
  const hanging = wrapStore(memory(), (operation, call) =>
    operation === 'scan' ? pending : call(),
  )
  const cache = new Cache(withTimeout(hanging, '20ms'), { prefix: 'p:' })
  await expect(cache.clear()).rejects.toMatchObject({
    code: 'ERR_CACHE_TIMEOUT',
    operation: 'scan',
  })
})

test('a result before the timeout is returned unchanged, a synchronous one synchronously', async () => {
  const store = withTimeout(memory(), '10s')
  expect(store.set('k', 'v')).toBeUndefined()
  expect(store.get('k')).toBe('v')
  const slow = withTimeout(
    wrapStore(memory(), async (_, call) => call()),
    '10s',
  )
  await slow.set('k', 'v')
  expect(await slow.get('k')).toBe('v')
})

test.each([0, -1, Infinity, '30d', Number.NaN] as const)(
  'a timeout of %s is rejected',
  (timeout) => {
    expect(() => withTimeout(memory(), timeout)).toThrow(/between 1 ms and 24 days|duration/)
  },
)

test('a failure before the timeout is passed on unchanged', async () => {
  const failing = wrapStore(memory(), async () => {
    throw new CacheError('ERR_CACHE_REJECTED', 'rejected')
  })
  await expect(withTimeout(failing, '10s').get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_REJECTED',
  })
})
