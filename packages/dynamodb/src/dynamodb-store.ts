import type { ByteStore, CacheError, Payload, ReadOptions, StoreLimits } from '@stowage/core'
import { exceeds, payloadBytes, valueTooLarge } from '@stowage/core/driver'
import { equalAttributes, type Item } from './attributes.ts'
import { ownNames, type ResolvedOptions } from './dynamodb-options.ts'
import { Conditions } from './items/conditions.ts'
import { Counters } from './items/counters.ts'
import { ItemShape } from './items/item-mapper.ts'
import { ItemRequests } from './items/item-requests.ts'
import { RecentWrites } from './items/recent-writes.ts'
import { Expiry } from './items/ttl-attribute.ts'
import { Batches } from './requests/batch-requests.ts'
import type { Requests } from './requests/request-sender.ts'
import { scanPages } from './requests/scan.ts'

// Of the 2048 bytes of a partition key, some are left for the keys of chunks.
const keyBytes = 2_000

/** Entries as items of a table: a key, a value, and when it ends. */
export class DynamoDBStore implements ByteStore {
  readonly name = 'dynamodb'
  readonly payload = 'bytes'
  readonly limits: StoreLimits
  /** Present where listing was asked for: it reads the whole table. */
  readonly scan?: NonNullable<ByteStore['scan']>
  readonly #requests: Requests
  readonly #options: ResolvedOptions
  readonly #expiry: Expiry
  readonly #conditions: Conditions
  readonly #shape: ItemShape
  readonly #items: ItemRequests
  readonly #counters: Counters
  readonly #batches: Batches
  readonly #recent: RecentWrites

  constructor(requests: Requests, options: ResolvedOptions, { scan }: { scan: boolean }) {
    this.limits = { keyBytes, valueBytes: options.maxItemBytes, ttlStep: 1 }
    this.#requests = requests
    this.#options = options
    this.#expiry = new Expiry(options.clock, options.names)
    this.#conditions = new Conditions(options.names)
    this.#shape = new ItemShape(options.names, this.#expiry)
    this.#items = new ItemRequests(requests, options.names.key)
    this.#counters = new Counters(this.#items, this.#shape, this.#expiry, this.#conditions)
    this.#batches = new Batches(requests, options.names.key)
    this.#recent = new RecentWrites(options.clock)
    if (scan) this.scan = (prefix) => this.#list(prefix)
  }

