import {
  Cache,
  cachesFromEnv,
  createCaches,
  DriverRegistry,
  type RememberOptions,
} from '@stowage/core'
import { inspectKey } from '@stowage/core/tools'
import { memory } from '@stowage/memory'
import { describe, expect, test } from 'vitest'

// What somebody writes who does not use TypeScript, or confuses two libraries.
const any = <T>(value: unknown) => value as T
const create = () => new Cache(memory(), { prefix: 'app:' })

describe('a wrong argument is a TypeError that names the remedy:', () => {
  test.each<[name: string, argument: unknown, message: RegExp]>([
    ['no store', undefined, /first argument must be a store, such as memory\(\)/],
    ['a driver that was not called', memory, /must be a store.*Call the driver: memory\(\)/],
    ['an empty object', {}, /must be a store/],
  ])('new Cache with %s', (_, store, message) => {
    expect(() => new Cache(any(store))).toThrow(TypeError)
    expect(() => new Cache(any(store))).toThrow(message)
  })

  test.each<[name: string, options: unknown, message: RegExp]>([
    ['text', 'app:', /Cache: the options must be an object, not a string\./],
    ['null', null, /Cache: the options must be an object, not null\./],
    ['a codec by name', { codec: 'json' }, /must be a codec, such as json\(\)/],
    ['a codec that was not called', { codec: () => 1 }, /must be a codec/],
    ['a prefix that is a number', { prefix: 5 }, /the option prefix must be a string/],
    ['an option of another library', { stdTTL: 60 }, /unknown option stdTTL\. Known options: name/],
  ])('options of a cache that are %s', (_, options, message) => {
    expect(() => new Cache(memory(), any(options))).toThrow(message)
  })

  test.each<[name: string, call: (cache: Cache) => Promise<unknown>, message: RegExp]>([
    ['a ttl without an object', (cache) => cache.set('k', 1, any(60)), /such as \{ ttl: '5m' \}/],
    ['ex', (cache) => cache.set('k', 1, any({ ex: 60 })), /unknown option ex\. Known options: ttl/],
    ['tll', (cache) => cache.add('k', 1, any({ tll: '1m' })), /Did you mean ttl\?/],
    ['a read option', (cache) => cache.get('k', any({ consistancy: 'strong' })), /consistency\?/],
    [
      'a read option of a snapshot',
      (cache) => cache.snapshot('k', any({ consistancy: 'strong' })),
      /consistency\?/,
    ],
    ['stael', (cache) => cache.invalidateTags('a', any({ stael: true })), /Did you mean stale\?/],
    ['keys as text', (cache) => cache.getMany(any('k')), /getMany: the keys must be an array/],
    ['keys to delete', (cache) => cache.deleteMany(any('k')), /deleteMany: the keys must be/],
    ['entries', (cache) => cache.setMany(any({ a: 1 })), /such as Object\.entries\(values\)/],
    ['tags as text', (cache) => cache.set('k', 1, any({ tags: 'a' })), /Tags must be an array/],
    ['no loader', (cache) => cache.remember('k', {}, any(undefined)), /third argument must be/],
    [
      'order',
      (cache) =>
        cache.remember(
          'k',
          any(() => 1),
          any({}),
        ),
      /must be the function/,
    ],
    ['many', (cache) => cache.rememberMany(['k'], {}, any<never>(1)), /rememberMany\(key, \{ ttl/],
    [
      'a controller as the signal',
      (cache) =>
        cache.remember('k', { signal: any(new AbortController()) }, () =>
          Promise.reject(new Error('failed')),
        ),
      /must be an AbortSignal, such as controller\.signal/,
    ],
    [
      'a controller to wait with',
      (cache) => cache.lock('l').block('1s', { signal: any(new AbortController()) }),
      /must be an AbortSignal/,
    ],
    [
      'a timeout of a lock',
      (cache) => cache.lock('l').run(() => 1, any({ timeout: '5s' })),
      /lock\.run: unknown option timeout/,
    ],
    [
      'a wait in options',
      (cache) => cache.lock('l').block('1s', any({ wait: '1s' })),
      /lock\.block: unknown option wait/,
    ],
    [
      'a timeout of a limit',
      (cache) => cache.concurrency('l', { limit: 1 }).run(() => 1, any({ timeout: '5s' })),
      /limit\.run: unknown option timeout/,
    ],
    ['no change', (cache) => cache.update('k', any(undefined)), /update\(key, \(current\) =>/],
    ['no work', (cache) => cache.lock('l').run(any(undefined)), /lock\.run\(async \(held\) =>/],
    [
      'no limited work',
      (cache) => cache.concurrency('c', { limit: 1 }).run(any(undefined)),
      /limit\.run\(async \(\{ signal \}\) =>/,
    ],
    ['text', (cache) => cache.remember('k', any({ tags: 'a' }), () => 1), /tags must be an array/],
    [
      'computed tags as text',
      (cache) => cache.remember('k', { tags: () => any('a') }, () => 1),
      /Tags must be an array/,
    ],
    ['an empty tag', (cache) => cache.remember('k', { tags: [''] }, () => 1), /A tag must be a/],
    [
      'a late tag that is undefined',
      (cache) => cache.remember('k', {}, (context) => [context.addTags(any(undefined))]),
      /A tag must be a/,
    ],
    [
      'an empty tag of a collection',
      (cache) => cache.collection('c', { load: () => 1, tags: [''] }).set('1', 1),
      /A tag must be a/,
    ],
    [
      'several keys',
      (cache) => cache.delete(any(['a', 'b'])),
      /use getMany, setMany or deleteMany/,
    ],
    [
      'no window of a rate limit',
      async (cache) => cache.rateLimit('r', any({ limit: 5 })),
      /^rateLimit: window is not a duration: undefined\. Use milliseconds/,
    ],
    [
      'a wait of a lock without its unit',
      (cache) => cache.lock('l').run(() => 1, { wait: any('5') }),
      /^lock: wait is not a duration: '5'\./,
    ],
    ['an empty key to inspect', (cache) => inspectKey(cache, ''), /key must be a non-empty string/],
  ])('a call with %s', async (_, call, message) => {
    const error = await call(create()).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(TypeError)
    expect((error as Error).message).toMatch(message)
  })

  test.each<[name: string, call: () => unknown, message: RegExp]>([
    [
      'no options',
      () => createCaches(any<never>(undefined)),
      /stores: \{ pages: \(\) => memory\(\) \}/,
    ],
    [
      'a store instead of a function',
      () =>
        createCaches({
          default: 'a',
          stores: { a: any<() => ReturnType<typeof memory>>(memory()) },
        }),
      /the store of "a" must be a function that creates it: \(\) => memory\(\)/,
    ],
  ])('createCaches with %s', (_, call, message) => {
    expect(call).toThrow(message)
  })

  test.each<[name: string, call: () => Promise<unknown>, message: RegExp]>([
    ['variables', () => cachesFromEnv(any(undefined), any(undefined)), /such as process\.env/],
    ['a registry', () => cachesFromEnv({}, any({ memory })), /such as standardDrivers\(\)/],
  ])('cachesFromEnv without %s', async (_, call, message) => {
    await expect(call()).rejects.toThrow(message)
  })
})

test.each([[undefined], [() => 1, undefined], [() => 1, { ttl: '5m' }]])(
  'wrap(%s, %o) is refused',
  (...args) => {
    expect(() => create().wrap(...any<[() => number, { name: string }]>(args))).toThrow(
      /wrap\(findUser, \{ name: 'user'/,
    )
  },
)

test('one object of options can be used for set and remember', async () => {
  const cache = create()
  const options = {
    ttl: '1h',
    staleWhileRevalidate: '1d',
    staleIfError: '1d',
    tags: ['a'],
    timeout: '20s',
    signal: new AbortController().signal,
    loadTimeout: '20s',
    backoff: '1s',
    jitter: 0.1,
    lease: '5s',
    refresh: false,
    audit: false,
  } as const satisfies Required<RememberOptions>
  await cache.set('k', 1, options)
  expect(await cache.remember('k', options, () => 2)).toBe(1)
})

describe('a driver that cannot be loaded', () => {
  test.each<[name: string, load: () => Promise<never>, message: RegExp]>([
    [
      'has no driver as its default export',
      () => any(import('node:path')),
      /default export of its module must have the members name, create and fromEnv\.$/,
    ],
    [
      'is a file that does not exist, which npm cannot install',
      // @ts-expect-error: a file that does not exist
      () => import('./no-such-driver.ts'),
      /no-such-driver(?!.*npm install)/,
    ],
    [
      'needs a package that is missing',
      () => Promise.reject(new Error("Cannot find package '@stowage/redis' imported from a.js")),
      /a\.js\. Install its package: npm install @stowage\/redis$/,
    ],
  ])('%s', async (_, load, message) => {
    const registry = new DriverRegistry({ mine: load })
    await expect(cachesFromEnv({ CACHE_DRIVER: 'mine' }, registry)).rejects.toThrow(message)
  })
})

test('a token that is not a string, as of a request without one, is not observed', () => {
  const observed: string[] = []
  const store = Object.assign(memory(), { observe: (token: string) => observed.push(token) })
  const cache = new Cache(store)
  for (const token of [undefined, null, ['r1'], 'r1']) cache.observe(any(token))
  expect(observed).toEqual(['r1'])
})

test('counters and touch have no tags', async () => {
  const cache = create()
  // @ts-expect-error: invalidateTags would not affect the counter
  await cache.increment('n', 1, { ttl: '1m', tags: ['a'] })
  // @ts-expect-error: the tags of the value remain
  await cache.touch('n', { ttl: '1m', tags: ['a'] })
  await cache.invalidateTags('a')
  expect(await cache.get('n')).toBe(1)
})
