import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Awaitable,
  Cache,
  type CacheOptions,
  type CacheStore,
  type Clock,
  type Payload,
  systemClock,
} from '@stowage/core'
import type { Entry, StoreContract } from '@stowage/core/driver'
import { samePayload, toText } from '@stowage/core/driver'
import { allowShortTtls } from '@stowage/core/internal'
import type { ConformanceContext } from './context.ts'
import { Outage } from './outage.ts'

/** A store whose items may be bytes or entries. {@link Fixture} creates and compares them. */
export type AnyStore = StoreContract<'bytes' | 'entry', unknown>

/** Longer than any pause of a slow machine: an item with this ttl may be expected to exist. */
export const minute = 60_000
export const day = 86_400_000
const pollIntervalMs = 25
const pollTimeoutMs = 10_000
/**
 * Items that show when a ttl has ended. They are on all nodes of a small cluster: a node that was stopped for a moment has a
 * clock that is late.
 */
const probeCount = 32
/** How much earlier than expected a timer may fire. */
const timerErrorMs = 5

/**
 * The store under test, with unique keys, items of the kind that it stores, and time. The members are closures, so that a
 * case can destructure the ones it uses.
 */
export class Fixture {
  readonly store: AnyStore
  readonly exact: boolean
  /** Whether the items of the store are bytes. Otherwise they are entries. */
  readonly isByteStore: boolean
  /** A ttl that expires soon. On a manual clock it is not a multiple of a `ttlStep` above 1 ms. */
  readonly shortTtl: number
  /** A clock for a cache, which moves with `wait`. */
  readonly clock: Clock
  /** Undefined if the backend cannot be broken. */
  readonly outage: Outage | undefined
  readonly #context: ConformanceContext
  readonly #wait: (ms: number) => Awaitable<void>
  readonly #furtherStores: CacheStore[] = []
  #keyCount = 0
  #waitedMs = 0

  constructor(context: ConformanceContext) {
    const { store, wait, exact = false } = context
    allowShortTtls()
    this.#context = context
    this.outage = Outage.of(context)
    this.store = store as unknown as AnyStore
    this.exact = exact
    this.isByteStore = store.payload === 'bytes'
    this.#wait = wait
    this.clock = exact ? this.#createClock() : systemClock
    const { ttlStep } = store.limits
    this.shortTtl = exact ? 100 * ttlStep + Math.floor(ttlStep / 2) : Math.max(50, ttlStep)
  }

  /** The prefix of all keys of this fixture. */
  readonly prefix: string = `conform:${randomBytes(9).toString('hex')}:`

  /** A unique key that ends in `suffix`. */
  readonly newKey = (suffix = 'k'): string => `${this.prefix}${++this.#keyCount}:${suffix}`

  readonly newKeys = (count: number): string[] => Array.from({ length: count }, () => this.newKey())

  /** A cache on top of the store. */
  readonly newCache = (options: CacheOptions = {}): Cache => this.newCacheOn(this.store, options)

  /** A cache on top of another store. */
  readonly newCacheOn = (store: AnyStore, options: CacheOptions = {}): Cache =>
    new Cache(store as unknown as CacheStore, options)

  /** Creates a further store, or returns `undefined` where the context cannot. `close` closes it. */
  readonly createStore = async (): Promise<AnyStore | undefined> => {
    const { createStore } = this.#context
    if (createStore === undefined) return undefined
    const store = await createStore()
    this.#furtherStores.push(store)
    return store as unknown as AnyStore
  }

  /** Creates a second store on the backend of the first, or returns `undefined` where stores do not share a backend. */
  readonly createSharedStore = async (): Promise<AnyStore | undefined> => {
    const { sharedBackend } = this.#context
    const second = sharedBackend === false ? undefined : await this.createStore()
    if (second === undefined) return undefined
    const probe = this.newKey('shared')
    await this.store.set(probe, this.item('shared'), minute)
    const isShared = (await second.get(probe, { consistency: 'strong' })) !== undefined
    const rule =
      'sharedBackend is true, but a second store does not read what the first has written'
    assert.ok(isShared || sharedBackend !== true, rule)
    return isShared ? second : undefined
  }

