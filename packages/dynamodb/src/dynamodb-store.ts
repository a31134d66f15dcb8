import type { CacheError, Payload, ReadOptions, StoreLimits } from '@stowage/core'
import type { ByteStore, ItemWithTtl } from '@stowage/core/driver'
import { exceeds, payloadBytes, valueTooLarge } from '@stowage/core/driver'
import { equalAttributes, type Item } from './attributes.ts'
import type { BatchOutcomes } from './batch-outcomes.ts'
import { internalNames, type ResolvedOptions } from './dynamodb-options.ts'
import { Conditions } from './items/conditions.ts'
import { Counters } from './items/counters.ts'
import { ItemMapper } from './items/item-mapper.ts'
import { ItemRequests } from './items/item-requests.ts'
import { RecentWrites } from './items/recent-writes.ts'
import { TtlAttribute } from './items/ttl-attribute.ts'
import { BatchRequests } from './requests/batch-requests.ts'
import type { RequestSender } from './requests/request-sender.ts'
import { scanPages } from './requests/scan.ts'

// A partition key has at most 2048 bytes. The rest is reserved for the suffix of chunk keys.
const keyBytes = 2_000
/** The resolution of the `Date` header, from which the clock of the server is read. */
const dateHeaderMs = 1_000

const timed = { needsTime: true } as const

/** Stores each entry as an item of the table: key, value and expiry. */
export class DynamoDBStore implements ByteStore {
  readonly name = 'dynamodb'
  readonly payload = 'bytes'
  readonly durable = true
  readonly limits: StoreLimits
  /** Only with the option `scan`, because it reads the whole table. */
  readonly scan?: NonNullable<ByteStore['scan']>
  readonly #sender: RequestSender
  readonly #options: ResolvedOptions
  readonly #ttl: TtlAttribute
  readonly #conditions: Conditions
  readonly #mapper: ItemMapper
  readonly #items: ItemRequests
  readonly #counters: Counters
  readonly #batches: BatchRequests
  readonly #recentWrites: RecentWrites
  /** The page that a scan has just returned. Its keys exist, so that `deleteMany` need not read them to count them. */
  #scannedPage: readonly string[] | undefined

  constructor(sender: RequestSender, options: ResolvedOptions, { scan }: { scan: boolean }) {
    const valueBytes = options.maxItemBytes
    this.limits = { keyBytes, valueBytes, ttlStep: 1, timeError: dateHeaderMs }
    this.#sender = sender
    this.#options = options
    const clock = options.clock ?? sender.itemClock
    this.#ttl = new TtlAttribute(clock, options.names)
    this.#conditions = new Conditions(options.names)
    this.#mapper = new ItemMapper(options.names, this.#ttl)
    this.#items = new ItemRequests(sender, options.names.key)
    this.#counters = new Counters(this.#items, this.#mapper, this.#ttl, this.#conditions)
    this.#batches = new BatchRequests(sender, options.names.key)
    this.#recentWrites = new RecentWrites(clock, () => this.#isTimeKnown)
    if (scan) this.scan = (prefix) => this.#scan(prefix)
  }