  get(key: string, options?: ReadOptions): Promise<Payload | undefined> {
    return this.#requests.run('get', async () => {
      const item = await this.#items.read('get', key, this.#isStrong([key], options))
      return this.#shape.payloadOf(item)
    })
  }

  getMany(keys: readonly string[], options?: ReadOptions): Promise<(Payload | undefined)[]> {
    return this.#requests.run('getMany', async () => {
      const isStrong = (part: readonly string[]) => this.#isStrong(part, options)
      const found = await this.#batches.get(keys, { operation: 'getMany', isStrong })
      return keys.map((key) => this.#shape.payloadOf(found.get(key)))
    })
  }

  async set(key: string, payload: Payload, ttl?: number): Promise<void> {
    if (this.#exceeds(payload)) await this.#refuse('set', [[key, payload]])
    await this.#write('set', [key], () =>
      this.#items.put('set', key, this.#shape.item(key, payload, ttl)),
    )
  }

  async setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    const refused = entries.filter(([, payload]) => this.#exceeds(payload))
    if (refused.length > 0) await this.#refuse('setMany', refused)
    // The server refuses a batch that writes a key twice.
    const unique = new Map(entries)
    await this.#write('setMany', [...unique.keys()], () => {
      const puts = Array.from(unique, ([key, payload]) => ({
        PutRequest: { Item: this.#shape.item(key, payload, ttl) },
      }))
      return this.#batches.write(puts, 'setMany')
    })
  }

  async add(key: string, payload: Payload, ttl?: number): Promise<boolean> {
    if (this.#exceeds(payload)) throw this.#valueTooLarge('add', key, payload)
    return this.#write('add', [key], () => {
      const condition = this.#conditions.absent(this.#expiry.now())
      return this.#items.putIf('add', key, this.#shape.item(key, payload, ttl), condition)
    })
  }

  async compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    if (next !== undefined && this.#exceeds(next))
      throw this.#valueTooLarge('compareAndSet', key, next)
    return this.#write('compareAndSet', [key], () => {
      const condition = this.#conditions.equals(this.#expiry.now(), equalAttributes(expected))
      return next === undefined
        ? this.#items.deleteIf('compareAndSet', key, condition)
        : this.#items.putIf('compareAndSet', key, this.#shape.item(key, next, ttl), condition)
    })
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#write('increment', [key], () => this.#counters.increment(key, by, ttl))
  }

  touch(key: string, ttl?: number): Promise<boolean> {
    return this.#write('touch', [key], async () => {
      const condition = this.#conditions.lives(this.#expiry.now())
      const { [this.#options.names.ttl]: seconds, [ownNames.early]: early } =
        this.#expiry.attributes(ttl)
      const answer =
        seconds === undefined || early === undefined
          ? await this.#items.update({ operation: 'touch', key }, 'REMOVE #t, #e', condition)
          : await this.#items.update(
              { operation: 'touch', key },
              'SET #t = :t, #e = :e',
              condition,
              {
                ':t': seconds,
                ':e': early,
              },
            )
      return answer !== undefined
    })
  }

  delete(key: string): Promise<boolean> {
    return this.#write('delete', [key], () =>
      this.#items.deleteIf('delete', key, this.#conditions.lives(this.#expiry.now())),
    )
  }

  deleteMany(keys: readonly string[]): Promise<number> {
    return this.#write('deleteMany', keys, async () => {
      const found = [...(await this.#expiries(keys))]
      await this.#deleteAll(
        found.map(([key]) => key),
        'deleteMany',
      )
      return found.filter(([, item]) => !this.#expiry.hasPassed(item)).length
    })
  }

  clear(): Promise<void> {
    return this.#requests.run('clear', async () => {
      const pages = scanPages((command) => this.#requests.send(command, { operation: 'clear' }), {
        TableName: this.#options.table,
        ProjectionExpression: '#k',
        ExpressionAttributeNames: { '#k': this.#options.names.key },
      })
      for await (const page of pages) await this.#deleteAll(page.map(this.#shape.keyOf), 'clear')
    })
  }

  /** Like `set`; returns what was stored before, ended or not. */
  async exchange(key: string, payload: Payload, ttl?: number): Promise<Payload | undefined> {
    return this.#write('set', [key], async () => {
      const old = await this.#items.exchange('set', key, this.#shape.item(key, payload, ttl))
      return old && this.#shape.storedIn(old)
    })
  }

  /** Like `delete`; returns also what has been deleted. */
  async take(key: string): Promise<{ deleted: boolean; payload?: Payload | undefined }> {
    return this.#write('delete', [key], async () => {
      const lives = this.#conditions.lives(this.#expiry.now())
      const item = await this.#items.take('delete', key, lives)
      return item === undefined
        ? { deleted: false }
        : { deleted: true, payload: this.#shape.storedIn(item) }
    })
  }

  /** Like `deleteMany` without a look at what there is: each item read would cost as much as its size. */
  discard(keys: readonly string[]): Promise<void> {
    return this.#write('deleteMany', keys, () => this.#deleteAll(keys, 'deleteMany'))
  }

  /** An answer for a key that nobody has: it takes no more than the permission to read. */
  async ping(): Promise<void> {
    await this.#requests.run('ping', () => this.#items.read('ping', '~ping', false))
  }

  /** @see RecentWrites */
  consistencyToken(): string {
    this.#requests.assertOpen('consistencyToken')
    return this.#recent.token
  }

  observe(token: string): void {
    this.#recent.observe(token)
  }

  close(): Promise<void> {
    return this.#requests.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *#list(prefix: string): AsyncGenerator<string[], void, undefined> {
    this.#requests.assertOpen('scan')
    const { ConditionExpression: lives, ...uses } = this.#conditions.lives(this.#expiry.now())
    const begins = prefix === '' ? {} : { ':prefix': { S: prefix } }
    const pages = scanPages(
      (command) =>
        this.#requests.run('scan', () => this.#requests.send(command, { operation: 'scan' })),
      {
        TableName: this.#options.table,
        ProjectionExpression: '#k',
        FilterExpression: prefix === '' ? lives : `begins_with(#k, :prefix) AND ${lives}`,
        ExpressionAttributeNames: uses.ExpressionAttributeNames,
        ExpressionAttributeValues: { ...uses.ExpressionAttributeValues, ...begins },
      },
    )
    for await (const page of pages) if (page.length > 0) yield page.map(this.#shape.keyOf)
  }

  /** What has been written is read strongly consistent from now on; also where the write failed, for who knows. */
  #write<T>(operation: string, keys: readonly string[], work: () => Promise<T>): Promise<T> {
    return this.#requests.run(operation, async () => {
      try {
        return await work()
      } finally {
        this.#recent.add(keys)
      }
    })
  }

  #isStrong(
    keys: readonly string[],
    { consistency = this.#options.consistency }: ReadOptions = {},
  ): boolean {
    return consistency === 'strong' || (consistency === 'session' && this.#recent.hasAny(keys))
  }

  /** When the items end that are there, whether they have ended or not. */
  #expiries(keys: readonly string[]): Promise<Map<string, Item>> {
    const { key, ttl } = this.#options.names
    return this.#batches.get(keys, {
      operation: 'deleteMany',
      isStrong: () => true,
      only: {
        ProjectionExpression: '#k, #t, #e',
        ExpressionAttributeNames: { '#k': key, '#t': ttl, '#e': ownNames.early },
      },
    })
  }

  async #deleteAll(keys: readonly string[], operation: string): Promise<void> {
    const deletes = keys.map((key) => ({ DeleteRequest: { Key: this.#shape.key(key) } }))
    await this.#batches.write(deletes, operation)
  }

  #exceeds(payload: Payload): boolean {
    return exceeds(payload, this.limits.valueBytes)
  }

  /** The caller meant to replace the old values; they must not be served as if nothing had happened. */
  async #refuse(
    operation: string,
    entries: readonly (readonly [string, Payload])[],
  ): Promise<void> {
    const keys = [...new Set(entries.map(([key]) => key))]
    await this.#write(operation, keys, () => this.#deleteAll(keys, operation))
    for (const [key, payload] of entries) throw this.#valueTooLarge(operation, key, payload)
  }

  #valueTooLarge(operation: string, key: string, payload: Payload): CacheError {
    this.#requests.assertOpen(operation)
    return valueTooLarge(this.name, operation, key, payloadBytes(payload), this.limits.valueBytes)
  }
}
