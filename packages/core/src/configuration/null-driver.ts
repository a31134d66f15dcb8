import { Lifecycle } from '../calls/in-flight.ts'
import type { ByteStore, Payload } from '../store.ts'
import type { Driver } from './driver.ts'

/** Accepts every write and stores nothing. */
class NullStore implements ByteStore {
  readonly name = 'null'
  readonly payload = 'bytes'
  /** No other process reads the items either, so loads need no lease. */
  readonly processLocal = true
  readonly limits: ByteStore['limits'] = { keyBytes: Infinity, valueBytes: Infinity, ttlStep: 1 }
  readonly #lifecycle = new Lifecycle('null')

  get(_key: string): undefined {
    this.#lifecycle.assertOpen('get')
  }

  getMany(keys: readonly string[]): undefined[] {
    this.#lifecycle.assertOpen('getMany')
    return keys.map(() => undefined)
  }

  set(_key: string, _item: Payload): void {
    this.#lifecycle.assertOpen('set')
  }

  setMany(_entries: readonly (readonly [key: string, item: Payload])[]): void {
    this.#lifecycle.assertOpen('setMany')
  }

  /** The key is always missing. */
  add(_key: string, _item: Payload): boolean {
    this.#lifecycle.assertOpen('add')
    return true
  }

  /** No stored item equals the expected one. */
  compareAndSet(_key: string, _expected: Payload, _next: Payload | undefined): boolean {
    this.#lifecycle.assertOpen('compareAndSet')
    return false
  }

  /** Every counter begins at 0. */
  increment(_key: string, by: number): number {
    this.#lifecycle.assertOpen('increment')
    return by
  }

  touch(_key: string): boolean {
    this.#lifecycle.assertOpen('touch')
    return false
  }

  delete(_key: string): boolean {
    this.#lifecycle.assertOpen('delete')
    return false
  }

  deleteMany(_keys: readonly string[]): number {
    this.#lifecycle.assertOpen('deleteMany')
    return 0
  }

  clear(): void {
    this.#lifecycle.assertOpen('clear')
  }

  ping(): void {
    this.#lifecycle.assertOpen('ping')
  }

  close(): Promise<void> {
    return this.#lifecycle.close(() => undefined)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *scan(_prefix: string): AsyncGenerator<string[], void, undefined> {
    this.#lifecycle.assertOpen('scan')
    yield []
  }
}

/**
 * Creates a store that accepts every write and stores nothing, so that every read is a miss: for tests, and to run an
 * application without a cache. `CACHE_DRIVER=null` selects it. Sessions cannot use it.
 *
 * @example
 * const withoutCache = new Cache(nullStore())
 * await withoutCache.set('k', 1)
 * console.log(await withoutCache.get('k')) // undefined
 */
export function nullStore(): ByteStore {
  return new NullStore()
}

/** The driver of `CACHE_DRIVER=null`. Every registry has it. */
export const nullDriver: Driver<object> = {
  name: 'null',
  discards: true,
  create: nullStore,
  fromEnv: () => ({}),
}