  get(key: string, options?: ReadOptions): Promise<Payload | undefined> {
    return this.#sender.run('get', async () => {
      const item = await this.#items.get('get', key, this.#isStrong([key], options))
      return this.#mapper.payloadOf(item)
    })
  }

  getMany(keys: readonly string[], options?: ReadOptions): Promise<(Payload | undefined)[]> {
    return this.#sender.run('getMany', async () => {
      const isStrong = (key: string) => this.#isStrong([key], options)
      const found = await this.#batches.get(keys, { operation: 'getMany', isStrong })
      return found.resultsOf(keys, (item) => this.#mapper.payloadOf(item))
    })
  }

  getWithTtl(
    keys: readonly string[],
    options?: ReadOptions,
  ): Promise<(ItemWithTtl<Payload> | undefined)[]> {
    return this.#sender.run('getWithTtl', async () => {
      const isStrong = (key: string) => this.#isStrong([key], options)
      const found = await this.#batches.get(keys, { operation: 'getWithTtl', isStrong })
      return found.resultsOf(keys, (item) => this.#mapper.withTtl(item))
    })
  }

  async set(key: string, payload: Payload, ttl?: number): Promise<void> {
    const work = async () => {
      if (!this.#exceeds(payload)) {
        return this.#items.put('set', key, this.#mapper.toItem(key, payload, ttl))
      }
      // The old value must not be served after an attempt to replace it.
      await this.#deleteFully([key], 'set')
      throw this.#tooLarge('set', key, payload)
    }
    await this.#write('set', [key], work, { needsTime: ttl !== undefined })
  }

  async setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    // The server rejects a batch with two writes of one key.
    const unique = [...new Map(entries)]
    const work = async () => {
      const oversized = unique.filter(([, payload]) => this.#exceeds(payload))
      const fitting = unique.filter(([, payload]) => !this.#exceeds(payload))
      const puts = fitting.map(([key, payload]) => ({
        key,
        request: { PutRequest: { Item: this.#mapper.toItem(key, payload, ttl) } },
      }))
      const outcomes = await this.#batches.write(puts, 'setMany')
      if (oversized.length > 0) await this.#deleteOversized(oversized, outcomes)
      outcomes.resultsOf(entries.map(keyOf), () => undefined)
    }
    await this.#write('setMany', unique.map(keyOf), work, { needsTime: ttl !== undefined })
  }

  async add(key: string, payload: Payload, ttl?: number): Promise<boolean> {
    this.#assertFits('add', key, payload)
    return this.#write('add', [key], () => {
      const condition = this.#conditions.notExists(this.#ttl.now())
      return this.#items.putIf('add', key, this.#mapper.toItem(key, payload, ttl), condition)
    })
  }

  async compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    if (next !== undefined) this.#assertFits('compareAndSet', key, next)
    return this.#write('compareAndSet', [key], () => {
      const condition = this.#conditions.equals(this.#ttl.now(), equalAttributes(expected))
      return next === undefined
        ? this.#items.deleteIf('compareAndSet', key, condition)
        : this.#items.putIf('compareAndSet', key, this.#mapper.toItem(key, next, ttl), condition)
    })
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#write('increment', [key], () => this.#counters.increment(key, by, ttl))
  }

  touch(key: string, ttl?: number): Promise<boolean> {
    return this.#write('touch', [key], async () => {
      const condition = this.#conditions.exists(this.#ttl.now())
      const { [this.#options.names.ttl]: seconds, [internalNames.earlyMs]: early } =
        this.#ttl.attributesFor(ttl)
      const context = { operation: 'touch', key }
      const output =
        seconds === undefined || early === undefined
          ? await this.#items.update(context, 'REMOVE #t, #e', condition)
          : await this.#items.update(context, 'SET #t = :t, #e = :e', condition, {
              ':t': seconds,
              ':e': early,
            })
      return output !== undefined
    })
  }

  delete(key: string): Promise<boolean> {
    return this.#write('delete', [key], () =>
      this.#items.deleteIf('delete', key, this.#conditions.exists(this.#ttl.now())),
    )
  }

  deleteMany(keys: readonly string[]): Promise<number> {
    const areScanned = keys === this.#scannedPage
    const work = async () => {
      if (areScanned) {
        ;(await this.#deleteAll(keys, 'deleteMany')).resultsOf(keys, () => true)
        return keys.length
      }
      const found = await this.#readExpiries('deleteMany', keys)
      const deleted = await this.#deleteAll([...found.results.keys()], 'deleteMany')
      found.addErrors(deleted.errors)
      const existed = found.resultsOf(keys, (item) => item !== undefined && !this.#isExpired(item))
      return new Set(keys.filter((_, index) => existed[index])).size
    }
    return this.#write('deleteMany', keys, work, { needsTime: false })
  }

  clear(): Promise<void> {
    return this.#sender.run('clear', async () => {
      const pages = scanPages((input) => this.#sender.send('Scan', input, { operation: 'clear' }), {
        TableName: this.#options.table,
        ProjectionExpression: '#k',
        ExpressionAttributeNames: { '#k': this.#options.names.key },
      })
      for await (const page of pages) await this.#deleteFully(page.map(this.#mapper.keyOf), 'clear')
    })
  }

  /** Like `set`, but returns the previous payload, even if it had expired. */
  async getAndSet(key: string, payload: Payload, ttl?: number): Promise<Payload | undefined> {
    const work = async () => {
      const item = this.#mapper.toItem(key, payload, ttl)
      const previous = await this.#items.getAndPut('set', key, item)
      return previous && this.#mapper.storedPayloadOf(previous)
    }
    return this.#write('set', [key], work, { needsTime: ttl !== undefined })
  }

  /** Like `delete`, but also returns the deleted payload. */
  async getAndDelete(key: string): Promise<{ deleted: boolean; payload?: Payload | undefined }> {
    return this.#write('delete', [key], async () => {
      const condition = this.#conditions.exists(this.#ttl.now())
      const item = await this.#items.getAndDeleteIf('delete', key, condition)
      return item === undefined
        ? { deleted: false }
        : { deleted: true, payload: this.#mapper.storedPayloadOf(item) }
    })
  }

  /** Like `deleteMany`, but does not count, because that reads the items, at a cost that grows with their size. */
  deleteUncounted(keys: readonly string[]): Promise<void> {
    const work = () => this.#deleteFully(keys, 'deleteMany')
    return this.#write('deleteMany', keys, work, { needsTime: false })
  }

  /** Reads a key that does not exist, which requires no permission but GetItem. */
  async ping(): Promise<void> {
    await this.#sender.run('ping', () => this.#items.get('ping', '~ping', false))
  }

  /** The clock of the server, from its replies. */
  time(): Promise<number> {
    return this.#sender.run('time', async () => {
      if (this.#options.clock !== undefined) return this.#options.clock.now()
      if (this.#sender.serverTime() === undefined) await this.#items.get('time', '~ping', false)
      // A proxy or a stub may remove the header.
      return this.#sender.serverTime() ?? Date.now()
    })
  }

  /** @see RecentWrites */
  consistencyToken(): string {
    this.#sender.assertOpen('consistencyToken')
    return this.#recentWrites.token
  }

  observe(token: string): void {
    this.#recentWrites.observe(token)
  }

  close(): Promise<void> {
    return this.#sender.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *#scan(prefix: string): AsyncGenerator<readonly string[], void, undefined> {
    this.#sender.assertOpen('scan')
    if (!this.#isTimeKnown) await this.#sender.run('scan', () => this.#learnTime('scan', []))
    const { ConditionExpression: exists, ...operands } = this.#conditions.exists(this.#ttl.now())
    const prefixValue = prefix === '' ? {} : { ':prefix': { S: prefix } }
    const pages = scanPages(
      (input) =>
        this.#sender.run('scan', () => this.#sender.send('Scan', input, { operation: 'scan' })),
      {
        TableName: this.#options.table,
        ProjectionExpression: '#k',
        FilterExpression: prefix === '' ? exists : `begins_with(#k, :prefix) AND ${exists}`,
        ExpressionAttributeNames: operands.ExpressionAttributeNames,
        ExpressionAttributeValues: { ...operands.ExpressionAttributeValues, ...prefixValue },
      },
    )
    for await (const page of pages) {
      if (page.length === 0) continue
      const keys = page.map(this.#mapper.keyOf)
      this.#scannedPage = keys
      // A loop that deletes the page does it at once.
      setImmediate(() => this.#forgetPage(keys))
      yield keys
    }
  }

  #forgetPage(page: readonly string[]): void {
    if (this.#scannedPage === page) this.#scannedPage = undefined
  }

  /**
   * Runs a write. Its keys count as recently written even if it failed: the server may have carried it out.
   *
   * @param needsTime false if it sends neither a condition nor a ttl. With a wrong clock, a condition would take an item
   * of another process for expired: a lock that is held.
   */
  #write<T>(
    operation: string,
    keys: readonly string[],
    work: () => Promise<T>,
    { needsTime }: { readonly needsTime: boolean } = timed,
  ): Promise<T> {
    this.#scannedPage = undefined
    return this.#sender.run(operation, async () => {
      try {
        if (needsTime && !this.#isTimeKnown) await this.#learnTime(operation, keys)
        return await work()
      } finally {
        this.#recentWrites.add(keys)
      }
    })
  }

  get #isTimeKnown(): boolean {
    return this.#options.clock !== undefined || this.#sender.isTimeKnown
  }

  /** Reads a key that does not exist, like `ping`: any reply has the time of the server. */
  #learnTime(operation: string, [key]: readonly string[]): Promise<void> {
    const request = () => this.#items.get('time', '~ping', false)
    return this.#sender.learnTime(request, { operation, key })
  }

  #isStrong(
    keys: readonly string[],
    { consistency = this.#options.consistency }: ReadOptions = {},
  ): boolean {
    return (
      consistency === 'strong' || (consistency === 'session' && this.#recentWrites.hasAny(keys))
    )
  }

  /** The expiry attributes of the existing items, expired ones included. */
  #readExpiries(operation: string, keys: readonly string[]): Promise<BatchOutcomes<Item>> {
    const { key, ttl } = this.#options.names
    return this.#batches.get(keys, {
      operation,
      isStrong: () => true,
      projection: {
        ProjectionExpression: '#k, #t, #e',
        ExpressionAttributeNames: { '#k': key, '#t': ttl, '#e': internalNames.earlyMs },
      },
    })
  }

  #deleteAll(keys: readonly string[], operation: string): Promise<BatchOutcomes> {
    const deletes = keys.map((key) => ({
      key,
      request: { DeleteRequest: { Key: this.#mapper.toKey(key) } },
    }))
    return this.#batches.write(deletes, operation)
  }

  async #deleteFully(keys: readonly string[], operation: string): Promise<void> {
    const outcomes = await this.#deleteAll(keys, operation)
    outcomes.resultsOf(keys, () => undefined)
  }

  #isExpired(item: Item): boolean {
    return this.#ttl.isExpired(item)
  }

  #exceeds(payload: Payload): boolean {
    return exceeds(payload, this.limits.valueBytes)
  }

  /** Deletes old values, which must not be served after an attempt to replace them. */
  async #deleteOversized(
    entries: readonly (readonly [string, Payload])[],
    outcomes: BatchOutcomes,
  ): Promise<void> {
    const deleted = await this.#deleteAll(entries.map(keyOf), 'setMany')
    for (const [key, payload] of entries) {
      outcomes.failed([key], deleted.errors.get(key) ?? this.#tooLarge('setMany', key, payload))
    }
  }

  /** @throws CacheError `ERR_CACHE_LIMIT` for an oversized payload, `ERR_CACHE_CLOSED` after `close()` */
  #assertFits(operation: string, key: string, payload: Payload): void {
    if (!this.#exceeds(payload)) return
    this.#sender.assertOpen(operation)
    throw this.#tooLarge(operation, key, payload)
  }

  #tooLarge(operation: string, key: string, payload: Payload): CacheError {
    const { name, limits } = this
    return valueTooLarge(name, operation, key, payloadBytes(payload), limits.valueBytes)
  }
}

function keyOf([key]: readonly [string, unknown]): string {
  return key
}
