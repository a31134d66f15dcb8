import type { CacheParts } from './cache-parts.ts'
import { atCaller, errorAtCaller } from './calls/at-caller.ts'
import { type CacheOperation, channels, type InvalidationEvent } from './channels.ts'
import { recoveryOf } from './failover/store-recovery.ts'
import type { Found } from './freshness/entry-reader.ts'
import { runForFlight } from './loading/current-load.ts'
import type { LoadContext } from './loading/load-context.ts'
import type { RememberOptions } from './loading/remember-options.ts'
import {
  checkFunction,
  checkIncrement,
  checkKeys,
  checkReadOptions,
  checkTags,
} from './options/check-arguments.ts'
import { checkOptionNames } from './options/check-options.ts'
import type { LoadMany } from './remember/remember-many.ts'
import { listKeys } from './scope/list-keys.ts'
import type { Awaitable, ReadOptions } from './store.ts'
import { beginCall, type CallSource, ObservedCall, observeCall } from './tracing/observed-call.ts'
import { EntrySnapshot, type Snapshot } from './updates/entry-snapshot.ts'
import type { TtlOptions, WriteOptions } from './updates/tagged-writes.ts'

/**
 * What the methods of a `Cache` do, which are documented there. The last parameter of a method that reads or stores a
 * value is the call, if it is observed.
 */
export class CacheCalls {
  readonly #parts: CacheParts

  constructor(parts: CacheParts) {
    this.#parts = parts
  }

  get<T>(
    key: string,
    options: ReadOptions | undefined,
    call?: ObservedCall,
  ): Promise<T | undefined> {
    let storageKey: string | undefined
    // Not an async function, which V8 does not inline.
    try {
      if (options !== undefined) checkReadOptions(options)
      storageKey = this.#parts.keyspace.toStorageKey(key)
      const reading = this.#parts.reader.read(storageKey, undefined, options)
      if (reading instanceof Promise) return this.#endGet(storageKey, reading, call)
      const value = this.#parts.reader.serveFresh<T>(storageKey, reading, call)
      if (call !== undefined) call.succeed()
      return Promise.resolve(value)
    } catch (error) {
      return this.#endGet(storageKey, Promise.reject(error), call)
    }
  }

