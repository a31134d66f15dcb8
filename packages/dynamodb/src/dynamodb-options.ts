import type { DynamoDBClient as Client, DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import { CacheError, type Clock, type Consistency, type Duration } from '@stowage/core'
import {
  checkChoice,
  checkInteger,
  checkOptionNames,
  checkTimeout,
  consistencies,
} from '@stowage/core/driver'

/** The subset of an SDK client that the store uses. */
export type DynamoDBClient = Pick<Client, 'send'> & Partial<Pick<Client, 'config'>>

/**
 * What to do with the table before the first command. `'verify'` checks its key and its TTL; `'create'` also creates what
 * is missing; `'off'` does nothing.
 */
export type TableMode = (typeof tableModes)[number]
export const tableModes = ['off', 'verify', 'create'] as const

/** The names of the attributes that other programs may use too. The defaults are those of Laravel. */
export interface AttributeNames {
  /** The partition key, a string. @default 'key' */
  readonly key?: string | undefined
  /** The value: text, a number or bytes. @default 'value' */
  readonly value?: string | undefined
  /** The TTL attribute of the table: epoch seconds after which DynamoDB may delete the item. @default 'expires_at' */
  readonly ttl?: string | undefined
}

export interface DynamoDBOptions {
  /** Name of the table. */
  readonly table: string
  /** @default the region of the SDK: `AWS_REGION`, then the shared configuration */
  readonly region?: string | undefined
  /** A URL instead of the region's endpoint, for example `http://127.0.0.1:8000` for DynamoDB Local. */
  readonly endpoint?: string | undefined
  /** Credentials, or a function that provides them. @default as the SDK resolves them */
  readonly credentials?: DynamoDBClientConfig['credentials'] | undefined
  readonly attributes?: AttributeNames | undefined
  /**
   * How recent reads are by default. `'session'` reads strongly consistent what this process wrote in the last seconds,
   * and everything else eventually consistent, at half the price.
   * @default 'session'
   */
  readonly consistency?: Consistency | undefined
  /** Whether the first command verifies or creates the table. It waits up to a minute for a new table. @default 'off' */
  readonly ensureTable?: TableMode | undefined
  /**
   * Whether keys can be listed. `clear()` of a prefix then reads the whole table and deletes each item. Otherwise it
   * takes effect at once, and the items stay until their ttl ends.
   * @default false
   */
  readonly scan?: boolean | undefined
  /** Smallest value that is compressed, in bytes (64 or more); only if that makes it smaller. @default no compression */
  readonly compressionThreshold?: number | undefined
  /** Split values larger than the 400 KB of an item into several items. @default false */
  readonly chunks?: boolean | undefined
  /** Largest value, in bytes. @default 396 KiB, which fits one item; 16 MiB with `compressionThreshold` or `chunks` */
  readonly maxValueBytes?: number | undefined
  /** Merge the `get`s of one tick into BatchGetItem requests, and its `set`s into BatchWriteItem requests. @default true */
  readonly batching?: boolean | undefined
  /**
   * Deadline of a call with its retries. In a batch, each chunk has its own. A call that waits for earlier calls of its
   * key waits at most as long. @default '3s'
   */
  readonly timeout?: Duration | undefined
  /** Deadline of a single request, after which it is retried. @default '1s' */
  readonly requestTimeout?: Duration | undefined
  /**
   * An SDK client of the application, or a function that returns one. Every request passes through its `send`, so that
   * its middleware and configuration apply; the store's own requests take less CPU time. `close()` leaves it open.
   */
  readonly client?: DynamoDBClient | (() => DynamoDBClient) | undefined
  /**
   * The clock by which items expire, for tests with a manual clock. @default that of this machine, corrected by the time
   * of the server's replies if it is wrong
   */
  readonly clock?: Clock | undefined
}

const optionNames = {
  table: true,
  region: true,
  endpoint: true,
  credentials: true,
  attributes: true,
  consistency: true,
  ensureTable: true,
  scan: true,
  compressionThreshold: true,
  chunks: true,
  maxValueBytes: true,
  batching: true,
  timeout: true,
  requestTimeout: true,
  client: true,
  clock: true,
} as const

/** How values larger than one item are stored. */
export interface LargeValueOptions {
  /** Payloads of this many bytes or more are compressed. */
  readonly compressionThreshold: number
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
  /** Largest value of one item, in bytes. */
  readonly maxItemBytes: number
  /** `undefined` if larger values are rejected. */
  readonly largeValues: LargeValueOptions | undefined
  readonly timeoutMs: number
  readonly requestTimeoutMs: number
  /** `undefined` for the clock of this machine, corrected by that of the server. */
  readonly clock: Clock | undefined
}

/**
 * Bytes of a value that always fit one item. An item has at most 400 KB, attribute names included; 4 KB are reserved for
 * the key (2 KB at most), the expiry and the names.
 * @see https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
 */
const itemValueBytes = 396 * 1024

/** The largest reply of a BatchGetItem. */
const defaultLargeValueBytes = 16 * 1024 * 1024

/** Shorter payloads do not get smaller, and an integer must remain a number that can be incremented. */
const minCompressionThreshold = 64

/** Attributes that only this driver uses. */
export const internalNames = { earlyMs: 'early_ms', writeId: 'write_id' } as const

/** @see https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html */
export const tableNameRule = '3 to 255 letters, digits, "_", "-" and "."'

export function isTableName(name: unknown): name is string {
  return typeof name === 'string' && /^[\w.-]{3,255}$/.test(name)
}

/** @throws CacheError `ERR_CACHE_CONFIG` */
export function checkTableName(name: unknown): void {
  if (isTableName(name)) return
  throw configError(`table must be the name of a table: ${tableNameRule}`)
}

/** @throws CacheError `ERR_CACHE_CONFIG` for invalid options, TypeError for unknown ones */
export function resolveOptions(options: DynamoDBOptions): ResolvedOptions {
  checkOptionNames<DynamoDBOptions>(
    'dynamodb',
    options,
    optionNames,
    "dynamodb({ table: 'cache' })",
  )
  checkTableName(options.table)
  const { client, endpoint } = options
  if (client !== undefined && typeof client !== 'function') checkClient(client)
  if (endpoint !== undefined && !isHttp(endpoint)) {
    throw configError('endpoint must be a URL such as http://127.0.0.1:8000')
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
    ...resolveSizes(options),
    timeoutMs: checkTimeout('dynamodb: timeout', options.timeout ?? '3s'),
    requestTimeoutMs: checkTimeout('dynamodb: requestTimeout', options.requestTimeout ?? '1s'),
    clock: options.clock,
  }
}

function resolveSizes({ compressionThreshold, chunks = false, maxValueBytes }: DynamoDBOptions) {
  const allowsLarge = chunks || compressionThreshold !== undefined
  const limit = checkInteger(
    'dynamodb: maxValueBytes',
    maxValueBytes ?? (allowsLarge ? defaultLargeValueBytes : itemValueBytes),
    1,
    allowsLarge ? Number.MAX_SAFE_INTEGER : itemValueBytes,
  )
  if (!allowsLarge) return { maxItemBytes: limit, largeValues: undefined }
  const threshold =
    compressionThreshold === undefined
      ? Infinity
      : checkInteger(
          'dynamodb: compressionThreshold',
          compressionThreshold,
          minCompressionThreshold,
        )
  return {
    maxItemBytes: itemValueBytes,
    largeValues: { compressionThreshold: threshold, chunks, maxValueBytes: limit },
  }
}

/** @throws CacheError `ERR_CACHE_CONFIG` if two attributes have the same name, or one has an empty name */
export function attributeNames(given: AttributeNames = {}): ResolvedOptions['names'] {
  const { key = 'key', value = 'value', ttl = 'expires_at' } = given
  const all = [key, value, ttl, ...Object.values(internalNames)]
  if (all.includes('') || new Set(all).size < all.length) {
    const quoted = all.map((name) => `"${name}"`).join(', ')
    throw configError(`attributes must have distinct, non-empty names, not ${quoted}`)
  }
  return { key, value, ttl }
}

/** @throws CacheError `ERR_CACHE_CONFIG` unless it is a client of the SDK */
export function checkClient(client: DynamoDBClient | null | undefined): DynamoDBClient {
  if (typeof client?.send === 'function') return client
  throw configError('client must be a DynamoDBClient, or a function that returns one')
}

function isHttp(url: string): boolean {
  return URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)
}

function configError(reason: string): CacheError {
  return new CacheError('ERR_CACHE_CONFIG', `dynamodb: ${reason}.`)
}
