/**
 * Interface: the stores of cache-manager 7 (tested with 7.2) and of `@nestjs/cache-manager` 12, which are Keyv objects.
 * This object has the methods of a Keyv 5 that they call. Behind a real Keyv, reads take two to three times as long, because
 * Keyv decodes values with a reviver, and with a Keyv 6 `wrap` calls its function every time.
 *
 * Cannot: apply the `namespace` of `CacheModule` (use `cache.namespace(name)`); hooks and statistics of Keyv. A ttl of 0
 * is over. For entries that never expire, pass `Infinity`. `disconnect` does not close the cache. A failed read is a
 * miss, and an event of the channel `stowage:error`; `set`, `delete` and `clear` reject with the `CacheError`.
 */
import type { Cache } from '@stowage/core'
import { checkCache, missOf, orMiss, setByTtl } from './support/caches.ts'

/** What is stored, so that `ttl()` and `refreshThreshold` know when a value expires. In epoch milliseconds. */
interface Stored {
  readonly value?: unknown
  readonly expires?: number
}

interface Raw {
  readonly raw?: boolean
}

/**
 * Returns a store for `CacheModule.register({ stores: [nestStore(cache)] })` and for `createCache` of cache-manager.
 *
 * @example
 * import { CacheModule } from '@nestjs/cache-manager'
 *
 * const module = CacheModule.register({ stores: [nestStore(cache)], ttl: 60_000 })
 */
export function nestStore(cache: Cache): NestStore {
  return new NestStore(cache)
}

/** See {@link nestStore}. */
export class NestStore {
  // By these three, Nest recognises a Keyv.
  readonly opts: object = {}
  readonly hooks: object = {}
  readonly stats: object = {}
  readonly #cache: Cache

  constructor(cache: Cache) {
    checkCache('nestStore', cache)
    this.#cache = cache
  }

  /** @param options with `raw`, resolves to the value and when it expires */
  get<T>(key: string, options?: Raw): Promise<T | undefined> {
    // An asynchronous function would take an eighth of the time of a hit in memory.
    const reading = this.#cache.get<Stored>(key)
    const miss = (error: unknown) => missOf(this.#cache, key, error)
    return reading.then<unknown, undefined>(resultOf(options), miss) as Promise<T | undefined>
  }

  async getMany<T>(keys: string[], options?: Raw): Promise<(T | undefined)[]> {
    const read = () => this.#cache.getMany<Stored>(keys)
    const stored = await orMiss(this.#cache, keys[0] ?? '', read)
    const toResult = resultOf(options)
    return keys.map((_, index) => toResult(stored?.[index]) as T)
  }

  async has(key: string): Promise<boolean> {
    return (await this.get(key)) !== undefined
  }

  /** @param ttl in milliseconds @default that of the cache */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    await this.#cache.set(key, this.#stored(value, ttl), { ttl })
    return true
  }

  async setMany(
    entries: { key: string; value: unknown; ttl?: number | undefined }[],
  ): Promise<never> {
    await setByTtl(
      this.#cache,
      entries.map(({ key, value, ttl }) => [key, this.#stored(value, ttl), ttl]),
    )
    // Keyv returns the outcomes, although its types say otherwise.
    return entries.map(() => true) as never
  }

  async delete(key: string): Promise<boolean> {
    return this.#cache.delete(key)
  }

  async deleteMany(keys: string[]): Promise<boolean> {
    return (await this.#cache.deleteMany(keys)) > 0
  }

  async clear(): Promise<void> {
    await this.#cache.clear()
  }

  async disconnect(): Promise<void> {}

  on(_event: string, _listener: (...args: never[]) => void): this {
    return this
  }

  #stored(value: unknown, ttl: number | undefined = this.#cache.ttl): Stored {
    if (ttl === undefined || !Number.isFinite(ttl)) return { value }
    return { value, expires: this.#cache.clock.now() + ttl }
  }
}

/** Returns what `get` returns of a stored value. */
function resultOf(options: Raw | undefined): (stored: Stored | undefined) => unknown {
  return options?.raw ? withExpiry : withoutExpiry
}

function withoutExpiry(stored: Stored | undefined): unknown {
  return stored?.value
}

function withExpiry(stored: Stored | undefined): Stored | undefined {
  return stored?.value === undefined ? undefined : stored
}
