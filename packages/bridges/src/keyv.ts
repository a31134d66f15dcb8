/**
 * Interface: the storage adapters of Keyv 5 (tested with 5.6) and of Keyv 6 (tested with 6.1).
 *
 * Cannot: iterate on a backend that does not list its keys (memcached), where `iterator` is absent; store values that
 * Keyv does not serialize to text (`serialization: false`). Keyv itself takes a ttl of 0 for none, so that the default
 * ttl of the cache applies. Use one store object per Keyv, because Keyv assigns its namespace to it. `disconnect` does
 * not close the cache. Failures reject with their `CacheError`, which Keyv emits as `error`.
 */
import { EventEmitter } from 'node:events'
import type { Cache } from '@stowage/core'
import { canListKeys, toText, viewAsIs } from '@stowage/core/driver'
import { checkCache } from './check-cache.ts'
import { groupByTtl } from './group-by-ttl.ts'

/** Entries that are read together by an iterator. */
const pageSize = 100
/** A number above it is a date, and one below it a duration. */
const year2000 = Date.UTC(2000, 0, 1)

type Iterator = AsyncGenerator<[key: string, text: string | undefined], void>

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

/** What both versions of Keyv call in the same way. Keyv listens for errors, of which there are none. */
class Store extends EventEmitter {
  namespace?: string | undefined
  // Absent, and not undefined, where the backend cannot list keys: Keyv 5 only looks whether it exists.
  declare iterator?: () => Iterator
  protected readonly cache: Cache

  constructor(cache: Cache) {
    super()
    checkCache('keyvStore', cache)
    // Keyv encodes values itself. As JSON, its text would be quoted again.
    this.cache = viewAsIs(cache, 'text')
  }

  /** The cache of the namespace, so that `clear` leaves the others. */
  protected get scope(): Cache {
    return this.namespace ? this.cache.namespace(this.namespace) : this.cache
  }

  async get<T>(key: string): Promise<T | undefined> {
    return asText(await this.scope.get(this.keyOf(key)))
  }

  async getMany<T>(keys: string[]): Promise<(T | undefined)[]> {
    const values = await this.scope.getMany(keys.map((key) => this.keyOf(key)))
    return values.map((value) => asText<T>(value))
  }

  async has(key: string): Promise<boolean> {
    return this.scope.has(this.keyOf(key))
  }

  async hasMany(keys: string[]): Promise<boolean[]> {
    return (await this.getMany(keys)).map((value) => value !== undefined)
  }

  async delete(key: string): Promise<boolean> {
    return this.scope.delete(this.keyOf(key))
  }

  async clear(): Promise<void> {
    await this.scope.clear()
  }

  async disconnect(): Promise<void> {}

  /** Stores the entries of each ttl together. */
  protected async setGroups(
    entries: readonly { key: string; value: unknown; ttl: number | undefined }[],
  ): Promise<void> {
    const step = this.cache.limits.ttlStep
    // Two entries of one call may have ttls that differ by a millisecond, which the backend rounds to the same one.
    const rounded = (ttl: number | undefined) => ttl && Math.ceil(ttl / step) * step
    const groups = groupByTtl(entries, ({ ttl }) => rounded(ttl))
    const writes = [...groups].map(([ttl, group]) => {
      const pairs = group.map(({ key, value }) => [this.keyOf(key), value] as const)
      return this.scope.setMany(pairs, { ttl })
    })
    await Promise.all(writes)
  }

  protected keyOf(key: string): string {
    return key
  }

  protected async *iterate(prefix: string): Iterator {
    const { scope } = this
    for await (const keys of pagesOf(scope)) {
      const values = await scope.getMany(keys)
      for (const [index, key] of keys.entries()) {
        const text = asText<string>(values[index])
        if (text !== undefined) yield [prefix + key, text]
      }
    }
  }
}

/** See {@link keyvStore}. */
export class KeyvStore extends Store {
  /** Keyv 5 only iterates over stores that it takes for one of its own. */
  readonly opts: { readonly dialect: string } = { dialect: 'redis' }

  constructor(cache: Cache) {
    super(cache)
    if (canListKeys(cache)) this.iterator = () => this.iterate(this.#prefix)
  }

  /** @throws TypeError Keyv 6 reads it when it is created, and Keyv 5 does not */
  get capabilities(): never {
    throw new TypeError('keyvStore is a store for Keyv 5. Use keyv6Store of @stowage/bridges/keyv.')
  }

  /** @param ttl in milliseconds */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    await this.scope.set(this.keyOf(key), value, { ttl })
    return true
  }

  async setMany(
    entries: { key: string; value: unknown; ttl?: number | undefined }[],
  ): Promise<never> {
    await this.setGroups(entries.map(({ key, value, ttl }) => ({ key, value, ttl })))
    // Keyv 5 returns this as the outcomes, although its types say otherwise.
    return entries.map(() => true) as never
  }

  /** Whether one of the keys existed. */
  async deleteMany(keys: string[]): Promise<boolean> {
    return (await this.scope.deleteMany(keys.map((key) => this.keyOf(key)))) > 0
  }

  get #prefix(): string {
    return this.namespace ? `${this.namespace}:` : ''
  }

  /** Keyv 5 prepends its namespace, unless `useKeyPrefix` is false. */
  protected override keyOf(key: string): string {
    const prefix = this.#prefix
    return key.startsWith(prefix) ? key.slice(prefix.length) : key
  }
}

interface Keyv6Entry {
  readonly key: string
  readonly value: unknown
  /** In epoch milliseconds. */
  readonly expires?: number | undefined
  /** What Keyv 5 passes instead. */
  readonly ttl?: number | undefined
}

/** See {@link keyv6Store}. */
export class Keyv6Store extends Store {
  /** Makes Keyv 6 pass dates instead of durations. */
  readonly capabilities: { readonly expires: true } = { expires: true }

  constructor(cache: Cache) {
    super(cache)
    if (canListKeys(cache)) this.iterator = () => this.iterate('')
  }

  /** @param expires in epoch milliseconds */
  async set(key: string, value: unknown, expires?: number): Promise<boolean> {
    await this.scope.set(key, value, { ttl: this.#ttlUntil(expires) })
    return true
  }

  async setMany(entries: Keyv6Entry[]): Promise<boolean[]> {
    await this.setGroups(
      entries.map((entry) => ({ ...entry, ttl: this.#ttlUntil(entry.expires ?? entry.ttl) })),
    )
    return entries.map(() => true)
  }

  /** Whether each of the keys existed. */
  async deleteMany(keys: string[]): Promise<boolean[]> {
    const { scope } = this
    return Promise.all(keys.map((key) => scope.delete(key)))
  }

  #ttlUntil(expires: number | undefined): number | undefined {
    if (expires === undefined) return undefined
    if (expires > year2000) return expires - this.cache.clock.now()
    throw new TypeError(
      `keyv6Store is a store for Keyv 6, which passes dates, but it was given the duration ${expires}. ` +
        'Use keyvStore of @stowage/bridges/keyv for Keyv 5.',
    )
  }
}

async function* pagesOf(cache: Cache): AsyncGenerator<string[], void> {
  let page: string[] = []
  for await (const key of cache.keys()) {
    if (page.push(key) < pageSize) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}

/** A cache with a codec of its own may return the bytes of the text. */
function asText<T>(value: unknown): T | undefined {
  return (value instanceof Uint8Array ? toText(value) : value) as T | undefined
}
