import { type Payload, type ReadOptions, type StoreLimits, systemClock } from '@stowage/core'
import type { ByteStore, ItemWithTtl, KeyPlacement } from '@stowage/core/driver'
import { conflict, Lifecycle, retryOnConflict, samePayload } from '@stowage/core/driver'
import { KeyOrder } from '@stowage/core/internal'
import { Counters, isReadFirst } from './items/counters.ts'
import { Items, type ItemWrite, maxKeyBytes } from './items/items.ts'
import { ReadItems } from './items/read-items.ts'
import { isServerCounter, readUnchanged } from './items/read-unchanged.ts'
import { Dispatcher, type Router } from './nodes/dispatcher.ts'
import { readAdded, readCasOutcome, readOk } from './protocol/status-replies.ts'
import { readWithCas } from './values/item-replies.ts'

/** Stores payloads as memcached items, each on the node that the hash ring maps its key to. */
export class MemcachedStore implements ByteStore {
  readonly name = 'memcached'
  readonly payload = 'bytes'
  readonly #router: Router
  readonly #dispatcher: Dispatcher
  readonly #items: Items
  readonly #counters: Counters
  readonly #readItems: ReadItems
  readonly #lifecycle = new Lifecycle('memcached')
  /**
   * Calls of several requests keep their order with all other calls for their keys. Those of one request need none among
   * themselves: a connection sends them in the order of the calls.
   */
  readonly #order = new KeyOrder()

  constructor(router: Router, oversize: 'reject' | 'chunk') {
    this.#router = router
    this.#dispatcher = new Dispatcher(router)
    this.#items = new Items(this.#dispatcher, oversize === 'chunk')
    this.#counters = new Counters(this.#dispatcher, this.#items)
    this.#readItems = new ReadItems(this.#dispatcher, this.#items)
  }

