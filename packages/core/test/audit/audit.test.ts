import { execFile } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  type AuditEvent,
  type AuditOptions,
  type AuditReport,
  Cache,
  CacheError,
  type CacheOptions,
  channels,
  compressed,
  failover,
  json,
  type ReadOptions,
  structured,
} from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { settle } from '../remember/two-processes.ts'
import { seeded } from './seeded.ts'

const execute = promisify(execFile)
const everyHit: AuditOptions = { sample: 1, perSecond: 1_000 }
const second = 1_000
const minute = 60_000

function audited(audit: AuditOptions = everyHit, options: CacheOptions = {}) {
  const clock = new ManualClock()
  const cache = new Cache(memory({ clock }), { clock, ttl: '1d', audit, ...options })
  return { cache, clock }
}

/** A source of values, whose loads are counted. */
class Source {
  readonly values = new Map<string, unknown>()
  loads = 0
  isDown = false

  readonly load = async ({ key }: { readonly key: string }): Promise<unknown> => {
    this.loads++
    if (this.isDown) throw new Error('the source is down')
    return this.values.get(key)
  }
}

/** Returns the source of a value that has changed since it was cached, and of which there was a hit after that. */
async function hitOldValue(cache: Cache, key: string): Promise<Source> {
  const source = new Source()
  source.values.set(key, 1)
  await cache.remember(key, {}, source.load)
  source.values.set(key, 2)
  await cache.remember(key, {}, source.load)
  return source
}

/** A load of the audit begins before. */
async function passTime(clock: ManualClock, ms: number): Promise<void> {
  await settle()
  await clock.advance(ms)
  await settle()
}

