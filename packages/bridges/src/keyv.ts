/**
 * Interface: the storage adapters of Keyv 5 (tested with 5.6) and of Keyv 6 (tested with 6.1).
 *
 * Cannot: iterate on a backend that does not list its keys (memcached), where `iterator` is absent; store values that
 * Keyv does not serialize to text (`serialization: false`); distinguish, with `useKeyPrefix: false`, a key that begins with
 * the namespace and a colon from the key without them; clear only what has no namespace. Keyv itself takes a ttl of 0 for
 * none, so that the default ttl of the cache applies. Use one store object per Keyv, because Keyv assigns its namespace to
 * it. `disconnect` does not close the cache. Failures reject with their `CacheError`, which Keyv emits as `error`.
 */
import { EventEmitter } from 'node:events'
import type { Cache } from '@stowage/core'
import { canListKeys, viewAsIs } from '@stowage/core/internal'
import { checkCache, setByTtl, textOf } from './support/caches.ts'

/** A number above it is a date, and one below it a duration. */
const year2000 = Date.UTC(2000, 0, 1)

/**
 * Returns a store for a Keyv 5.
 *
 * @example
 * import { Keyv } from 'keyv'
 *
 * const users = new Keyv({ store: keyvStore(cache), namespace: 'users' })
 * await users.set('1', { name: 'Ada' }, 60_000)
 */
export function keyvStore(cache: Cache): KeyvStore {
  return new KeyvStore(cache)
}

/** Returns a store for a Keyv 6, like {@link keyvStore} for a Keyv 5. */
export function keyv6Store(cache: Cache): Keyv6Store {
  return new Keyv6Store(cache)
}

/** Entries that are read together by an iterator. */
const pageSize = 100

/** Both in milliseconds: `ttl` of Keyv 5, and `expires` of Keyv 6 since the epoch. */
interface Entry {
  readonly key: string
  readonly value: unknown
  readonly ttl?: number | undefined
  readonly expires?: number | undefined
}

/** What both versions of Keyv call in the same way. Keyv listens for errors, of which there are none. */
abstract class Store extends EventEmitter {
  namespace?: string | undefined
  // Absent, and not undefined, where the backend cannot list keys: Keyv 5 only looks whether it exists.
  declare iterator?: () => AsyncGenerator<[key: string, text: string | undefined], void>
  protected readonly cache: Cache

  constructor(cache: Cache) {
    super()
    checkCache('keyvStore', cache)
    // Keyv encodes values itself. As JSON, its text would be quoted again.
    this.cache = viewAsIs(cache, 'text')
    if (canListKeys(cache)) this.iterator = () => this.#iterate()
  }

  get<T>(key: string): Promise<T | undefined> {
    return this.scope.get(this.keyOf(key)).then(textOf) as Promise<T>
  }

  async getMany<T>(keys: string[]): Promise<(T | undefined)[]> {
    const values = await this.scope.getMany(keys.map((key) => this.keyOf(key)))
    return values.map((value) => textOf(value) as T)
  }

  has(key: string): Promise<boolean> {
    return this.scope.has(this.keyOf(key))
  }

  async hasMany(keys: string[]): Promise<boolean[]> {
    return (await this.getMany(keys)).map((value) => value !== undefined)
  }

  /** @param until the `ttl` of Keyv 5, or `expires` of Keyv 6 */
  async set(key: string, value: unknown, until?: number): Promise<boolean> {
    await this.scope.set(this.keyOf(key), value, { ttl: this.ttlOf(until) })
    return true
  }

  async setMany(entries: Entry[]): Promise<never> {
    const step = this.cache.limits.ttlStep
    // Two entries of one call may have ttls that differ by a millisecond, which the backend rounds to the same one.
    const rounded = (ttl: number | undefined) => ttl && Math.ceil(ttl / step) * step
    await setByTtl(
      this.scope,
      entries.map(({ key, value, ttl, expires }) => [
        this.keyOf(key),
        value,
        rounded(this.ttlOf(expires ?? ttl)),
      ]),
    )
    // Keyv 5 returns this as the outcomes as well, although its types say otherwise.
    return entries.map(() => true) as never
  }

  async delete(key: string): Promise<boolean> {
    return this.scope.delete(this.keyOf(key))
  }

  async clear(): Promise<void> {
    await this.scope.clear()
  }

  async disconnect(): Promise<void> {}

  /** The cache of the namespace, so that `clear` leaves the others. */
  protected get scope(): Cache {
    return this.namespace ? this.cache.namespace(this.namespace) : this.cache
  }

  /** What Keyv has prepended to keys, and expects in those of an iterator. */
  protected get prefix(): string {
    return ''
  }

  /** Keyv 5 prepends its namespace, unless `useKeyPrefix` is false. */
  protected keyOf(key: string): string {
    return key.startsWith(this.prefix) ? key.slice(this.prefix.length) : key
  }

  protected abstract ttlOf(until: number | undefined): number | undefined

  async *#iterate(): AsyncGenerator<[key: string, text: string | undefined], void> {
    let page: string[] = []
    for await (const key of this.scope.keys()) {
      if (page.push(key) < pageSize) continue
      yield* await this.#entriesOf(page)
      page = []
    }
    yield* await this.#entriesOf(page)
  }

  async #entriesOf(keys: readonly string[]): Promise<[key: string, text: string | undefined][]> {
    const values = await this.scope.getMany(keys)
    return keys.flatMap((key, index) =>
      values[index] === undefined ? [] : [[this.prefix + key, textOf(values[index])]],
    )
  }
}

/** See {@link keyvStore}. */
export class KeyvStore extends Store {
  /** Keyv 5 only iterates over stores that it takes for one of its own. */
  readonly opts: { readonly dialect: string } = { dialect: 'redis' }

  /** @throws TypeError Keyv 6 reads it when it is created, and Keyv 5 does not */
  get capabilities(): never {
    throw new TypeError('keyvStore is a store for Keyv 5. Use keyv6Store of @stowage/bridges/keyv.')
  }

  /** Whether one of the keys existed. */
  async deleteMany(keys: string[]): Promise<boolean> {
    return (await this.scope.deleteMany(keys.map((key) => this.keyOf(key)))) > 0
  }

  protected override get prefix(): string {
    return this.namespace ? `${this.namespace}:` : ''
  }

  protected override ttlOf(ttl: number | undefined): number | undefined {
    return ttl
  }
}

/** See {@link keyv6Store}. */
export class Keyv6Store extends Store {
  /** Makes Keyv 6 pass dates instead of durations. */
  readonly capabilities: { readonly expires: true } = { expires: true }

  /** Whether each of the keys existed. */
  async deleteMany(keys: string[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.delete(key)))
  }

  protected override ttlOf(expires: number | undefined): number | undefined {
    if (expires === undefined) return undefined
    if (expires > year2000) return expires - this.cache.clock.now()
    throw new TypeError(
      `keyv6Store is a store for Keyv 6, which passes dates, but it was given the duration ${expires}. ` +
        'Use keyvStore of @stowage/bridges/keyv for Keyv 5.',
    )
  }
}