  get limits(): StoreLimits {
    return { keyBytes: maxKeyBytes, valueBytes: this.#items.valueBytes, ttlStep: 1_000 }
  }

  get placement(): KeyPlacement | undefined {
    return this.#router.placement
  }

  get(key: string, options?: ReadOptions): Promise<Payload | undefined> {
    this.#lifecycle.assertOpen('get')
    if (options?.forUpdate === true) return this.#inOrder(key, () => this.#readItems.get(key))
    if (this.#order.isIdle) return this.#items.get(key)
    return this.#inOrder(key, () => this.#items.get(key))
  }

  getMany(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    this.#lifecycle.assertOpen('getMany')
    if (!this.#order.isBusy(keys)) return this.#items.getMany(keys)
    return this.#order.run(keys, false, () => this.#items.getMany(keys))
  }

  getWithTtl(keys: readonly string[]): Promise<(ItemWithTtl<Payload> | undefined)[]> {
    this.#lifecycle.assertOpen('getWithTtl')
    if (!this.#order.isBusy(keys)) return this.#items.getWithTtl(keys)
    return this.#order.run(keys, false, () => this.#items.getWithTtl(keys))
  }

  set(key: string, payload: Payload, ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('set')
    return this.#store('set', key, payload, { mode: 'set', ttl, read: readOk })
  }

  setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('setMany')
    const hasSplit = entries.some(([, payload]) => this.#items.mayBeSplit(payload))
    if (!hasSplit && this.#order.isIdle) return this.#items.storeMany(entries, ttl)
    const keys = entries.map(([key]) => key)
    if (!hasSplit && !this.#order.isBusy(keys)) return this.#items.storeMany(entries, ttl)
    return this.#order.run(keys, true, () => this.#items.storeMany(entries, ttl))
  }

  add(key: string, payload: Payload, ttl?: number): Promise<boolean> {
    this.#lifecycle.assertOpen('add')
    return this.#store('add', key, payload, { mode: 'add', ttl, read: readAdded })
  }

  compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    this.#lifecycle.assertOpen('compareAndSet')
    return this.#order.run([key], true, () =>
      this.#retryOnConflict('compareAndSet', key, () =>
        this.#tryCompareAndSet(key, expected, next, ttl),
      ),
    )
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    this.#lifecycle.assertOpen('increment')
    const increment = () =>
      this.#retryOnConflict('increment', key, () => this.#counters.tryIncrement(key, by, ttl))
    if (isReadFirst(by)) return this.#order.run([key], true, increment)
    return this.#order.overlap('increment', key, increment, undefined)
  }

  touch(key: string, ttl?: number): Promise<boolean> {
    this.#lifecycle.assertOpen('touch')
    if (this.#order.isIdle) return this.#items.touch(key, ttl)
    return this.#inOrder(key, () => this.#items.touch(key, ttl))
  }

  delete(key: string): Promise<boolean> {
    this.#lifecycle.assertOpen('delete')
    if (this.#order.isIdle) return this.#items.delete('delete', key)
    return this.#inOrder(key, () => this.#items.delete('delete', key))
  }

  deleteMany(keys: readonly string[]): Promise<number> {
    this.#lifecycle.assertOpen('deleteMany')
    if (!this.#order.isBusy(keys)) return this.#items.deleteMany(keys)
    return this.#order.run(keys, true, () => this.#items.deleteMany(keys))
  }

  clear(): Promise<void> {
    this.#lifecycle.assertOpen('clear')
    return this.#order.runForEveryKey(() =>
      this.#dispatcher.broadcast('clear', (connection) => connection.flushAll('clear')),
    )
  }

  ping(): Promise<void> {
    this.#lifecycle.assertOpen('ping')
    return this.#dispatcher.pingAll()
  }

  /** The clock of the first node that replies. */
  async time(): Promise<number> {
    this.#lifecycle.assertOpen('time')
    const seconds = await this.#dispatcher.sendToAny('time', (connection) =>
      connection.time('time'),
    )
    return seconds * 1_000
  }

  close(): Promise<void> {
    return this.#lifecycle.close(async () => {
      // Calls that wait for others have not been sent yet.
      await this.#order.idle()
      await this.#dispatcher.close()
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** A payload that needs several requests is stored before the next call for its key. */
  #store<T>(operation: string, key: string, payload: Payload, write: ItemWrite<T>): Promise<T> {
    const isSplit = this.#items.mayBeSplit(payload)
    if (!isSplit && this.#order.isIdle) return this.#items.store(operation, key, payload, write)
    const store = () => this.#items.store(operation, key, payload, write)
    return isSplit ? this.#order.run([key], true, store) : this.#inOrder(key, store)
  }

  /** Makes a call of one request: after the calls of several requests that came before. */
  #inOrder<T>(key: string, call: () => Promise<T>): Promise<T> {
    if (!this.#order.has(key)) return call()
    return this.#order.overlap('one request', key, call, undefined)
  }

  #retryOnConflict<T>(
    operation: string,
    key: string,
    attempt: () => Promise<T | typeof conflict>,
  ): Promise<T> {
    return this.#dispatcher.track(
      retryOnConflict({ operation, store: 'memcached', key }, systemClock, attempt),
    )
  }

  /** One attempt: reads the item with its cas id, compares it, and writes only if the id has not changed. */
  async #tryCompareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl: number | undefined,
  ): Promise<boolean | typeof conflict> {
    const operation = 'compareAndSet'
    if (next !== undefined) this.#items.assertFits(operation, key, next)
    // The cas id of a read may be that of a later sum.
    const isCounter = isServerCounter(expected)
    const direct = isCounter ? 'changed' : await this.#readItems.replace(key, expected, next, ttl)
    if (direct !== 'changed') return direct === 'done'
    const item = await this.#dispatcher.send(operation, key, (connection) => {
      const read = () => connection.get(operation, key, readWithCas)
      return isCounter ? readUnchanged(read) : read()
    })
    if (item === conflict) return conflict
    const payload = await this.#items.readChunks(operation, item?.value)
    if (item === undefined || payload === undefined || !samePayload(payload, expected)) return false
    const { cas } = item
    const outcome = await (next === undefined
      ? this.#dispatcher.send(operation, key, (connection) =>
          connection.delete(operation, key, cas, readCasOutcome),
        )
      : this.#items.store(operation, key, next, { mode: 'set', ttl, cas, read: readCasOutcome }))
    return outcome === 'changed' ? conflict : outcome === 'done'
  }
}
