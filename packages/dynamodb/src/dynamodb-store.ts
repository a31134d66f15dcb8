import { randomBytes } from 'node:crypto'
import {
  type ConditionalCheckFailedException,
  DeleteItemCommand,
  GetItemCommand,
  type GetItemOutput,
  PutItemCommand,
  UpdateItemCommand,
  type UpdateItemOutput,
} from '@aws-sdk/client-dynamodb'
import {
  type ByteStore,
  CacheError,
  exceeds,
  oversized,
  type Payload,
  payloadBytes,
  type StoreLimits,
} from '@stowage/core'
import { Batches } from './batches.ts'
import { type Condition, Conditions } from './conditions.ts'
import { isRefusal } from './dynamodb-errors.ts'
import { ownNames, type ResolvedOptions } from './dynamodb-options.ts'
import { Expiry } from './expiry.ts'
import { equalAttributes, type Item, toAttribute, toPayload } from './items.ts'
import { RecentWrites } from './recent-writes.ts'
import type { Call, Command, Requests } from './requests.ts'
import { scanPages } from './scan.ts'

// Of the 2048 bytes of a partition key, some are left for the keys of chunks.
const keyBytes = 2_000
const countingAttempts = 10
const { MAX_SAFE_INTEGER: most, MIN_SAFE_INTEGER: least } = Number

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
  readonly #batches: Batches
  readonly #recent: RecentWrites | undefined
  /** Unlike those of any other process; the number makes each of ours its own. */
  readonly #writer = randomBytes(9).toString('base64url')
  #writes = 0

  constructor(requests: Requests, options: ResolvedOptions, { scan }: { scan: boolean }) {
    this.limits = { keyBytes, valueBytes: options.maxItemBytes, ttlStep: 1 }
    this.#requests = requests
    this.#options = options
    this.#expiry = new Expiry(options.clock, options.names)
    this.#conditions = new Conditions(options.names)
    this.#batches = new Batches(requests, options.names.key)
    this.#recent = options.consistency === 'session' ? new RecentWrites(options.clock) : undefined
    if (scan) this.scan = (prefix) => this.#list(prefix)
  }

  get(key: string): Promise<Payload | undefined> {
    return this.#requests.run('get', async () => {
      const item = await this.#read('get', key, this.#isStrong([key]))
      return this.#payloadOf(item)
    })
  }

  getMany(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    return this.#requests.run('getMany', async () => {
      const isStrong = (part: readonly string[]) => this.#isStrong(part)
      const found = await this.#batches.get(keys, { operation: 'getMany', isStrong })
      return keys.map((key) => this.#payloadOf(found.get(key)))
    })
  }

  async set(key: string, payload: Payload, ttl?: number): Promise<void> {
    if (this.#exceeds(payload)) await this.#refuse('set', [[key, payload]])
    await this.#write('set', [key], () => this.#put('set', key, this.#item(key, payload, ttl)))
  }

  async setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    const refused = entries.filter(([, payload]) => this.#exceeds(payload))
    if (refused.length > 0) await this.#refuse('setMany', refused)
    // The server refuses a batch that writes a key twice.
    const unique = new Map(entries)
    await this.#write('setMany', [...unique.keys()], () => {
      const puts = Array.from(unique, ([key, payload]) => ({
        PutRequest: { Item: this.#item(key, payload, ttl) },
      }))
      return this.#batches.write(puts, 'setMany')
    })
  }

  async add(key: string, payload: Payload, ttl?: number): Promise<boolean> {
    if (this.#exceeds(payload)) throw this.#oversized('add', key, payload)
    return this.#write('add', [key], () => {
      const condition = this.#conditions.absent(this.#expiry.now())
      return this.#putIf('add', key, this.#item(key, payload, ttl), condition)
    })
  }

  async compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    if (next !== undefined && this.#exceeds(next)) throw this.#oversized('compareAndSet', key, next)
    return this.#write('compareAndSet', [key], () => {
      const condition = this.#conditions.equals(this.#expiry.now(), equalAttributes(expected))
      return next === undefined
        ? this.#deleteIf('compareAndSet', key, condition)
        : this.#putIf('compareAndSet', key, this.#item(key, next, ttl), condition)
    })
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#write('increment', [key], async () => {
      for (let attempt = 0; attempt < countingAttempts; attempt++) {
        const sum = (await this.#count(key, by, ttl)) ?? (await this.#startCounter(key, by, ttl))
        if (sum !== undefined) return this.#whole(key, sum, by)
        // Neither there to be counted nor absent: no counter, or it came and went in between.
        await this.#assertCounts(key, by)
      }
      throw notACounter(key, 'it keeps being deleted and created', true)
    })
  }

  touch(key: string, ttl?: number): Promise<boolean> {
    return this.#write('touch', [key], async () => {
      const condition = this.#conditions.lives(this.#expiry.now())
      const { [this.#options.names.ttl]: seconds, [ownNames.early]: early } =
        this.#expiry.attributes(ttl)
      const answer =
        seconds === undefined || early === undefined
          ? await this.#update({ operation: 'touch', key }, 'REMOVE #t, #e', condition)
          : await this.#update({ operation: 'touch', key }, 'SET #t = :t, #e = :e', condition, {
              ':t': seconds,
              ':e': early,
            })
      return answer !== undefined
    })
  }

  delete(key: string): Promise<boolean> {
    return this.#write('delete', [key], () =>
      this.#deleteIf('delete', key, this.#conditions.lives(this.#expiry.now())),
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
      for await (const page of pages) await this.#deleteAll(page.map(this.#keyOf), 'clear')
    })
  }

  /** An answer for a key that nobody has: it takes no more than the permission to read. */
  async ping(): Promise<void> {
    await this.#requests.run('ping', () => this.#read('ping', '~ping', false))
  }

  close(): Promise<void> {
    return this.#requests.close()
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
    for await (const page of pages) if (page.length > 0) yield page.map(this.#keyOf)
  }

  /** What has been written is read strongly consistent from now on; also where the write failed, for who knows. */
  #write<T>(operation: string, keys: readonly string[], work: () => Promise<T>): Promise<T> {
    return this.#requests.run(operation, async () => {
      try {
        return await work()
      } finally {
        for (const key of keys) this.#recent?.add(key)
      }
    })
  }

  #isStrong(keys: readonly string[]): boolean {
    const { consistency } = this.#options
    return consistency === 'strong' || keys.some((key) => this.#recent?.has(key))
  }

  async #read(operation: string, key: string, strong: boolean): Promise<Item | undefined> {
    const command = new GetItemCommand({ ...this.#place(key), ConsistentRead: strong })
    return (await this.#requests.send<GetItemOutput>(command, { operation, key })).Item
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

  async #put(operation: string, key: string, item: Item): Promise<void> {
    const command = new PutItemCommand({ TableName: this.#options.table, Item: item })
    await this.#requests.send(command, { operation, key })
  }

  /**
   * Puts the item if the condition holds. It carries an id of this write: where an earlier attempt may have succeeded
   * without our knowing, so that the condition does not hold any more, the id tells.
   */
  async #putIf(operation: string, key: string, item: Item, condition: Condition): Promise<boolean> {
    const id = `${this.#writer}${(this.#writes++).toString(36)}`
    const command = new PutItemCommand({
      TableName: this.#options.table,
      Item: { ...item, [ownNames.token]: { S: id } },
      ...condition,
    })
    const call: Call = { operation, key }
    const refusal = await this.#sendIf(command, call)
    if (refusal === undefined) return true
    // A client of the caller's may have sent it repeatedly itself.
    if (!call.uncertain && refusal.$metadata?.attempts === 1) return false
    const written = await this.#read(operation, key, true)
    return written?.[ownNames.token]?.S === id
  }

  /** Deletes the item if the condition holds. Not repeated: nothing would be left to tell who has deleted it. */
  async #deleteIf(operation: string, key: string, condition: Condition): Promise<boolean> {
    const command = new DeleteItemCommand({ ...this.#place(key), ...condition })
    return (await this.#sendIf(command, { operation, key, repeatable: false })) === undefined
  }

  async #deleteAll(keys: readonly string[], operation: string): Promise<void> {
    const deletes = keys.map((key) => ({ DeleteRequest: { Key: this.#keyItem(key) } }))
    await this.#batches.write(deletes, operation)
  }

  /** Adds to a counter that lives; without a ttl also to one that was never there. `undefined`: there is none. */
  async #count(key: string, by: number, ttl: number | undefined): Promise<number | undefined> {
    const created = ttl === undefined
    const range = [Math.max(least, least - by), Math.min(most, most - by)] as const
    const condition = this.#conditions.within(this.#expiry.now(), ...range, created)
    const expression = created ? 'SET #v = if_not_exists(#v, :zero) + :by' : 'SET #v = #v + :by'
    const values = { ':by': { N: `${by}` }, ...(created && { ':zero': { N: '0' } }) }
    // Counting twice would be wrong: an answer that was lost is reported.
    const call = { operation: 'increment', key, repeatable: false }
    const answer = await this.#update(call, expression, condition, values)
    return answer && Number(answer.Attributes?.[this.#options.names.value]?.N)
  }

  async #startCounter(key: string, by: number, ttl: number | undefined) {
    const condition = this.#conditions.absent(this.#expiry.now())
    const item = this.#item(key, `${by}`, ttl)
    // There is no negative zero.
    return (await this.#putIf('increment', key, item, condition)) ? by + 0 : undefined
  }

  /** A fraction that another program has stored is a number to the server: what was added to it is taken back. */
  async #whole(key: string, sum: number, by: number): Promise<number> {
    if (Number.isSafeInteger(sum)) return sum
    await this.#count(key, -by, 1)
    throw notACounter(key, 'the stored value is no integer')
  }

  /** @throws CacheError `ERR_CACHE_REJECTED` when what lives there cannot be counted on */
  async #assertCounts(key: string, by: number): Promise<void> {
    const payload = this.#payloadOf(await this.#read('increment', key, true))
    if (payload === undefined) return
    const value = toAttribute(payload).N
    if (value === undefined) throw notACounter(key, 'the stored value is no integer')
    if (Number.isSafeInteger(Number(value) + by)) return
    throw notACounter(key, 'the sum leaves the safe integers')
  }

  /** What the update returns, or `undefined` where the condition does not hold. */
  async #update(
    call: Call & { key: string },
    expression: string,
    condition: Condition,
    values: Item = {},
  ): Promise<UpdateItemOutput | undefined> {
    const command = new UpdateItemCommand({
      ...this.#place(call.key),
      UpdateExpression: expression,
      ReturnValues: 'UPDATED_NEW',
      ...condition,
      ExpressionAttributeValues: { ...condition.ExpressionAttributeValues, ...values },
    })
    try {
      return await this.#requests.send<UpdateItemOutput>(command, call)
    } catch (error) {
      if (!isRefusal(error)) throw error
      return undefined
    }
  }

  /** The refusal where the condition does not hold. */
  async #sendIf(command: Command, call: Call): Promise<Refusal | undefined> {
    try {
      await this.#requests.send(command, call)
      return undefined
    } catch (error) {
      if (!isRefusal(error)) throw error
      return error as Refusal
    }
  }

  #item(key: string, payload: Payload, ttl: number | undefined): Item {
    return {
      ...this.#keyItem(key),
      [this.#options.names.value]: toAttribute(payload),
      ...this.#expiry.attributes(ttl),
    }
  }

  #payloadOf(item: Item | undefined): Payload | undefined {
    if (item === undefined || this.#expiry.hasPassed(item)) return undefined
    return toPayload(item[this.#options.names.value])
  }

  #keyItem(key: string): Item {
    return { [this.#options.names.key]: { S: key } }
  }

  #place(key: string) {
    return { TableName: this.#options.table, Key: this.#keyItem(key) }
  }

  readonly #keyOf = (item: Item): string => item[this.#options.names.key]?.S ?? ''

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
    for (const [key, payload] of entries) throw this.#oversized(operation, key, payload)
  }

  #oversized(operation: string, key: string, payload: Payload): CacheError {
    this.#requests.assertOpen(operation)
    return oversized(this.name, operation, key, payloadBytes(payload), this.limits.valueBytes)
  }
}

/** The SDK's exception for a condition that did not hold. */
type Refusal = Pick<ConditionalCheckFailedException, '$metadata'>

function notACounter(key: string, reason: string, retryable = false): CacheError {
  return new CacheError('ERR_CACHE_REJECTED', `increment refused: ${reason}.`, {
    store: 'dynamodb',
    operation: 'increment',
    key,
    retryable,
  })
}
