import {
  Cache,
  type CacheOptions,
  createCaches,
  encrypted,
  json,
  type RememberOptions,
} from '@stowage/core'
import { checkChoice, checkInteger, checkOptionNames } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

const code = 'ERR_CACHE_CONFIG'

test('checkChoice returns one of the choices, and otherwise throws an error that lists them', () => {
  expect(checkChoice('mystore: colour', 'red', ['red', 'green'])).toBe('red')
  for (const value of ['blue', '', undefined, true]) {
    expect(() => checkChoice('mystore: colour', value as string, ['red', 'green'])).toThrow(
      expect.objectContaining({
        code,
        message: `mystore: colour must be one of red, green, not ${value}.`,
      }),
    )
  }
})

test('checkInteger returns an integer in the range, and otherwise throws an error with the range', () => {
  expect(checkInteger('mystore: size', 1, 1)).toBe(1)
  expect(checkInteger('mystore: size', 9, 1, 9)).toBe(9)
  for (const value of [0, -1, 1.5, Number.NaN, Infinity, 2 ** 53, undefined]) {
    expect(() => checkInteger('mystore: size', value as number, 1)).toThrow(
      expect.objectContaining({
        code,
        message: `mystore: size must be a whole number of at least 1, not ${value}.`,
      }),
    )
  }
  expect(() => checkInteger('mystore: size', 10, 1, 9)).toThrow(
    /a whole number from 1 to 9, not 10/,
  )
  expect(() => checkInteger('mystore: size', '5' as never, 1)).toThrow("not '5'")
})

test('an unknown option is a TypeError that names the most similar one', () => {
  interface Options {
    readonly timeout?: number
  }
  const check = (options: object) => () =>
    checkOptionNames<Options>('mystore', options, { timeout: true })
  expect(check({ timeout: 1 })).not.toThrow()
  expect(check({ timeuot: 1 })).toThrow(
    new TypeError('mystore: unknown option timeuot. Did you mean timeout?'),
  )
  expect(check({ colour: 1 })).toThrow(
    new TypeError('mystore: unknown option colour. Known options: timeout.'),
  )
  expect(check({ prefix: 'app:' })).toThrow(
    "mystore: unknown option prefix. It is an option of the cache: new Cache(store, { prefix: 'app:' }).",
  )
  const checkUrl = () => checkOptionNames('mystore', { ttl: 60 } as object, { url: true } as object)
  expect(checkUrl, 'two of three letters').toThrow('unknown option ttl. Known options: url.')
  const example = 'mystore({ timeout: 1 })'
  const checkWith = (options: unknown) => () =>
    checkOptionNames<Options>('mystore', options as Options, { timeout: true }, example)
  expect(checkWith({ colour: 1 })).toThrow(`Write ${example}. Known options: timeout.`)
  expect(checkWith('1s')).toThrow(`must be an object, such as ${example}, not a string.`)
  expect(() => new Cache(memory(), { prefx: 'a:' } as CacheOptions)).toThrow(/Did you mean prefix/)
})

test('a prefix that is too long is named in the error, also on a store that cannot list its keys', () => {
  for (const scan of [true, false]) {
    const store = referenceStore({ scan, limits: { keyBytes: 60 } })
    const prefix = 'a prefix that leaves no room:'
    expect(() => new Cache(store, { prefix })).toThrow(
      /"a prefix that leaves no room:" is too long/,
    )
  }
})

describe('an option that is undefined', () => {
  const key = `a:${Buffer.alloc(32, 1).toString('base64')}`

  test('does not replace the codec or the ttl of the cache of a view or a namespace', async () => {
    const store = memory()
    const cache = new Cache(store, { ttl: '1m', codec: encrypted(json(), { keys: [key] }) })
    const view = cache.view({ ttl: '10s', codec: undefined })
    await view.set('token', 'secret')
    expect(String(store.get('token'))).not.toContain('secret')
    expect(await cache.get('token')).toBe('secret')
    expect(view.ttl).toBe(10_000)
    expect(cache.view({ ttl: undefined }).ttl).toBe(60_000)
    expect(cache.view({ ttl: null }).ttl).toBeUndefined()
    expect(cache.namespace('users', { ttl: undefined, remember: undefined }).ttl).toBe(60_000)
    expect(cache.namespace('users', { ttl: null }).ttl).toBeUndefined()
  })

  test('does not replace the clock of createCaches', () => {
    const clock = new ManualClock()
    const stores = { a: { store: () => memory(), clock: undefined } }
    expect(createCaches({ clock, default: 'a', stores }).use().clock).toBe(clock)
  })

  test('does not replace a default of remember, which also applies to collections', async () => {
    const clock = new ManualClock()
    const remember = { staleIfError: '1d', timeout: 500 } as const
    const cache = new Cache(memory({ clock }), { clock, ttl: '1m', remember })
    const options: RememberOptions<string> = { staleIfError: undefined, timeout: undefined }
    const users = cache.collection('user', { load: (id: string): string => `user ${id}` })
    await cache.remember('k', options, () => 'value')
    await cache.rememberMany(['many'], options, () => ['value'])
    await users.get('1')
    await clock.advance(60_001)
    const failing = cache.collection('user', {
      load: (): string => Promise.reject('down') as never,
    })
    expect(await cache.remember('k', options, () => Promise.reject('down'))).toBe('value')
    expect(await cache.rememberMany(['many'], options, () => Promise.reject('down'))).toEqual([
      'value',
    ])
    expect(await failing.get('1')).toBe('user 1')
    const never = new Promise<string>(() => {})
    const timeout = { code: 'ERR_CACHE_TIMEOUT' }
    await expect(cache.remember('slow', options, () => never)).rejects.toMatchObject(timeout)
    await expect(
      cache.rememberMany(['slow too'], options, async () => [await never]),
    ).rejects.toMatchObject(timeout)
  })
})
