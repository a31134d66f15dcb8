import { EventEmitter } from 'node:events'
import type { Cache } from '@stowage/core'
import { canListKeys, viewAsIs } from '@stowage/core/internal'
import { checkCache } from './support/check-cache.ts'
import { setByTtl } from './support/set-by-ttl.ts'
import { textOf } from './support/text-of.ts'

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
export abstract class Store extends EventEmitter {
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
