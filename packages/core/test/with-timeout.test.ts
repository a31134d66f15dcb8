import { Cache, CacheError, withTimeout, wrapStore } from '@stowage/core'
import { memory } from '@stowage/memory'
import { expect, test } from 'vitest'

const never = new Promise<never>(() => {})

test('a call that is not answered fails with its deadline', async () => {
  const mute = wrapStore(memory(), () => never)
  const store = withTimeout(mute, '20ms')
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

test('a scan that stops answering fails too, and can be left', async () => {
  const mute = wrapStore(memory(), (operation, call) => (operation === 'scan' ? never : call()))
  const cache = new Cache(withTimeout(mute, '20ms'), { prefix: 'p:' })
  await expect(cache.clear()).rejects.toMatchObject({
    code: 'ERR_CACHE_TIMEOUT',
    operation: 'scan',
  })
})

test('an answer in time passes unchanged, a synchronous one stays synchronous', async () => {
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
  'a deadline of %s is refused',
  (timeout) => {
    expect(() => withTimeout(memory(), timeout)).toThrow(/between 1 ms and 24 days|duration/)
  },
)

test('a failure in time passes unchanged', async () => {
  const broken = wrapStore(memory(), async () => {
    throw new CacheError('ERR_CACHE_REJECTED', 'no')
  })
  await expect(withTimeout(broken, '10s').get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_REJECTED',
  })
})
