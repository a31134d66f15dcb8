import assert from 'node:assert/strict'
import type { Cache, LoadContext, RememberOptions } from '@stowage/core'
import { settlesWithin } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import {
  holdLease,
  newProcessCaches,
  newProcesses,
  patience,
  strong,
} from '../support/processes.ts'

/** A value whose body lies under a key of its own. */
interface Page {
  readonly title: string
  readonly body: string
}

const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
const staleMs = 5
/** For calls that must not end earlier than a lease. */
const long = { timeout: '2m' } as const
const becomesStale = { ttl: staleMs, staleIfError: '1h' } as const

/** Loads a page with this body. */
function page(body: unknown, title = 'page') {
  return (context: LoadContext<Page>): Page => ({ title, body: context.addPart('body', body) })
}

function load(
  cache: Cache,
  key: string,
  body: unknown,
  options: RememberOptions<Page> = {},
): Promise<Page> {
  return cache.remember(key, { ...patience, ...options }, page(body))
}

/** Loads the page again, and declares that it has not changed. */
function confirm(cache: Cache, key: string): Promise<Page> {
  const options = { ...patience, ttl: '1h', staleIfError: '1h' } as const
  return cache.remember(key, options, (context: LoadContext<Page>) => context.notModified())
}

export const parts: readonly ConformanceCase[] = group('parts', {
  'a part is stored with its value, and every process reads it': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    for (const body of [bytes, 'text', { nested: [1, null] }]) {
      const key = fixture.newKey()
      const loaded = await load(a, key, body)
      const found = await b.get<Page>(key, strong)
      assert.deepEqual(found, loaded, 'the value names its part')
      assert.deepEqual(await b.get(loaded.body, strong), body, 'the part can be read')
    }
  },

  'the parts of several values and loads are separate': async (fixture) => {
    const [cache] = await newProcessCaches(fixture)
    const keys = fixture.newKeys(3)
    const pages = await cache.rememberMany<Page>(keys, patience, (missing, context) =>
      missing.map((key) => page(`body of ${key}`)(context.of(key))),
    )
    for (const [index, key] of keys.entries()) {
      const body = await cache.get(pages[index]?.body ?? '', strong)
      assert.equal(body, `body of ${key}`, 'each value has a part of its own')
    }
  },

  'a part exists as long as its value, with its stale window': async (fixture) => {
    const [cache] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    const { body } = await load(cache, 'k', 'body', becomesStale)
    const short = await load(cache, 'short', 'body', { ttl: fixture.shortTtl })
    await fixture.letBecomeStale(staleMs)
    assert.equal(await cache.get('k', strong), undefined, 'the value is stale')
    assert.equal(await cache.get(body, strong), 'body', 'its part exists')
    await fixture.letExpire(fixture.shortTtl)
    assert.equal(await cache.get('short', strong), undefined, 'the value has expired')
    const rule = 'who has just read a value still finds its part'
    assert.equal(await cache.get(short.body, strong), 'body', rule)
  },

  'a refresh stores a part under a new key, and leaves the old one': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    const old = await load(a, 'k', 'old')
    const fresh = await load(a, 'k', 'new', { refresh: true })
    assert.notEqual(fresh.body, old.body, 'a refresh stores a part of its own')
    assert.equal(await b.get(fresh.body, strong), 'new', 'the new part is stored')
    assert.equal(await b.get(old.body, strong), 'old', 'readers of the old value find the old one')
  },

  'a value that was deleted during its load is not stored': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    const held = await holdLease(a, 'held')
    await b.delete('held')
    await held.end('value')
    const loaded = await a.remember('k', patience, async (context: LoadContext<Page>) => {
      await b.delete('k')
      return page('body')(context)
    })
    assert.equal(await b.get('k', strong), undefined, 'the value is not stored')
    assert.equal(await a.get(loaded.body, strong), 'body', 'its callers find the part')
    await b.clear()
    assert.equal(await a.get(loaded.body, strong), undefined, 'clear deletes parts')
  },

  'a value that has not changed keeps its parts': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    const { body } = await load(a, 'k', 'body', becomesStale)
    await fixture.letBecomeStale(staleMs)
    assert.equal((await confirm(a, 'k')).body, body, 'the value has not changed')
    assert.equal((await b.get<Page>('k', strong))?.body, body, 'it is fresh again')
    assert.equal(await a.get(body, strong), 'body', 'its part exists')
  },

  'a value that has not changed is not stored without its parts': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    const { body } = await load(a, 'k', 'body', becomesStale)
    await b.delete(body)
    await fixture.letBecomeStale(staleMs)
    await confirm(a, 'k')
    assert.equal(await a.get('k', strong), undefined, 'the value is not fresh again')
    const next = await a.remember('k', patience, (context: LoadContext<Page>) => {
      assert.equal(context.stale, undefined, 'the next load does not receive it')
      return page('new')(context)
    })
    assert.equal(await a.get(next.body, strong), 'new', 'the next load stores a part')
  },

  'a value is not stored if its part cannot be stored': async (fixture) => {
    const { store, newKey } = fixture
    const { valueBytes } = store.limits
    const isTooLarge = Number.isFinite(valueBytes) && valueBytes < 64 * 1024 * 1024
    if (!isTooLarge) return
    const [a, b] = await newProcesses(fixture)
    const key = newKey()
    const body = 'x'.repeat(valueBytes + 1)
    const loaded = await load(a.cache, key, body)
    assert.equal(loaded.title, 'page', 'the value is returned')
    assert.equal(await b.cache.get(key, strong), undefined, 'it is not stored')
    const next = () => load(b.cache, key, body, { ...long, loadTimeout: '1m' })
    const { status } = await settlesWithin(15_000, 'the next load', next)
    assert.equal(status, 'fulfilled', 'the next load does not wait for the lease of the first')
  },
})
