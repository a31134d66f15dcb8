import type { DynamoDBClient as Client } from '@aws-sdk/client-dynamodb'
import { CacheError, type Clock, type Consistency, type Duration, systemClock } from '@stowage/core'
import { checkChoice, checkInteger, checkTimeout, consistencies } from '@stowage/core/driver'

/** What the store uses of an SDK client. */
export type DynamoDBClient = Pick<Client, 'send'> & Partial<Pick<Client, 'config'>>

/** What to do about the table before the first command. `'verify'`: check its key and its TTL. `'create'`: also create what is missing. */
export type TableMode = (typeof tableModes)[number]
export const tableModes = ['off', 'verify', 'create'] as const

/** Names of the attributes that other programs know. The defaults are Laravel's. */
export interface AttributeNames {
  /** The partition key, a string. @default 'key' */
  readonly key?: string | undefined
  /** Text, a number or bytes. @default 'value' */
  readonly value?: string | undefined
  /** Epoch seconds at which DynamoDB may delete the item: the table's TTL attribute. @default 'expires_at' */
  readonly ttl?: string | undefined
}

export interface DynamoDBOptions {
  /** Name of the table. */
  readonly table: string
  /** @default what the SDK finds: `AWS_REGION`, then the shared configuration */
  readonly region?: string | undefined
  /** Another address than the region's, such as `http://127.0.0.1:8000` for DynamoDB Local. */
  readonly endpoint?: string | undefined
  readonly attributes?: AttributeNames | undefined
  /**
   * How recent a read must be that does not say so itself. `'session'`: strongly consistent for what was written in the
   * last seconds, as far as this process knows; eventually consistent otherwise, at half the price.
   * @default 'session'
   */
  readonly consistency?: Consistency | undefined
  /** The first command waits up to a minute for a table that is new. @default 'off' */
  readonly ensureTable?: TableMode | undefined
  /**
   * Whether keys can be listed. `clear()` of a prefix then reads the whole table and deletes item by item; without it, it
   * forgets the prefix at once and leaves its items to their ttl.
   * @default false
   */
  readonly scan?: boolean | undefined
  /** Compress values from so many bytes on (64 at least), where that makes them smaller. @default never */
  readonly compressFrom?: number | undefined
  /** Keep values over the 400 KB of an item in several of them. @default false */
  readonly chunks?: boolean | undefined
  /** Largest value taken, in bytes. @default 396 KiB, which fit one item; 16 MiB with `compressFrom` or `chunks` */
  readonly maxValueBytes?: number | undefined
  /** Merge the `get`s of one tick into BatchGetItem and its `set`s into BatchWriteItem. @default true */
  readonly batching?: boolean | undefined
  /** How long a call may take, its retries included; a part of a batch counts as a call. @default '3s' */
  readonly timeout?: Duration | undefined
  /** How long one request may take before it is given up and tried again. @default '1s' */
  readonly requestTimeout?: Duration | undefined
  /** A client of your own, or a function returning one. It stays yours: `close()` leaves it open. */
  readonly client?: DynamoDBClient | (() => DynamoDBClient) | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/** How values larger than one item are stored. */
export interface LargeValuesOptions {
  /** Payloads of this many bytes or more are compressed. */
  readonly compressFrom: number
  /** Whether payloads that are still too large are split into chunks. */
  readonly chunks: boolean
  readonly maxValueBytes: number
}

/** The options with their defaults, checked. */
export interface ResolvedOptions {
  readonly table: string
  readonly names: Required<Record<keyof AttributeNames, string>>
  readonly consistency: Consistency
  readonly ensureTable: TableMode
  /** Most bytes of a value in one item. */
  readonly maxItemBytes: number
  /** How values are kept that are larger; nothing where they are not taken. */
  readonly largeValues: LargeValuesOptions | undefined
  readonly timeoutMs: number
  readonly requestTimeoutMs: number
  readonly clock: Clock
}

/**
 * Bytes of a value that fit an item in any case. An item has 400 KB, names of attributes included; 4 KB are left for the
 * key (2 KB at most), the expiry and the names.
 * @see https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
 */
export const itemValueBytes: number = 396 * 1024

/** What one BatchGetItem answers. */
const largeValueBytes = 16 * 1024 * 1024

/** Less does not get smaller; and an integer has to stay a number that can be counted. */
const leastCompressed = 64

/** Attributes of ours, beside those that have a name by option. */
export const ownNames = { early: 'early_ms', token: 'write_id' } as const

/** What a name of a table must be, for messages. */
export const tableRule = 'must be the name of a table: 3 to 255 letters, digits, "_", "-" and "."'

/** @see https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html */
export function isTableName(name: unknown): name is string {
  return typeof name === 'string' && /^[\w.-]{3,255}$/.test(name)
}

/** @throws CacheError `ERR_CACHE_CONFIG` */
export function resolveOptions(options: DynamoDBOptions): ResolvedOptions {
  if (!isTableName(options.table)) throw wrong(`table ${tableRule}`)
  const { endpoint } = options
  if (endpoint !== undefined && !isHttp(endpoint)) {
    throw wrong('endpoint must be a URL such as http://127.0.0.1:8000')
  }
  return {
    table: options.table,
    names: attributeNames(options.attributes),
    consistency: checkChoice(
      'dynamodb: consistency',
      options.consistency ?? 'session',
      consistencies,
    ),
    ensureTable: checkChoice('dynamodb: ensureTable', options.ensureTable ?? 'off', tableModes),
    ...sizes(options),
    timeoutMs: checkTimeout('dynamodb: timeout', options.timeout ?? '3s'),
    requestTimeoutMs: checkTimeout('dynamodb: requestTimeout', options.requestTimeout ?? '1s'),
    clock: options.clock ?? systemClock,
  }
}

function sizes({ compressFrom, chunks = false, maxValueBytes }: DynamoDBOptions) {
  const takesLarge = chunks || compressFrom !== undefined
  const most = takesLarge ? Number.MAX_SAFE_INTEGER : itemValueBytes
  const limit = maxValueBytes ?? (takesLarge ? largeValueBytes : itemValueBytes)
  const taken = checkInteger('dynamodb: maxValueBytes', limit, 1, most)
  if (!takesLarge) return { maxItemBytes: taken, largeValues: undefined }
  const from =
    compressFrom === undefined
      ? Infinity
      : checkInteger('dynamodb: compressFrom', compressFrom, leastCompressed)
  return {
    maxItemBytes: itemValueBytes,
    largeValues: { compressFrom: from, chunks, maxValueBytes: taken },
  }
}

/** @throws CacheError `ERR_CACHE_CONFIG` for two attributes of one name */
export function attributeNames(given: AttributeNames = {}): ResolvedOptions['names'] {
  const { key = 'key', value = 'value', ttl = 'expires_at' } = given
  const all = [key, value, ttl, ...Object.values(ownNames)]
  if (all.includes('') || new Set(all).size < all.length) {
    throw wrong(
      `attributes need names of their own, not ${all.map((name) => `"${name}"`).join(', ')}`,
    )
  }
  return { key, value, ttl }
}

function isHttp(url: string): boolean {
  return URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)
}

function wrong(what: string): CacheError {
  return new CacheError('ERR_CACHE_CONFIG', `dynamodb: ${what}.`)
}
