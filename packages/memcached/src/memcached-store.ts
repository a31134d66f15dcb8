import { type ByteStore, type Payload, type StoreLimits, systemClock } from '@stowage/core'
import { conflict, Lifecycle, retryOnConflict, samePayload } from '@stowage/core/driver'
import { Counters } from './items/counters.ts'
import { readWithCas } from './items/item-replies.ts'
import { Items, maxKeyBytes } from './items/items.ts'
import { Dispatcher, type Router } from './nodes/dispatcher.ts'
import { readAdded, readCasOutcome, readExists, readOk } from './protocol/status-replies.ts'

/** Stores payloads as memcached items, each on the node that the hash ring maps its key to. */
export class MemcachedStore implements ByteStore {
  readonly name = 'memcached'
  readonly payload = 'bytes'
  readonly #dispatcher: Dispatcher
  readonly #items: Items
  readonly #counters: Counters
  readonly #lifecycle = new Lifecycle('memcached')

  constructor(router: Router, oversize: 'reject' | 'chunk') {
    this.#dispatcher = new Dispatcher(router)
    this.#items = new Items(this.#dispatcher, oversize === 'chunk')
    this.#counters = new Counters(this.#dispatcher, this.#items)
  }

  get limits(): StoreLimits {
    return { keyBytes: maxKeyBytes, valueBytes: this.#items.valueBytes, ttlStep: 1_000 }
  }

  get(key: string): Promise<Payload | undefined> {
    this.#lifecycle.assertOpen('get')
    return this.#items.get(key)
  }

  getMany(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    this.#lifecycle.assertOpen('getMany')
    return this.#items.getMany(keys)
  }

  set(key: string, payload: Payload, ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('set')
    return this.#items.store('set', key, payload, { mode: 'set', ttl, read: readOk })
  }

  setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('setMany')
    return this.#items.storeMany(new Map(entries), ttl)
  }

  add(key: string, payload: Payload, ttl?: number): Promise<boolean> {
    this.#lifecycle.assertOpen('add')
    return this.#items.store('add', key, payload, { mode: 'add', ttl, read: readAdded })
  }

  compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    return this.#retryOnConflict('compareAndSet', () =>
      this.#tryCompareAndSet(key, expected, next, ttl),
    )
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#retryOnConflict('increment', () => this.#counters.tryIncrement(key, by, ttl))
  }

  touch(key: string, ttl?: number): Promise<boolean> {
    this.#lifecycle.assertOpen('touch')
    return this.#items.touch(key, ttl)
  }

  delete(key: string): Promise<boolean> {
    this.#lifecycle.assertOpen('delete')
    return this.#items.delete('delete', key)
  }

  async deleteMany(keys: readonly string[]): Promise<number> {
    this.#lifecycle.assertOpen('deleteMany')
    const uniqueKeys = [...new Set(keys)]
    let missing = 0
    await this.#dispatcher.sendGroups('deleteMany', uniqueKeys, (connection, group) =>
      connection.deleteMany('deleteMany', group.keys, (reply) => {
        if (!readExists(reply)) missing++
      }),
    )
    return uniqueKeys.length - missing
  }

  clear(): Promise<void> {
    this.#lifecycle.assertOpen('clear')
    return this.#dispatcher.broadcast('clear', (connection) => connection.flushAll('clear'))
  }

  ping(): Promise<void> {
    this.#lifecycle.assertOpen('ping')
    return this.#dispatcher.broadcast('ping', (connection) => connection.noop('ping'))
  }

  close(): Promise<void> {
    return this.#lifecycle.close(() => this.#dispatcher.close())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #retryOnConflict<T>(operation: string, attempt: () => Promise<T | typeof conflict>): Promise<T> {
    this.#lifecycle.assertOpen(operation)
    return this.#dispatcher.track(
      retryOnConflict({ operation, store: 'memcached' }, systemClock, attempt),
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
    const item = await this.#dispatcher.send(operation, key, (connection) =>
      connection.get(operation, key, readWithCas),
    )
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
