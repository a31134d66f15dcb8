import { type CacheOptions, optionNames } from './cache-options.ts'
import { atCaller } from './calls/at-caller.ts'
import { ChangeCalls } from './changing/change-calls.ts'
import type { BackendReport, CheckOptions, StoreUsage } from './diagnostics.ts'
import { recoveryOf } from './failover/store-recovery.ts'
import { EntryReader } from './freshness/entry-reader.ts'
import { inspectEntry } from './inspection/inspect-entry.ts'
import type { Inspection } from './inspection/inspection.ts'
import { Keyspace } from './keys.ts'
import { LimitCalls } from './limits/limit-calls.ts'
import { LockCalls } from './locks/lock-calls.ts'
import {
  checkBus,
  checkCodec,
  checkPrefix,
  checkStore,
  checkWriteOptions,
} from './options/check-arguments.ts'
import { checkOptionNames, warnOfShortTtl } from './options/check-options.ts'
import { RememberCalls } from './remember/remember-calls.ts'
import { type CacheRoot, createRoot } from './scope/cache-root.ts'
import { CacheScope } from './scope/cache-scope.ts'
import { listKeys } from './scope/list-keys.ts'
import type { AnyStore, Awaitable, CacheStore, ReadOptions } from './store.ts'
import { type Clock, systemClock } from './time/clock.ts'
import { defaultTtl, resolveTtl } from './time/duration.ts'
import { areCallsObserved, type ObservedCall, observeCall } from './tracing/observed-call.ts'
import { EntrySnapshot, type Snapshot, type SnapshotWriter } from './updates/entry-snapshot.ts'
import { EntryUpdates, type Replacement } from './updates/entry-updates.ts'
import { TaggedWrites, type WriteOptions } from './updates/tagged-writes.ts'
import { json } from './values/codecs/json.ts'
import { StoredEntries } from './values/stored-entries.ts'
import { OrderedStore } from './wrappers/ordered-store.ts'

/** What a namespace or a view shares with the cache that it was made from. */
export interface CacheParent {
  readonly root: CacheRoot
  /** The prefix within the root cache. */
  readonly path: string
}

/**
 * What a cache consists of, wired together. Its stores, from the outside: `store`, which keeps the order of the calls for a
 * key; the near cache, if there is one; `scope.store`, which adds the generation of a prefix, if one is needed; `givenStore`.
 */
export class CacheParts implements CacheParent {
  readonly name: string
  readonly options: CacheOptions
  /** The store that was passed to the constructor: without the generation of this cache. */
  readonly givenStore: CacheStore
  /** The store of this cache, which keeps the order of the calls for a key. */
  readonly store: AnyStore
  readonly keyspace: Keyspace
  readonly entries: StoredEntries
  /** The default ttl in milliseconds. */
  readonly ttl: number | undefined
  readonly clock: Clock
  readonly scope: CacheScope
  readonly root: CacheRoot
  readonly path: string
  readonly reader: EntryReader
  readonly updates: EntryUpdates
  readonly taggedWrites: TaggedWrites
  // Created on the first use: an application may have thousands of namespaces.
  #remember: RememberCalls | undefined
  #uncopied: EntryReader | undefined
  #snapshots: SnapshotWriter | undefined
  #locks: LockCalls | undefined
  #limits: LimitCalls | undefined
  #changes: ChangeCalls | undefined

  /** @throws CacheError `ERR_CACHE_CONFIG` for invalid options */
  constructor(store: CacheStore, options: CacheOptions, parent: CacheParent | undefined) {
    checkStore(store)
    checkOptionNames('Cache', options, optionNames)
    const { prefix = '', ttl = null, codec = json(), clock = systemClock } = options
    const { generations = true } = options
    checkPrefix(prefix)
    checkCodec(codec)
    checkBus('Cache: bus', options.bus)
    this.name = options.name ?? store.name
    this.options = options
    this.givenStore = store
    this.clock = clock
    warnOfShortTtl('Cache: ttl', ttl)
    this.ttl = defaultTtl(ttl)
    // Without a list of the keys, a prefix is cleared by replacing the generation that its keys contain.
    const needsGenerations = generations && prefix !== '' && store.scan === undefined
    const storeScope = CacheScope.of(store)
    const scope = needsGenerations ? storeScope.within(prefix, clock) : storeScope
    this.scope = scope
    const { keyBytes } = scope.store.limits
    this.keyspace = new Keyspace(needsGenerations ? '' : prefix, keyBytes, prefix)
    const root = parent?.root ?? createRoot(store, options, this.name, clock)
    this.root = root
    this.path = parent?.path ?? ''
    const ordered = new OrderedStore(root.withNear(scope, codec), scope.order)
    this.store = ordered
    const entries = new StoredEntries(ordered, root.codecFor(codec), this.name, scope.storePrefix)
    this.entries = entries
    const reader = new EntryReader(entries, root, scope.tagHints)
    this.reader = reader
    const { time } = root
    this.updates = new EntryUpdates({ store: ordered, entries, reader, scope, time, clock })
    this.taggedWrites = new TaggedWrites({ store: ordered, entries, scope, tags: root.tags })
  }

  /** Returns the storage key for a write, and prevents a load in flight from overwriting the written value. */
  storageKeyForWrite(key: string): string {
    const storageKey = this.keyspace.toStorageKey(key)
    this.scope.invalidateLoads(storageKey)
    return storageKey
  }

  /** The ttl of a write in milliseconds. */
  ttlOf(options: WriteOptions | undefined): number | undefined {
    warnOfShortTtl('ttl', options?.ttl)
    return this.#ttlWithoutWarning(options)
  }

