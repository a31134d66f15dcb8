import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
  type Awaitable,
  Cache,
  type CacheOptions,
  type CacheStore,
  type Entry,
  type Payload,
  type StoreContract,
} from '@stowage/core'
import { samePayload, toText } from '@stowage/core/driver'
import type { ConformanceContext } from './context.ts'

/** A store whose items are opaque; only the subject knows what they look like. */
export type AnyStore = StoreContract<'bytes' | 'entry', unknown>

/** Longer than any hiccup of a machine: what lives for a minute may be expected to be there. */
export const minute = 60_000
export const day = 86_400_000
const pollMs = 25
const patienceMs = 10_000

/**
 * The store under test, and what every case needs around it: keys of its own, items of either kind, and
 * time. Members are closures, so that a case can take the ones it uses.
 */
export class Subject {
  readonly store: AnyStore
  readonly exact: boolean
  /** Whether items are bytes; otherwise they are entries. */
  readonly bytes: boolean
  /** A ttl that is soon over. With a manual clock it is no multiple of a coarse `ttlStep`. */
  readonly shortTtl: number
  readonly #wait: (ms: number) => Awaitable<void>
  #keys = 0

  constructor({ store, wait, exact = false }: ConformanceContext) {
    this.store = store as unknown as AnyStore
    this.exact = exact
    this.bytes = store.payload === 'bytes'
    this.#wait = wait
    const { ttlStep } = store.limits
    this.shortTtl = exact ? 100 * ttlStep + Math.floor(ttlStep / 2) : Math.max(50, ttlStep)
  }

  /** What all keys of this subject begin with. */
  readonly prefix: string = `conform:${randomBytes(9).toString('hex')}:`

  /** A key nobody else uses, ending in `hint`. */
  readonly key = (hint = 'k'): string => `${this.prefix}${++this.#keys}:${hint}`

  /** Keys nobody else uses. */
  readonly keys = (count: number): string[] => Array.from({ length: count }, () => this.key())

  readonly item = (text: string): unknown => (this.bytes ? text : { value: text })

  /** The item the facade would store for a value. */
  readonly sealed = (value: unknown): unknown => (this.bytes ? JSON.stringify(value) : { value })

  /** The text of an item made by `item`, or `undefined` for a miss. */
  readonly text = (item: unknown): string | undefined => {
    if (item === undefined) return undefined
    return this.bytes ? toText(item as Payload) : String((item as Entry).value)
  }

  readonly same = (a: unknown, b: unknown): boolean => {
    if (a === undefined || b === undefined) return a === b
    return this.bytes ? samePayload(a as Payload, b as Payload) : a === b
  }

  /** What is stored under the key, as text. */
  readonly read = async (key: string): Promise<string | undefined> =>
    this.text(await this.store.get(key))

  readonly lives = async (key: string): Promise<boolean> =>
    (await this.store.get(key)) !== undefined

  /** A cache in front of the store. */
  readonly cache = (options: CacheOptions = {}): Cache =>
    new Cache(this.store as unknown as CacheStore, options)

  readonly wait = async (ms: number): Promise<void> => this.#wait(ms)

  /** How long a ttl really lasts: rounded up to the store's step. */
  readonly lifespan = (ttl: number): number => {
    const { ttlStep } = this.store.limits
    return Math.ceil(ttl / ttlStep) * ttlStep
  }

  /** Asserts that the item, whose ttl begins now, lives that long and no longer. */
  readonly expires = async (key: string, ttl: number, rule: string): Promise<void> => {
    if (!this.exact) return this.untilGone(key, rule)
    await this.wait(ttl - 1)
    assert.ok(
      await this.lives(key),
      `${rule}: gone a millisecond before its ttl of ${ttl} ms is over`,
    )
    await this.wait(this.lifespan(ttl) - ttl + 1)
    assert.ok(!(await this.lives(key)), `${rule}: still there when its ttl of ${ttl} ms is over`)
  }

  /** Waits until the item is gone, for as long as a slow machine may need. */
  readonly untilGone = async (key: string, rule: string): Promise<void> => {
    const patience = patienceMs + 2 * this.store.limits.ttlStep
    for (let waited = 0; await this.lives(key); waited += pollMs) {
      assert.ok(waited < patience, `${rule}: still there ${patience} ms after its ttl was over`)
      await this.wait(pollMs)
    }
  }

  /** Waits until whatever was given `ttl` before is over, without asking for it: a read may be what drops it. */
  readonly outlast = async (ttl: number): Promise<void> => {
    if (this.exact) return this.wait(this.lifespan(ttl))
    const probe = this.key('probe')
    await this.store.set(probe, this.item('probe'), ttl)
    await this.untilGone(probe, 'a ttl is over some time')
    // The nodes of a cluster need not tick at the same moment.
    await this.wait(this.store.limits.ttlStep + pollMs)
  }

  /**
   * Does what must be done before a ttl is over: again with a longer one when the machine was too slow
   * for it. Returns the key and the ttl that held.
   */
  readonly inTime = async (
    act: (key: string, ttl: number) => Promise<void>,
  ): Promise<{ readonly key: string; readonly ttl: number }> => {
    for (let ttl = this.exact ? this.shortTtl : 4 * this.shortTtl; ; ttl *= 4) {
      const key = this.key()
      const start = performance.now()
      const failure = await act(key, ttl).then(
        () => undefined,
        (error: unknown) => ({ error }),
      )
      if (!this.exact && performance.now() - start > ttl / 3) continue
      if (failure !== undefined) throw failure.error
      return { key, ttl }
    }
  }
}