describe('an audit', () => {
  test('reports a missing invalidation after 1 s, 1 min and 10 min', async () => {
    const { cache, clock } = audited()
    const source = new Source()
    source.values.set('user:1', { name: 'Ada' })
    await cache.remember('user:1', {}, source.load)
    source.values.set('user:1', { name: 'Grace' })
    expect(await cache.remember('user:1', {}, source.load)).toEqual({ name: 'Ada' })
    await settle()
    const inconsistent = () => cache.audit?.report().groups.user?.inconsistent
    expect(inconsistent()).toEqual({ '1s': 0, '1m': 0, '10m': 0 })
    await passTime(clock, second)
    expect(inconsistent()).toEqual({ '1s': 1, '1m': 0, '10m': 0 })
    await passTime(clock, minute)
    expect(inconsistent()).toEqual({ '1s': 1, '1m': 1, '10m': 0 })
    await passTime(clock, 10 * minute)
    expect(inconsistent()).toEqual({ '1s': 1, '1m': 1, '10m': 1 })
    expect(cache.audit?.report()).toMatchObject({ sampled: 1, differing: 1, stale: 0 })
    expect(cache.audit?.report().consistency).toEqual({ '1s': 0, '1m': 0, '10m': 0 })
  })

  test('a hit before a late invalidation is inconsistent only until that', async () => {
    const { cache, clock } = audited()
    await hitOldValue(cache, 'user:1')
    await passTime(clock, 2 * second)
    await cache.delete('user:1')
    await passTime(clock, 20 * minute)
    const report = cache.audit?.report()
    expect(report).toMatchObject({ differing: 1, inconsistent: { '1s': 1, '1m': 0, '10m': 0 } })
  })

  test('a value that is written after the hit is not inconsistent', async () => {
    const { cache, clock } = audited()
    await hitOldValue(cache, 'k')
    await cache.set('k', 2)
    await passTime(clock, 20 * minute)
    expect(cache.audit?.report()).toMatchObject({ differing: 1, inconsistent: { '1s': 0 } })
  })

  test('the event names the key, its tags, and how long it has differed', async () => {
    const { cache, clock } = audited()
    const source = new Source()
    const events: AuditEvent[] = []
    const listener = (event: unknown) => void events.push(event as AuditEvent)
    channels.audit.subscribe(listener)
    source.values.set('user:1', 1)
    await cache.remember('user:1', { tags: ['users'] }, source.load)
    source.values.set('user:1', 2)
    await cache.remember('user:1', { tags: ['users'] }, source.load)
    await passTime(clock, second)
    await passTime(clock, minute)
    channels.audit.unsubscribe(listener)
    expect(events).toMatchObject([
      { cache: 'memory', key: 'user:1', group: 'user', differsForMs: second },
      { differsForMs: minute },
    ])
    expect(Object.keys(events[0]?.tags ?? {})).toEqual(['users'])
    expect(events[0]?.ttlMs).toBeGreaterThan(0)
  })

  test.each([
    ['json', json(), { at: undefined, list: [1, 2] }],
    ['structured', structured(), { at: new Date(0), list: new Set([1]) }],
    ['compressed', compressed(json(), { from: 1 }), { text: 'x'.repeat(1_000) }],
  ])('values are compared as the codec %s returns them', async (_, codec, value) => {
    const { cache } = audited(everyHit, { codec })
    await cache.remember('k', {}, () => ({ ...value, first: 1, second: 2 }))
    await cache.remember('k', {}, () => ({ second: 2, first: 1, ...value }))
    await settle()
    expect(cache.audit?.report()).toMatchObject({ sampled: 1, differing: 0 })
  })

  test('a caller that mutates its value causes no difference', async () => {
    const { cache } = audited()
    const load = () => ({ list: [1] })
    await cache.remember('k', {}, load)
    const own = await cache.remember('k', {}, load)
    own.list.push(2)
    await settle()
    expect(cache.audit?.report()).toMatchObject({ sampled: 1, differing: 0 })
  })

  test('the option equal decides', async () => {
    const equal = (served: unknown, loaded: unknown) =>
      (served as { id: number }).id === (loaded as { id: number }).id
    const { cache } = audited({ ...everyHit, equal })
    let at = 0
    const load = () => ({ id: 1, at: at++ })
    await cache.remember('k', {}, load)
    await cache.remember('k', {}, load)
    await settle()
    expect(cache.audit?.report()).toMatchObject({ sampled: 1, differing: 0 })
  })

  test('a stale value that differs is counted apart, and not followed', async () => {
    const { cache, clock } = audited()
    const source = new Source()
    const options = { ttl: '1m', staleWhileRevalidate: '1h' } as const
    source.values.set('k', 1)
    await cache.remember('k', options, source.load)
    source.values.set('k', 2)
    await clock.advance(minute)
    expect(await cache.remember('k', options, source.load)).toBe(1)
    await passTime(clock, 20 * minute)
    expect(cache.audit?.report()).toMatchObject({
      ...{ sampled: 1, differing: 0, stale: 1 },
      inconsistent: { '1s': 0, '1m': 0, '10m': 0 },
    })
  })

  test('a value that the source has deleted differs', async () => {
    const { cache, clock } = audited()
    const source = new Source()
    source.values.set('k', 1)
    await cache.remember('k', {}, source.load)
    source.values.delete('k')
    await cache.remember('k', {}, source.load)
    await passTime(clock, second)
    expect(cache.audit?.report().inconsistent['1s']).toBe(1)
  })

  test('a read from a server that lags behind is counted as stale', async () => {
    const clock = new ManualClock()
    const lagging = new Map<string, unknown>()
    const inner = memory({ clock })
    const store = wrapStore(inner, (operation, call, [key, options]) => {
      const isLagging = operation === 'get' && lagging.has(key as string)
      const isStrong = (options as ReadOptions | undefined)?.consistency === 'strong'
      return isLagging && !isStrong ? (lagging.get(key as string) as never) : call()
    })
    const cache = new Cache(store, { clock, audit: everyHit })
    const source = new Source()
    source.values.set('k', 1)
    await cache.remember('k', {}, source.load)
    lagging.set('k', await inner.get('k'))
    source.values.set('k', 2)
    await cache.set('k', 2)
    expect(await cache.remember('k', {}, source.load)).toBe(1)
    await passTime(clock, second)
    expect(cache.audit?.report()).toMatchObject({
      differing: 1,
      stale: 1,
      inconsistent: { '1s': 0 },
    })
  })

  test('rememberMany, collections, and caches without leases are sampled as well', async () => {
    const { cache, clock } = audited()
    const users = cache.collection('user', { load: (id: string) => ({ id }) })
    const many = async (keys: readonly string[]) => keys.map((key) => ({ key }))
    for (let n = 0; n < 2; n++) {
      await cache.rememberMany(['a:1', 'a:2'], {}, many)
      await passTime(clock, second)
      await users.get('1')
      await passTime(clock, second)
      await users.getMany(['2'])
      await passTime(clock, second)
    }
    const groups: AuditReport['groups'] = cache.audit?.report().groups ?? {}
    expect(groups.a?.sampled).toBe(1) // The other key of the call came within 1 ms.
    expect(groups.user?.sampled).toBe(2)
    const shared = wrapStore(memory({ clock }), (_, call) => call())
    const withoutLease = new Cache(shared, { clock, audit: everyHit, remember: { lease: false } })
    await withoutLease.remember('b:1', {}, () => 1)
    await withoutLease.remember('b:1', {}, () => 1)
    await settle()
    expect(withoutLease.audit?.report().sampled).toBe(1)
  })

  test('namespaces and views share the audit', async () => {
    const { cache, clock } = audited()
    for (const each of [cache.namespace('a'), cache.view({ ttl: '1h' })]) {
      await each.remember('k:1', {}, () => 1)
      await each.remember('k:1', {}, () => 1)
      await passTime(clock, second)
    }
    expect(cache.audit?.report().sampled).toBe(2)
  })

  test('a load with audit: false is not repeated', async () => {
    const { cache } = audited()
    const source = new Source()
    source.values.set('k', 1)
    for (let n = 0; n < 3; n++) await cache.remember('k', { audit: false }, source.load)
    const users = cache.collection('user', { audit: false, load: () => source.load({ key: 'k' }) })
    for (let n = 0; n < 3; n++) await users.get('1')
    await settle()
    expect(source.loads).toBe(2)
    expect(cache.audit?.report().sampled).toBe(0)
  })

  test('the loader is called at most perSecond', async () => {
    const { cache, clock } = audited({ sample: 1, perSecond: 2 })
    const source = new Source()
    source.values.set('k', 1)
    await cache.remember('k', {}, source.load)
    for (let ms = 0; ms < 10 * second; ms += 100) {
      await cache.remember('k', {}, source.load)
      await passTime(clock, 100)
    }
    expect(source.loads - 1).toBe(20)
  })

  test('later comparisons count as calls of the loader', async () => {
    const { cache, clock } = audited({ sample: 1, perSecond: 1 })
    const source = new Source()
    source.values.set('k', 1)
    await cache.remember('k', {}, source.load)
    source.values.set('k', 2)
    for (let at = 1; at <= 100; at++) {
      await cache.remember('k', {}, source.load)
      await passTime(clock, second)
      expect(source.loads - 1).toBeLessThanOrEqual(at + 1)
    }
    expect(cache.audit?.report().inconsistent['1m']).toBeGreaterThan(0)
  })

  test('pauses while the source fails', async () => {
    const { cache, clock } = audited()
    const source = new Source()
    source.values.set('k', 1)
    await cache.remember('k', {}, source.load)
    source.isDown = true
    await cache.remember('k', {}, source.load)
    await settle()
    const { loads } = source
    for (let n = 0; n < 29; n++) {
      await cache.remember('k', {}, source.load)
      await passTime(clock, second)
    }
    expect(source.loads).toBe(loads)
    expect(cache.audit?.report().sampled).toBe(0)
    source.isDown = false
    await passTime(clock, second)
    await cache.remember('k', {}, source.load)
    await settle()
    expect(cache.audit?.report().sampled).toBe(1)
  })

  test('does not call the loader while a fallback store is used', async () => {
    const clock = new ManualClock()
    let isDown = false
    const primary = wrapStore(memory({ clock }), (operation, call) => {
      if (isDown) throw new CacheError('ERR_CACHE_UNAVAILABLE', `${operation} failed`)
      return call()
    })
    const store = failover([primary, memory({ clock })])
    const cache = new Cache(store, { clock, audit: everyHit })
    const source = new Source()
    source.values.set('k', 1)
    isDown = true
    for (let n = 0; n < 20; n++) {
      await cache.remember('k', {}, source.load)
      await passTime(clock, second)
    }
    expect(cache.audit?.report().sampled).toBe(0)
    isDown = false
    await cache.close()
  })

  test('pauses after another load has failed', async () => {
    const { cache, clock } = audited()
    const source = new Source()
    source.values.set('k', 1)
    await cache.remember('k', {}, source.load)
    source.isDown = true
    await expect(cache.remember('other', {}, source.load)).rejects.toThrow('down')
    const { loads } = source
    await cache.remember('k', {}, source.load)
    await settle()
    expect(source.loads).toBe(loads)
    await clock.advance(30 * second)
    source.isDown = false
    await cache.remember('k', {}, source.load)
    await settle()
    expect(source.loads).toBe(loads + 1)
  })

  test('counts 100 groups, and others together', async () => {
    const { cache, clock } = audited()
    for (let n = 0; n < 150; n++) {
      await cache.remember(`g${n}:1`, {}, () => 1)
      await cache.remember(`g${n}:1`, {}, () => 1)
      await passTime(clock, 1)
    }
    const { groups = {}, sampled, nines } = cache.audit?.report() ?? {}
    expect(Object.keys(groups)).toHaveLength(101)
    expect(groups.other?.sampled).toBe(50)
    expect([sampled, nines?.['1m']]).toEqual([150, 2.2])
  })

  test('ends with the cache', async () => {
    const { cache, clock } = audited()
    const source = await hitOldValue(cache, 'k')
    await settle()
    const { loads } = source
    await cache.close()
    await passTime(clock, 20 * minute)
    expect(source.loads).toBe(loads)
    expect(cache.audit?.report()).toMatchObject({ differing: 1, inconsistent: { '1s': 0 } })
  })

  test('close aborts a load of the audit', async () => {
    const { cache } = audited()
    await cache.remember('k', {}, () => 1)
    let signal: AbortSignal | undefined
    const load = (context: { readonly signal: AbortSignal }) => {
      signal = context.signal
      return new Promise<number>(() => {})
    }
    await cache.remember('k', {}, load)
    await settle()
    await cache.close()
    expect(signal?.aborted).toBe(true)
  })

  test('keeps no process alive', async () => {
    const script = `
      import { Cache } from '@stowage/core'
      import { memory } from '@stowage/memory'
      const cache = new Cache(memory(), { audit: { sample: 1, perSecond: 1_000 } })
      let loads = 0
      const load = () => loads++
      await cache.remember('k', {}, load)
      await cache.remember('k', {}, load)
      await new Promise((resolve) => setImmediate(resolve))
      console.log(cache.audit.report().differing)
    `
    const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', script], {
      cwd: dirname(fileURLToPath(import.meta.url)),
    })
    expect(stdout.trim()).toBe('1')
  })

  test('publishes the failure of its load', async () => {
    const { cache } = audited()
    const errors: unknown[] = []
    const listener = (event: unknown) => void errors.push((event as { error: unknown }).error)
    channels.error.subscribe(listener)
    await cache.remember('k', {}, () => 1)
    await cache.remember('k', {}, () => Promise.reject(new Error('no source')))
    await settle()
    channels.error.unsubscribe(listener)
    expect(errors).toMatchObject([{ message: 'no source' }])
  })

  test('a group that throws ends no process, and is published', async () => {
    const group = () => {
      throw new Error('no group')
    }
    const { cache } = audited({ ...everyHit, group })
    const errors: unknown[] = []
    const listener = (event: unknown) => void errors.push((event as { error: unknown }).error)
    channels.error.subscribe(listener)
    await cache.remember('k', {}, () => 1)
    await cache.remember('k', {}, () => 1)
    await settle()
    channels.error.unsubscribe(listener)
    expect(errors).toMatchObject([{ message: 'no group' }])
  })

  test.each([
    [{ sample: 2 }, /audit: sample must be a share/],
    [{ sample: 0.1, perSecond: 0 }, /audit: perSecond must be/],
    [{ sample: Number.NaN }, /audit: sample/],
    [{ sample: 1, group: 'user' }, /audit: group/],
    [{ sampel: 1 }, /sampel/],
  ])('%j is refused', (audit, message) => {
    expect(() => audited(audit as never)).toThrow(message)
  })

  test('counts exactly the hits that are wrong, and for how long', async () => {
    const random = seeded(7)
    const { cache, clock } = audited()
    const source = new Map<string, number>()
    const wrong = new Map<string, { until: number }>()
    const hits: { readonly at: number; readonly wrong: { until: number } | undefined }[] = []
    const write = async (key: string, value: number, invalidates: boolean) => {
      source.set(key, value)
      if (invalidates) {
        await cache.delete(key)
        const ended = wrong.get(key)
        if (ended !== undefined) ended.until = clock.now()
        wrong.delete(key)
      } else if ((await cache.get(key)) !== undefined && !wrong.has(key)) {
        wrong.set(key, { until: Infinity })
      }
    }
    const read = async (key: string) => {
      let isHit = true
      await cache.remember(key, {}, ({ background }) => {
        if (!background) isHit = false
        return source.get(key) ?? -1
      })
      if (isHit) hits.push({ at: clock.now(), wrong: wrong.get(key) })
    }
    for (let n = 0; n < 5_000; n++) {
      const key = `k:${Math.floor(random() * 50)}`
      if (random() < 0.1) await write(key, n, random() > 0.1)
      else await read(key)
      // Not at the same moment as a later comparison: only one of both would take place.
      await passTime(clock, 25 + ((n + 1) % 7) - (n % 7))
    }
    const wrongFor = (ms: number) =>
      hits.filter((hit) => hit.wrong !== undefined && hit.wrong.until >= hit.at + ms).length
    expect(wrongFor(1_000)).toBeGreaterThan(100)
    expect(wrongFor(1_000)).toBeLessThan(wrongFor(0))
    const end = clock.now()
    const lasting = hits.filter((hit) => hit.wrong !== undefined && hit.at + 1_000 > end).length
    expect(cache.audit?.report()).toMatchObject({
      sampled: hits.length,
      differing: wrongFor(0),
      inconsistent: { '1s': wrongFor(1_000) - lasting },
    })
  })
})
