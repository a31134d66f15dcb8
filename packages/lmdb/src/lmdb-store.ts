import type { Awaitable, CacheError, Payload, StoreLimits } from '@stowage/core'
import {
  BatchError,
  type ByteStore,
  exceeds,
  type ItemWithTtl,
  Lifecycle,
  notACounter,
  parseSafeInteger,
  payloadBytes,
  samePayload,
  toText,
  valueTooLarge,
} from '@stowage/core/driver'
import type { ItemTable, ScanPage } from './items/item-table.ts'
import { BusyError, DamageError, isDamage, translate } from './lmdb-errors.ts'
import type { ResolvedLmdbOptions } from './lmdb-options.ts'
import { MachineClock } from './time/machine-clock.ts'
import { MaintainedFile } from './upkeep/maintained-file.ts'
import { WriteQueue } from './writes/write-queue.ts'

/** LMDB allows 1978 bytes per key with pages of 4 KiB. The index of expiries adds a time. */
const maxKeyBytes = 1_900
const scanPageSize = 500

/**
 * Stores items in an LMDB file. The writes of a turn of the event loop share a transaction, which one process at a time
 * executes. Reads return at once, unless they have to wait for an earlier write of this process, which waits for another
 * process: such a read is executed in the transaction of the writes, in the order of the calls.
 */
export class LmdbStore implements ByteStore {
  readonly name = 'lmdb'
  readonly payload = 'bytes'
  readonly limits: StoreLimits
  /** Absent with a clock of the application, which is also that of its caches. */
  readonly time?: () => Awaitable<number>
  readonly #options: ResolvedLmdbOptions
  readonly #lifecycle = new Lifecycle('lmdb')
  readonly #queue: WriteQueue
  /** Keys whose old value could not be deleted after a failed `set`. The next transaction deletes them. */
  readonly #unwritten = new Set<string>()
  #file: MaintainedFile | undefined

  constructor(options: ResolvedLmdbOptions) {
    this.#options = options
    this.limits = { keyBytes: maxKeyBytes, valueBytes: options.maxValueBytes, ttlStep: 1 }
    if (options.clock instanceof MachineClock) this.time = () => this.#time()
    const target = {
      transact: <T>(work: () => T) => this.#transact(work),
      isLarge: () => this.#opened().isLarge(),
      onFailure: (error: unknown, operation: string, keys: readonly string[]) =>
        this.#onWriteFailure(error, operation, keys),
    }
    this.#queue = new WriteQueue(target, this.#lifecycle, options.timeoutMs)
  }

