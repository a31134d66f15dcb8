import { type ByteStore, type Payload, type StoreLimits, systemClock } from '@stowage/core'
import { conflict, Lifecycle, retryOnConflict, samePayload } from '@stowage/core/driver'
import { Counters } from './items/counters.ts'
import { readSeen } from './items/item-replies.ts'
import { Items, keyBytes } from './items/items.ts'
import { Dispatch, type Router } from './nodes/dispatcher.ts'
import { isThere, readAdded, readAnything, readOutcome } from './protocol/status-replies.ts'

/** Entries as items of memcached, on the node the ring gives their key. */
export class MemcachedStore implements ByteStore {
  readonly name = 'memcached'
  readonly payload = 'bytes'
  readonly #dispatch: Dispatch
  readonly #items: Items
  readonly #counters: Counters
  readonly #lifecycle = new Lifecycle('memcached')

  constructor(router: Router, oversize: 'reject' | 'chunk') {
    this.#dispatch = new Dispatch(router)
    this.#items = new Items(this.#dispatch, oversize === 'chunk')
    this.#counters = new Counters(this.#dispatch, this.#items)
  }

  get limits(): StoreLimits {
    return { keyBytes, valueBytes: this.#items.valueBytes, ttlStep: 1_000 }
  }

  get(key: string): Promise<Payload | undefined> {
    this.#lifecycle.assertOpen('get')
    return this.#items.get(key)
  }

  getMany(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    this.#lifecycle.assertOpen('getMany')
    return this.#items.getMany(keys)
  }

  set(key: string, item: Payload, ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('set')
    return this.#items.store('set', key, item, { mode: 'set', ttl, read: readAnything })
  }

  setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('setMany')
    return this.#items.storeMany(new Map(entries), ttl)
  }

  add(key: string, item: Payload, ttl?: number): Promise<boolean> {
    this.#lifecycle.assertOpen('add')
    return this.#items.store('add', key, item, { mode: 'add', ttl, read: readAdded })
  }

  compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    return this.#retryOnConflict('compareAndSet', () => this.#swap(key, expected, next, ttl))
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#retryOnConflict('increment', () => this.#counters.count(key, by, ttl))
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
    const each = [...new Set(keys)]
    let missing = 0
    await this.#dispatch.groups('deleteMany', each, (connection, group) =>
      connection.deleteMany('deleteMany', group.keys, (reply) => {
        if (!isThere(reply)) missing++
      }),
    )
    return each.length - missing
  }

  clear(): Promise<void> {
    this.#lifecycle.assertOpen('clear')
    return this.#dispatch.each('clear', (connection) => connection.flushAll('clear'))
  }

  ping(): Promise<void> {
    this.#lifecycle.assertOpen('ping')
    return this.#dispatch.each('ping', (connection) => connection.noop('ping'))
  }

  close(): Promise<void> {
    return this.#lifecycle.close(() => this.#dispatch.close())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #retryOnConflict<T>(operation: string, attempt: () => Promise<T | typeof conflict>): Promise<T> {
    this.#lifecycle.assertOpen(operation)
    return this.#dispatch.tracked(retryOnConflict({ operation, store: 'memcached' }, systemClock, attempt))
  }

  /** One attempt to replace what was expected. */
  async #swap(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl: number | undefined,
  ): Promise<boolean | typeof conflict> {
    const operation = 'compareAndSet'
    if (next !== undefined) this.#items.assertFits(operation, key, next)
    const seen = await this.#dispatch.one(operation, key, (connection) =>
      connection.get(operation, key, readSeen),
    )
    const item = await this.#items.whole(operation, seen?.found)
    if (seen === undefined || item === undefined || !samePayload(item, expected)) return false
    const { cas } = seen
    const outcome = await (next === undefined
      ? this.#dispatch.one(operation, key, (connection) =>
          connection.delete(operation, key, cas, readOutcome),
        )
      : this.#items.store(operation, key, next, {
          ...{ mode: 'set', ttl, cas },
          read: readOutcome,
        }))
    return outcome === 'changed' ? conflict : outcome === 'done'
  }
}