  async #endGet<T>(
    storageKey: string | undefined,
    reading: Promise<Found>,
    call: ObservedCall | undefined,
  ): Promise<T | undefined> {
    try {
      const value = this.#parts.reader.serveFresh<T>(storageKey as string, await reading, call)
      call?.succeed()
      return value
    } catch (error) {
      const failure = errorAtCaller(error, storageKey)
      call?.fail(failure)
      throw failure
    }
  }

  async getMany<T>(
    keys: readonly string[],
    options: ReadOptions | undefined,
    call?: ObservedCall,
  ): Promise<(T | undefined)[]> {
    checkKeys('getMany', keys)
    if (options !== undefined) checkReadOptions(options)
    const { keyspace } = this.#parts
    const storageKeys = keys.map((key) => keyspace.toStorageKey(key))
    const reading = this.#parts.store.getMany(storageKeys, options)
    const items = reading instanceof Promise ? await atCaller(reading) : reading
    const checking = this.#parts.reader.freshEntries(storageKeys, items, options)
    const entries = checking instanceof Promise ? await checking : checking
    if (call !== undefined)
      for (const [index, entry] of entries.entries())
        call.noteRead(entry === undefined ? undefined : items[index])
    return this.#parts.entries.serveMany<T>(storageKeys, entries)
  }

  set(
    key: string,
    value: unknown,
    options: WriteOptions | undefined,
    call?: ObservedCall,
  ): Promise<void> {
    // Not an async function, which would create a second promise for most of the calls.
    try {
      if (options?.tags !== undefined) return this.#setTagged([[key, value]], options)
      const storageKey = this.#parts.storageKeyForWrite(key)
      const item = this.#parts.entries.encode(storageKey, value)
      const ttl = this.#parts.ttlOf(options)
      if (ttl === 0) return this.delete(key).then(() => {})
      call?.noteItem(item)
      return Promise.resolve(atCaller(this.#parts.store.set(storageKey, item, ttl), storageKey))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async setMany(
    entries: readonly (readonly [key: string, value: unknown])[],
    options: WriteOptions | undefined,
    call?: ObservedCall,
  ): Promise<void> {
    if (options?.tags !== undefined) return this.#setTagged(entries, options)
    const encoded = entries.map(([key, value]) => {
      const storageKey = this.#parts.storageKeyForWrite(key)
      return [storageKey, this.#parts.entries.encode(storageKey, value)] as const
    })
    const ttl = this.#parts.ttlOf(options)
    if (call !== undefined) for (const [, item] of encoded) call.noteItem(item)
    if (ttl === 0) await atCaller(this.#parts.store.deleteMany(encoded.map(([key]) => key)))
    else await atCaller(this.#parts.store.setMany(encoded, ttl))
  }

  async add(key: string, value: unknown, options: WriteOptions | undefined): Promise<boolean> {
    const storageKey = this.#parts.storageKeyForWrite(key)
    const ttl = this.#parts.ttlOf(options)
    if (options?.tags === undefined) {
      const item = this.#parts.entries.encode(storageKey, value)
      return (
        ttl !== 0 && (await atCaller(this.#parts.updates.add(storageKey, item, ttl), storageKey))
      )
    }
    const adding = this.#parts.taggedWrites.write(
      [[storageKey, value]],
      options.tags,
      async (store, [entry]) =>
        ttl !== 0 && this.#parts.updates.addTo(store, storageKey, entry?.[1], ttl),
    )
    return atCaller(adding, storageKey)
  }

  async replace(key: string, value: unknown, options: WriteOptions | undefined): Promise<boolean> {
    const storageKey = this.#parts.keyspace.toStorageKey(key)
    const encoded = this.#parts.taggedWrites.encode(storageKey, value, options?.tags)
    if (encoded instanceof Promise) encoded.catch(() => {}) // The read of the key may fail before.
    let isReplaced = false
    const replacing = this.#parts.updates.update('replace', storageKey, async (current) => {
      const item = await encoded
      isReplaced = current !== undefined
      return isReplaced ? { item, ttl: this.#parts.ttlOf(options) } : undefined
    })
    await atCaller(replacing, storageKey)
    return isReplaced
  }

  async update<T>(
    key: string,
    change: (current: T | undefined) => Awaitable<T | undefined>,
    options: WriteOptions | undefined,
  ): Promise<T | undefined> {
    checkFunction(change, 'update(key, (current) => next)')
    const storageKey = this.#parts.keyspace.toStorageKey(key)
    let result: T | undefined
    const updating = this.#parts.updates.update<T>(
      'update',
      storageKey,
      async (current, flight) => {
        const facts = await this.#parts.taggedWrites.factsOf(options?.tags)
        result = await runForFlight(flight, () => change(current))
        const item =
          result === undefined ? undefined : this.#parts.entries.encode(storageKey, result, facts)
        return { item, ttl: this.#parts.ttlOf(options) }
      },
    )
    await atCaller(updating, storageKey)
    return result
  }

  async pull<T>(key: string, call?: ObservedCall): Promise<T | undefined> {
    const storageKey = this.#parts.keyspace.toStorageKey(key)
    const value = await atCaller(this.#parts.updates.pull<T>(storageKey), storageKey)
    call?.note(value === undefined ? 'miss' : 'hit')
    return value
  }

  async snapshot<T>(
    key: string,
    options: ReadOptions | undefined,
    call?: ObservedCall,
  ): Promise<Snapshot<T>> {
    if (options !== undefined) checkReadOptions(options)
    const storageKey = this.#parts.keyspace.toStorageKey(key)
    const found = await atCaller(this.#parts.updates.read(storageKey, options), storageKey)
    const value = this.#parts.reader.serveFresh<T>(storageKey, found, call)
    return new EntrySnapshot<T>(storageKey, value, found.item, this.#parts.snapshots)
  }

  remember<T>(
    key: string,
    options: RememberOptions<T>,
    load: (context: LoadContext<T>) => Awaitable<T>,
    call?: ObservedCall,
  ): Promise<T> {
    return this.#parts.remember.remember(key, options, load, undefined, call)
  }

  rememberMany<T>(
    keys: readonly string[],
    options: RememberOptions<T>,
    load: LoadMany<T>,
    call?: ObservedCall,
  ): Promise<(T | undefined)[]> {
    return this.#parts.remember.rememberMany(keys, options, load, call)
  }

  async expire(key: string): Promise<boolean> {
    const storageKey = this.#parts.keyspace.toStorageKey(key)
    return atCaller(this.#parts.updates.expire(storageKey), storageKey)
  }

  async invalidateTags(
    tags: string | readonly string[],
    options: { readonly stale?: boolean },
  ): Promise<void> {
    checkOptionNames('invalidateTags', options, { stale: true })
    const names = checkTags([tags].flat())
    await atCaller(this.#parts.root.tags.invalidate(names, options.stale === true))
    this.#publishInvalidation('tags', names.length)
  }

  async increment(key: string, by: number, options: TtlOptions | undefined): Promise<number> {
    checkIncrement(by)
    const ttl = this.#parts.ttlOf(options)
    const storageKey = this.#parts.storageKeyForWrite(key)
    this.#parts.entries.assertCounters(storageKey)
    // An expired ttl still returns the sum: a missing counter is created and expires after 1 ms.
    const expiry = ttl === 0 ? 1 : ttl
    return atCaller(this.#parts.updates.increment(storageKey, by, expiry), storageKey)
  }

  async touch(key: string, options: TtlOptions | undefined): Promise<boolean> {
    const ttl = this.#parts.ttlOf(options)
    const storageKey =
      ttl === 0 ? this.#parts.storageKeyForWrite(key) : this.#parts.keyspace.toStorageKey(key)
    const touching =
      ttl === 0 ? this.#parts.store.delete(storageKey) : this.#parts.store.touch(storageKey, ttl)
    return atCaller(touching, storageKey)
  }

  async delete(key: string): Promise<boolean> {
    const storageKey = this.#parts.storageKeyForWrite(key)
    return atCaller(this.#parts.store.delete(storageKey), storageKey)
  }

  async deleteMany(keys: readonly string[]): Promise<number> {
    checkKeys('deleteMany', keys)
    return atCaller(
      this.#parts.store.deleteMany(keys.map((key) => this.#parts.storageKeyForWrite(key))),
    )
  }

  async clear(): Promise<void> {
    const { prefix } = this.#parts.keyspace
    this.#parts.scope.invalidateAllLoads(prefix)
    // A loaded value that is being stored could arrive after its key was looked for. Without one, the clear begins at once: a
    // call that is made after it must not come first.
    const writes = this.#parts.scope.writesInFlight(prefix)
    if (writes.length > 0) await Promise.allSettled(writes)
    // The prefix is empty if the cache has none, or if its `GenerationStore` adds it, whose `clear` begins a new generation.
    // Otherwise the keys are listed, and a store that fails over clears the prefix again later.
    if (prefix === '') await atCaller(this.#parts.store.clear())
    else {
      recoveryOf(this.#parts.root.directStore)?.noteClear(prefix)
      await atCaller(this.#deleteListed(prefix))
    }
    // A flight that began meanwhile may have read what is cleared now.
    this.#parts.scope.invalidateAllLoads(prefix)
    this.#publishInvalidation('clear', 0)
  }

  async ping(): Promise<void> {
    await atCaller(this.#parts.store.ping())
  }

  #setTagged(
    entries: readonly (readonly [key: string, value: unknown])[],
    options: WriteOptions,
  ): Promise<void> {
    const stored = entries.map(
      ([key, value]) => [this.#parts.storageKeyForWrite(key), value] as const,
    )
    const [only] = stored.length === 1 ? stored : []
    return atCaller(
      this.#parts.taggedWrites.set(stored, options.tags, this.#parts.ttlOf(options)),
      only?.[0],
    )
  }

  #publishInvalidation(reason: InvalidationEvent['reason'], tags: number): void {
    if (!channels.invalidation.hasSubscribers) return
    const { name: cache, store } = this.#parts
    const event: InvalidationEvent = { cache, store: store.name, reason, tags }
    channels.invalidation.publish(event)
  }

  /** Also drops the near entries of keys that other processes have deleted. */
  async #deleteListed(prefix: string): Promise<void> {
    try {
      for await (const page of listKeys(this.#parts.store, prefix))
        await this.#parts.store.deleteMany(page)
    } finally {
      this.#parts.root.near?.endClear(prefix)
    }
  }
}

/** The calls that are published. */
export type Calls = Pick<CacheCalls, keyof CacheCalls & CacheOperation>

type KeysOf = (args: readonly unknown[]) => readonly string[]

const noKeys: KeysOf = () => []
const ofKey: KeysOf = ([key]) => [key as string]
const ofKeys: KeysOf = ([keys]) => keys as readonly string[]
const ofEntries: KeysOf = ([entries]) =>
  (entries as readonly (readonly [string, unknown])[]).map(([key]) => key)

const keysOf = {
  getMany: ofKeys,
  set: ofKey,
  setMany: ofEntries,
  add: ofKey,
  replace: ofKey,
  update: ofKey,
  pull: ofKey,
  snapshot: ofKey,
  rememberMany: ofKeys,
  expire: ofKey,
  invalidateTags: noKeys,
  increment: ofKey,
  touch: ofKey,
  delete: ofKey,
  deleteMany: ofKeys,
  clear: noKeys,
  ping: noKeys,
} as const satisfies Record<Exclude<keyof Calls, 'get' | 'remember'>, KeysOf>

/** The calls of a cache, each of which is published. Every argument must be passed, also if it is `undefined`. */
export function observedCalls(source: CallSource, calls: Calls): Calls {
  const observed: Record<string, unknown> = {
    // The most frequent calls settle the event themselves: a promise for that would cost as much as all the rest.
    get: (key: string, options: ReadOptions | undefined) =>
      beginCall(new ObservedCall(source, 'get', [key]), (call) => calls.get(key, options, call)),
    remember: <T>(
      key: string,
      options: RememberOptions<T>,
      load: (context: LoadContext<T>) => Awaitable<T>,
    ) =>
      beginCall(new ObservedCall(source, 'remember', [key]), (call) =>
        calls.remember(key, options, load, call),
      ),
  }
  for (const [name, keys] of Object.entries(keysOf)) {
    const operation = name as keyof typeof keysOf
    const method = calls[operation] as (...args: unknown[]) => Promise<unknown>
    observed[name] = (...args: unknown[]) => {
      const run = (call: ObservedCall) => method.call(calls, ...args, call)
      return observeCall(source, operation, keys(args), run)
    }
  }
  return observed as unknown as Calls
}