  /** Closes the further stores. */
  readonly close = async (): Promise<void> => {
    for (const store of this.#furtherStores) await store.close()
  }

  readonly item = (text: string): unknown => (this.isByteStore ? text : { value: text })

  /** The item that a cache stores for a value. */
  readonly encoded = (value: unknown): unknown =>
    this.isByteStore ? JSON.stringify(value) : { value }

  /** The text of an item, or `undefined` for a miss. */
  readonly textOf = (item: unknown): string | undefined => {
    if (item === undefined) return undefined
    return this.isByteStore ? toText(item as Payload) : String((item as Entry).value)
  }

  readonly sameItem = (a: unknown, b: unknown): boolean => {
    if (a === undefined || b === undefined) return a === b
    return this.isByteStore ? samePayload(a as Payload, b as Payload) : a === b
  }

  /** The text of the item under the key. */
  readonly read = async (key: string): Promise<string | undefined> =>
    this.textOf(await this.store.get(key))

  readonly exists = async (key: string): Promise<boolean> =>
    (await this.store.get(key)) !== undefined

  readonly countExisting = async (keys: readonly string[]): Promise<number> =>
    (await this.store.getMany(keys)).filter((item) => item !== undefined).length

  readonly wait = async (ms: number): Promise<void> => {
    this.#waitedMs += ms
    await this.#wait(ms)
  }

  /** Waits until a value is stale that was stored with `ttl` and a stale window before this call. */
  readonly letBecomeStale = async (ttl: number): Promise<void> => {
    // The clock of a backend passes in real time, unless the store has a manual one.
    if (!this.exact && this.store.time !== undefined) await sleep(ttl + timerErrorMs)
    else await this.wait(this.exact ? ttl : ttl + timerErrorMs)
  }

  /** The ttl rounded up to the `ttlStep` of the store. */
  readonly roundedTtl = (ttl: number): number => {
    const { ttlStep } = this.store.limits
    return Math.ceil(ttl / ttlStep) * ttlStep
  }

  /** Asserts that the item, which was just written with `ttl`, expires then, and not before. */
  readonly assertExpires = async (key: string, ttl: number, rule: string): Promise<void> => {
    if (!this.exact) return this.waitUntilMissing(key, rule, ttl)
    await this.wait(ttl - 1)
    assert.ok(await this.exists(key), `${rule}: expired before its ttl of ${ttl} ms`)
    await this.wait(this.roundedTtl(ttl) - ttl + 1)
    assert.ok(!(await this.exists(key)), `${rule}: still exists after its ttl of ${ttl} ms`)
  }

  /** Polls until the key is missing, for longer than its ttl: the machine may be slow. */
  readonly waitUntilMissing = async (
    key: string,
    rule: string,
    ttl: number = this.shortTtl,
  ): Promise<void> => {
    await this.#poll(async () => !(await this.exists(key)), rule, ttl)
  }

  /**
   * Waits until the items that were written with `ttl` before this call have expired. It does not read them, because a
   * store may delete an expired item only when that is read.
   */
  readonly letExpire = async (ttl: number): Promise<void> => {
    if (this.exact) return this.wait(this.roundedTtl(ttl))
    const probes = Array.from({ length: probeCount }, () => this.newKey('probe'))
    await Promise.all(probes.map((key) => this.store.set(key, this.item('probe'), ttl)))
    const areMissing = async () => (await this.countExisting(probes)) === 0
    await this.#poll(areMissing, 'an item with a ttl expires', ttl)
    // Another node may have no probe, and a clock that differs by a step.
    await this.wait(this.store.limits.ttlStep + pollIntervalMs)
  }

  /**
   * Runs `act`, which has to end before `ttl` does. If the machine was too slow, runs it with another key and a longer
   * ttl. Returns the key and the ttl of the last run.
   *
   * @param factor what the first ttl on a real clock is, as a multiple of `shortTtl`
   */
  readonly withinTtl = async (
    act: (key: string, ttl: number) => Promise<void>,
    factor = 4,
  ): Promise<{ readonly key: string; readonly ttl: number }> => {
    for (let ttl = this.exact ? this.shortTtl : factor * this.shortTtl; ; ttl *= 4) {
      const key = this.newKey()
      const startedAt = performance.now()
      const failure = await act(key, ttl).then(
        () => undefined,
        (error: unknown) => ({ error }),
      )
      if (!this.exact && performance.now() - startedAt > ttl / 3) continue
      if (failure !== undefined) throw failure.error
      return { key, ttl }
    }
  }

  /**
   * Asserts that an item, which `write` stores with `ttl`, expires before another one whose ttl is `factor` times as long. On
   * a real clock a late look does not show an expiry that is too late: if both items are missing by then, it measures again
   * with a longer ttl. So it does once if the item outlives the other one: the clocks of two nodes may differ.
   */
  readonly expiresBefore = async (
    factor: number,
    rule: string,
    write: (key: string, ttl: number) => Promise<void>,
  ): Promise<void> => {
    // Both ttls are rounded up to the step of the store.
    for (let times = 4; ; times *= 4) {
      const later = this.newKey('later')
      const { key, ttl } = await this.withinTtl(async (key, ttl) => {
        await this.store.set(later, this.item('later'), Math.ceil(factor * ttl))
        await write(key, ttl)
      }, times)
      if (this.exact) await this.wait(this.roundedTtl(ttl))
      else await this.#untilOneMissing([later, key], ttl)
      const remaining = (await this.#readStrongly([key])).length
      if (remaining > 0 && !this.exact && times === 4) continue
      assert.equal(remaining, 0, rule)
      if (this.exact || (await this.#readStrongly([later])).length > 0) return
    }
  }

  async #poll(isMissing: () => Promise<boolean>, rule: string, ttl: number): Promise<void> {
    const timeoutMs = ttl + pollTimeoutMs + 2 * this.store.limits.ttlStep
    for (let waitedMs = 0; !(await isMissing()); waitedMs += pollIntervalMs) {
      assert.ok(waitedMs < timeoutMs, `${rule}: still exists after ${timeoutMs} ms`)
      await this.wait(pollIntervalMs)
    }
  }

  async #untilOneMissing(keys: readonly string[], ttl: number): Promise<void> {
    const timeoutMs = 2 * (ttl + this.store.limits.ttlStep) + pollTimeoutMs
    for (let waitedMs = 0; waitedMs < timeoutMs; waitedMs += pollIntervalMs) {
      if ((await this.#readStrongly(keys)).length < keys.length) return
      await this.wait(pollIntervalMs)
    }
  }

  /** The items of these keys that exist, read in this order. */
  async #readStrongly(keys: readonly string[]): Promise<unknown[]> {
    const found: unknown[] = []
    for (const key of keys) found.push(await this.store.get(key, { consistency: 'strong' }))
    return found.filter((item) => item !== undefined)
  }

  #createClock(): Clock {
    const start = Date.now()
    return {
      now: () => start + this.#waitedMs,
      ...(this.exact && { monotonic: () => this.#waitedMs }),
      // A pause after a conflict: nothing moves the clock meanwhile.
      sleep: (ms, signal) => systemClock.sleep(ms, signal),
    }
  }
}

/**
 * Prefixes whose length differs between bytes, UTF-16 units and characters. Some begin alike: two ships share a high
 * surrogate, and a family begins with the man.
 */
export function newWidePrefixes(newKey: (suffix: string) => string): string[] {
  const starts = [
    '\u{1f6a2}:',
    '\u{1f6a3}:',
    '\u{1f6a2}\u{1f6a2}\u{1f6a2}:',
    '\u00e9:',
    '\u20ac\u20ac:',
  ]
  const family = ['\u{1f468}:', '\u{1f468}\u200d\u{1f469}:']
  const unique = newKey('')
  return [...starts, ...family].flatMap((start) => [start + unique, unique + start])
}
