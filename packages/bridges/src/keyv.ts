/**
 * Interface: the storage adapters of Keyv 5 (tested with 5.6) and of Keyv 6 (tested with 6.1).
 *
 * Cannot: iterate on a backend that does not list its keys (memcached), where `iterator` is absent; store values that
 * Keyv does not serialize to text (`serialization: false`); distinguish, with `useKeyPrefix: false`, a key that begins with
 * the namespace and a colon from the key without them; clear only what has no namespace. Keyv itself takes a ttl of 0 for
 * none, so that the default ttl of the cache applies. Use one store object per Keyv, because Keyv assigns its namespace to
 * it. `disconnect` does not close the cache. Failures reject with their `CacheError`, which Keyv emits as `error`.
 */
import type { Cache } from '@stowage/core'
import { Store } from './keyv-store.ts'

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