  get(key: string): Awaitable<Payload | undefined> {
    this.#lifecycle.assertOpen('get')
    if (this.#mustWait([key])) return this.#queued('get', [key], () => this.#lookup(key))
    return this.#read('get', key)
  }

  getMany(keys: readonly string[]): Awaitable<(Payload | undefined)[]> {
    this.#lifecycle.assertOpen('getMany')
    if (this.#mustWait(keys)) {
      return this.#queued('getMany', keys, () => keys.map((key) => this.#lookup(key)))
    }
    if (this.#unwritten.size > 0) return keys.map((key) => this.#read('getMany', key))
    try {
      return this.#opened().getMany(keys)
    } catch (error) {
      if (this.#recover(error)) return keys.map(() => undefined)
      throw translate(error, 'getMany')
    }
  }

  getWithTtl(keys: readonly string[]): Awaitable<(ItemWithTtl<Payload> | undefined)[]> {
    this.#lifecycle.assertOpen('getWithTtl')
    const withTtl = (item: Payload | undefined) =>
      item === undefined ? undefined : { item, ttl: this.#remainingTtl() }
    if (this.#mustWait(keys)) {
      return this.#queued('getWithTtl', keys, () => keys.map((key) => withTtl(this.#lookup(key))))
    }
    return keys.map((key) => withTtl(this.#read('getWithTtl', key)))
  }

  set(key: string, item: Payload, ttl?: number): Promise<void> {
    return this.#set('set', key, item, ttl)
  }

  async setMany(
    entries: readonly (readonly [key: string, item: Payload])[],
    ttl?: number,
  ): Promise<void> {
    this.#lifecycle.assertOpen('setMany')
    const outcomes = await Promise.allSettled(
      entries.map(([key, item]) => this.#set('setMany', key, item, ttl)),
    )
    if (outcomes.some(({ status }) => status === 'rejected')) throw new BatchError(outcomes)
  }

  add(key: string, item: Payload, ttl?: number): Promise<boolean> {
    return this.#write('add', key, () => {
      this.#checkSize('add', key, item)
      if (this.#find(key)) return false
      this.#items.put(key, item, this.#expiry(ttl))
      return true
    })
  }

  compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    return this.#write('compareAndSet', key, () => {
      if (next !== undefined) this.#checkSize('compareAndSet', key, next)
      if (!this.#find(key) || !samePayload(this.#items.payload(), expected)) return false
      if (next === undefined) this.#items.remove(key)
      else this.#items.put(key, next, this.#expiry(ttl))
      return true
    })
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#write('increment', key, () => {
      const exists = this.#find(key)
      const value = exists ? parseSafeInteger(toText(this.#items.payload())) : 0
      if (value === undefined) throw notACounter('lmdb', key, 'the stored value is not an integer')
      const sum = value + by
      if (!Number.isSafeInteger(sum))
        throw notACounter('lmdb', key, 'the sum is not a safe integer')
      const item = String(sum)
      this.#checkSize('increment', key, item)
      this.#items.put(key, item, exists ? this.#items.expiresAt : this.#expiry(ttl))
      return sum
    })
  }

  touch(key: string, ttl?: number): Promise<boolean> {
    return this.#write('touch', key, () => {
      const exists = this.#find(key)
      if (exists) this.#items.touch(key, this.#expiry(ttl))
      return exists
    })
  }

  delete(key: string): Promise<boolean> {
    return this.#write('delete', key, () => this.#delete(key))
  }

  deleteMany(keys: readonly string[]): Promise<number> {
    return this.#queued('deleteMany', keys, () => keys.filter((key) => this.#delete(key)).length)
  }

  clear(): Promise<void> {
    return this.#queued('clear', [], () => this.#items.clear())
  }

  ping(): Awaitable<void> {
    this.#lifecycle.assertOpen('ping')
    if (!this.#flush()) return this.#queued('ping', [], () => undefined)
    this.#read('ping', '~')
  }

  close(): Promise<void> {
    this.#queue.flush()
    return this.#lifecycle.close(async () => {
      await this.#queue.idle()
      await this.#file?.close().catch((error) => {
        throw translate(error, 'close')
      })
      this.#file = undefined
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *scan(prefix: string): AsyncGenerator<string[], void, undefined> {
    let start: string | undefined = prefix
    while (start !== undefined) {
      this.#lifecycle.assertOpen('scan')
      if (!this.#flush()) await this.#queued('scan', [], () => undefined)
      const { keys, next } = this.#scanPage(prefix, start)
      yield keys
      start = next
    }
  }

  /** The time in the file. It differs from the system clock if that was set since the start of the machine. */
  #time(): Awaitable<number> {
    this.#lifecycle.assertOpen('time')
    if (this.#mustWait([])) return this.#queued('time', [], () => this.#options.clock.now())
    try {
      this.#opened()
      return this.#options.clock.now()
    } catch (error) {
      throw translate(error, 'time')
    }
  }

  get #items(): ItemTable {
    return this.#opened().items
  }

  /** The open file. Opens it on the first use. */
  #opened(): MaintainedFile {
    this.#file ??= MaintainedFile.open(this.#options, {
      onReplaced: () => this.#reopen(),
      onError: (error) => this.#onBackgroundError(error),
    })
    return this.#file
  }

  /** Whether a read waits for another process, because of an earlier write of one of the keys, or to open the file. */
  #mustWait(keys: readonly string[]): boolean {
    if (!this.#queue.isEmpty && keys.some((key) => this.#queue.has(key)) && !this.#queue.flush())
      return true
    return this.#file === undefined && !this.#canOpen()
  }

  #canOpen(): boolean {
    try {
      this.#opened()
      return true
    } catch (error) {
      // The call itself reports other errors.
      return !(error instanceof BusyError)
    }
  }

  #read(operation: string, key: string): Payload | undefined {
    if (this.#unwritten.size > 0 && this.#unwritten.has(key)) return undefined
    try {
      return this.#opened().get(key)
    } catch (error) {
      if (this.#recover(error)) return undefined
      throw translate(error, operation, key)
    }
  }

  /** Of the item that was read last, in milliseconds. */
  #remainingTtl(): number {
    return Math.max(1, this.#items.expiresAt - this.#options.clock.now())
  }

  #scanPage(prefix: string, start: string): ScanPage {
    try {
      return this.#opened().scan(prefix, start, scanPageSize)
    } catch (error) {
      if (this.#recover(error)) return { keys: [], next: undefined }
      throw translate(error, 'scan')
    }
  }

  #set(operation: string, key: string, item: Payload, ttl: number | undefined): Promise<void> {
    return this.#write(operation, key, () => {
      if (exceeds(item, this.limits.valueBytes)) {
        // The old item must not be served after an attempt to replace it.
        this.#delete(key)
        this.#checkSize(operation, key, item)
      }
      this.#items.put(key, item, this.#expiry(ttl))
    })
  }

  #write<T>(operation: string, key: string, apply: () => T): Promise<T> {
    return this.#queued(operation, [key], apply)
  }

  #queued<T>(operation: string, keys: readonly string[], apply: () => T): Promise<T> {
    return this.#queue.add(operation, keys, apply)
  }

  /**
   * Executes all writes that wait. A `clear` has no keys, so a read cannot know that it must wait for it. Returns whether
   * it could, and the file is open; another process may prevent both.
   */
  #flush(): boolean {
    return this.#queue.flush() && !this.#mustWait([])
  }

  #transact<T>(work: () => T): T {
    try {
      return this.#tryTransact(work)
    } catch (error) {
      if (!this.#recover(error)) throw error
      return this.#tryTransact(work)
    }
  }

  #tryTransact<T>(work: () => T): T {
    const result = this.#opened().transact(() => {
      for (const key of this.#unwritten) this.#delete(key)
      return work()
    })
    this.#unwritten.clear()
    return result
  }

  /** In a transaction: the item under a key. */
  #lookup(key: string): Payload | undefined {
    return this.#find(key) ? this.#items.payload() : undefined
  }

  /** In a transaction: finds an item that has not expired. */
  #find(key: string): boolean {
    return this.#items.find(key) && this.#items.expiresAt > this.#options.clock.now()
  }

  #delete(key: string): boolean {
    const exists = this.#items.find(key)
    const isAlive = exists && this.#items.expiresAt > this.#options.clock.now()
    if (exists) this.#items.remove(key)
    return isAlive
  }

  /** In a transaction: the time is that of the file, which has to be open. */
  #expiry(ttl: number | undefined): number {
    // Whole milliseconds, as in the index of expiries.
    return ttl === undefined ? Infinity : Math.ceil(this.#options.clock.now() + ttl)
  }

  #checkSize(operation: string, key: string, item: Payload): void {
    const { valueBytes } = this.limits
    if (!exceeds(item, valueBytes)) return
    throw valueTooLarge('lmdb', operation, key, payloadBytes(item), valueBytes)
  }

  /** After a failed `set`, the old value must not be served: it is deleted now, or with the next transaction. */
  #onWriteFailure(error: unknown, operation: string, keys: readonly string[]): CacheError {
    if (operation === 'set' || operation === 'setMany') {
      for (const key of keys) this.#unwritten.add(key)
      try {
        if (!(error instanceof BusyError)) this.#tryTransact(() => undefined)
      } catch {}
    }
    return translate(error, operation, keys.length === 1 ? keys[0] : undefined)
  }

  /** Starts again with an empty file if the error means that this one is damaged, and the options permit that. */
  #recover(error: unknown): boolean {
    if (!isDamage(error) || this.#options.onDamage === 'error' || this.#file === undefined)
      return false
    const reason = error instanceof DamageError ? error.message : 'is damaged'
    try {
      this.#file.setAside(reason)
    } catch {
      // The directory cannot be written. The caller reports the damage.
      return false
    }
    this.#reopen()
    return true
  }

  #reopen(): void {
    const file = this.#file
    this.#file = undefined
    file?.discard().catch(() => {})
  }

  #onBackgroundError(error: unknown): void {
    // Calls of the application report the same error, if it lasts.
    this.#recover(error)
  }
}