  #ttlWithoutWarning(options: WriteOptions | undefined): number | undefined {
    if (options === undefined) return this.ttl
    checkWriteOptions(options)
    return options.ttl === undefined ? this.ttl : resolveTtl(options.ttl, this.clock)
  }

  /** See `getShared` of `@stowage/core/internal`. */
  getShared<T>(key: string, options?: ReadOptions): Awaitable<T | undefined> {
    return areCallsObserved()
      ? this.#getSharedObserved<T>(key, options)
      : this.#getShared<T>(key, options)
  }

  #getSharedObserved<T>(key: string, options?: ReadOptions): Awaitable<T | undefined> {
    return observeCall(this, 'get', [key], (call) => this.#getShared<T>(key, options, call))
  }

  #getShared<T>(key: string, options?: ReadOptions, call?: ObservedCall): Awaitable<T | undefined> {
    const storageKey = this.keyspace.toStorageKey(key)
    const reader = this.#uncopiedReader
    const found = atCaller(reader.read(storageKey, undefined, options), storageKey)
    return found instanceof Promise
      ? found.then((each) => reader.serveFresh<T>(storageKey, each, call))
      : reader.serveFresh<T>(storageKey, found, call)
  }

  /** See `expectMissing` of `@stowage/core/internal`. */
  expectMissing<T>(key: string): Snapshot<T> {
    const storageKey = this.keyspace.toStorageKey(key)
    return new EntrySnapshot<T>(storageKey, undefined, undefined, this.snapshots)
  }

  /** See `inspectKey` of `@stowage/core/tools`. */
  async inspect(key: string): Promise<Inspection> {
    const store = this.scope.store as unknown as AnyStore
    const storageKey = this.keyspace.toStorageKey(key)
    return inspectEntry({ storageKey, store, entries: this.entries, reader: this.reader })
  }

  /** See `deleteWithPrefix` of `@stowage/core/internal`. */
  async deleteWithPrefix(prefix: string, onProgress?: (deleted: number) => void): Promise<number> {
    let deleted = 0
    for await (const page of listKeys(this.store, this.keyspace.prefix)) {
      const keys = page.filter((key) => this.keyspace.fromStorageKey(key).startsWith(prefix))
      if (keys.length === 0) continue
      for (const key of keys) this.scope.invalidateLoads(key)
      deleted += await atCaller(this.store.deleteMany(keys))
      onProgress?.(deleted)
    }
    return deleted
  }

  /** See `checkBackend` of `@stowage/core/tools`. */
  async check(options?: CheckOptions): Promise<BackendReport | undefined> {
    return this.givenStore.diagnostics?.check({ prefix: this.keyspace.prefix, ...options })
  }

  /** See `storeUsage` of `@stowage/core/tools`. */
  usage(): StoreUsage | undefined {
    return this.givenStore.diagnostics?.usage?.()
  }

  get remember(): RememberCalls {
    this.#remember ??= this.#createRemember()
    return this.#remember
  }

  #createRemember(): RememberCalls {
    const { codec = json(), waitUntil, remember: defaults } = this.options
    const { entries, reader, keyspace, root, path, clock, ttl } = this
    const { activeLoads, hitForMiss, leaseHolders } = this.scope
    const { audit } = root
    const recovery = recoveryOf(root.directStore)
    const flights = this.scope.flightsOf(codec)
    const shared = { flights, activeLoads, hitForMiss, leaseHolders }
    const refreshKeyOf = (name: string) => root.refreshKey(path + name)
    const common = { root, clock, waitUntil, keyspace, audit, recovery, refreshKeyOf }
    return new RememberCalls({ cache: { entries, reader, ...shared, ...common }, defaults, ttl })
  }

  /** Reads without copying. */
  get #uncopiedReader(): EntryReader {
    this.#uncopied ??= this.reader.over(this.entries.withoutCopies())
    return this.#uncopied
  }

  get snapshots(): SnapshotWriter {
    this.#snapshots ??= {
      jsonTextOf: (item) => this.entries.jsonTextOf(item),
      encode: (storageKey, value, options) =>
        this.taggedWrites.encode(storageKey, value, options?.tags),
      replace: (storageKey, seen, item, options) => {
        const replacement = { item, ttl: this.#ttlWithoutWarning(options) }
        return areCallsObserved()
          ? this.#replaceObserved(storageKey, seen, replacement)
          : this.updates.replaceSnapshot(storageKey, seen, replacement)
      },
    }
    return this.#snapshots
  }

  #replaceObserved(storageKey: string, seen: unknown, replacement: Replacement): Promise<boolean> {
    const operation = replacement.item === undefined ? 'delete' : 'replace'
    const key = this.keyspace.fromStorageKey(storageKey)
    const replace = (call: ObservedCall) => {
      call.noteItem(replacement.item)
      return this.updates.replaceSnapshot(storageKey, seen, replacement)
    }
    return observeCall(this, operation, [key], replace) as Promise<boolean>
  }

  get locks(): LockCalls {
    const { root, path, name: cache, clock } = this
    const { activeLoads } = this.scope
    this.#locks ??= new LockCalls({ root, path, cache, clock, activeLoads, bus: this.options.bus })
    return this.#locks
  }

  get changes(): ChangeCalls {
    const { entries, keyspace, scope, root, clock } = this
    this.#changes ??= new ChangeCalls({ entries, keyspace, scope, root, clock })
    return this.#changes
  }

  get limits(): LimitCalls {
    const { root, path, name: cache, clock } = this
    this.#limits ??= new LimitCalls({ root, path, cache, clock, locks: this.locks.context })
    return this.#limits
  }
}
