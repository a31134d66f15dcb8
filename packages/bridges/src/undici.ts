/**
 * Interface: `store` of `interceptors.cache` of undici 7 and 8 (tested with 7.30).
 *
 * Cannot: store a response in parts: its body is in memory until it is complete, so that larger ones than `maxBytes` are not
 * stored. Cookies and `Authorization` are the business of the interceptor: leave its `type` at `'shared'` where several users
 * share a cache. Failures are events of the channel `stowage:error`: a read is a miss, because undici would fail the request,
 * and a write or `delete` is given up.
 */
import { createHash, randomUUID } from 'node:crypto'
import { Writable } from 'node:stream'
import { type ByteSize, type Cache, CacheError } from '@stowage/core'
import { checkBytes, checkOptionNames } from '@stowage/core/driver'
import { KeyOrder, publishError, viewAsIs } from '@stowage/core/internal'
import { checkCache, orMiss } from './support/caches.ts'

/** What undici calls. */
export interface UndiciCacheStore {
  get(key: RequestKey): Promise<StoredResponse | undefined>
  createWriteStream(key: RequestKey, value: ResponseHead): Writable
  delete(key: RequestKey): Promise<void>
}

export interface UndiciStoreOptions {
  /** Maximum size of a body, in bytes or as `'5MiB'`. @default 5 MB, or what the backend can store */
  readonly maxBytes?: ByteSize | undefined
}

const defaultMaxBytes = 5_000_000
/** Headers and keys need space as well. */
const maxHeadBytes = 64_000
/** Each read of a URL looks for so many responses. The origin determines by which headers they vary. */
const maxVaries = 20
/** A response that was deleted must not be read from a replica that lags behind. */
const strong = { consistency: 'strong' } as const

/**
 * Returns a store for the cache interceptor of undici, which all processes share.
 *
 * @throws CacheError `ERR_CACHE_CONFIG`, or a TypeError, for invalid options
 * @example
 * import { Agent, interceptors, setGlobalDispatcher } from 'undici'
 *
 * const store = undiciCacheStore(cache)
 * setGlobalDispatcher(new Agent().compose(interceptors.cache({ store })))
 */
export function undiciCacheStore(cache: Cache, options: UndiciStoreOptions = {}): UndiciCacheStore {
  checkCache('undiciCacheStore', cache)
  checkOptionNames<UndiciStoreOptions>('undiciCacheStore', options, { maxBytes: true })
  const { maxBytes = defaultMaxBytes } = options
  const ownMax =
    maxBytes === Infinity ? maxBytes : checkBytes('undiciCacheStore: maxBytes', maxBytes, 0)
  return new Store(cache, Math.min(ownMax, cache.limits.valueBytes - maxHeadBytes))
}

class Store implements UndiciCacheStore {
  readonly #cache: Cache
  readonly #responses: Cache
  readonly #maxBytes: number
  /** The next request of this process finds what has been received, and a deletion applies to it. */
  readonly #order = new KeyOrder()

  constructor(cache: Cache, maxBytes: number) {
    this.#cache = cache
    this.#responses = viewAsIs(cache, 'bytes')
    this.#maxBytes = maxBytes
  }

  get(key: RequestKey): Promise<StoredResponse | undefined> {
    const at = variantsKey(key)
    return orMiss(this.#cache, at, () => this.#order.run([at], false, () => this.#find(key)))
  }

  createWriteStream(key: RequestKey, value: ResponseHead): Writable {
    const write = <T>(call: () => Promise<T>) => this.#order.run([variantsKey(key)], true, call)
    // Before the body: a URL that is deleted meanwhile gets another id, under which this response is not found.
    const opening = write(() => this.#variantsWith(key, value))
    opening.catch(() => {})
    const chunks: Buffer[] = []
    let bytes = 0
    return new Writable({
      write: (chunk: Buffer, _encoding, callback) => {
        bytes += chunk.byteLength
        if (bytes <= this.#maxBytes) chunks.push(chunk)
        callback()
      },
      final: (callback) => {
        const storing =
          bytes > this.#maxBytes
            ? this.#refuse(key, bytes)
            : write(() => this.#store(key, value, chunks, opening))
        storing.catch((error: unknown) => this.#publish(key, error)).then(() => callback())
      },
    })
  }

  async delete(key: RequestKey): Promise<void> {
    const at = variantsKey(key)
    const deleting = this.#order.run([at], true, () => this.#cache.delete(at))
    await deleting.catch((error: unknown) => this.#publish(key, error))
  }

  async #find(key: RequestKey) {
    const variants = await this.#cache.get<Variants>(variantsKey(key), strong)
    if (variants === undefined) return undefined
    const keys = variants.varies.map((names) => responseKey(variants.id, key, names, key.headers))
    const stored = await this.#responses.getMany<Buffer>(keys)
    return stored
      .flatMap((item) => (item === undefined ? [] : [decode(item)]))
      .filter(({ deleteAt }) => deleteAt > Date.now())
      .sort((a, b) => b.cachedAt - a.cachedAt)[0]
  }

  /** Adds a `Vary` to those of a URL, unless it is there already, as for most responses. */
  async #variantsWith(key: RequestKey, { vary, deleteAt }: ResponseHead): Promise<Variants> {
    const at = variantsKey(key)
    const known = await this.#cache.get<Variants>(at, strong)
    if (known !== undefined && known.until >= deleteAt && includes(known, namesOf(vary)))
      return known
    const ttl = Math.max(deleteAt, known?.until ?? 0) - Date.now()
    const update = (current: Variants | undefined) => extended(current, namesOf(vary), deleteAt)
    return (await this.#cache.update(at, update, { ttl })) as Variants
  }

  async #store(
    key: RequestKey,
    value: ResponseHead,
    chunks: readonly Buffer[],
    opening: Promise<Variants>,
  ): Promise<void> {
    const { id } = await opening
    const at = responseKey(id, key, namesOf(value.vary), value.vary)
    const ttl = value.deleteAt - Date.now()
    await this.#responses.set(at, encode(value, chunks), { ttl })
  }

  /** What was stored is older than the response, so that it is deleted. */
  async #refuse(key: RequestKey, bytes: number): Promise<void> {
    await this.delete(key)
    const message = `The body of a response has ${bytes} bytes, more than the ${this.#maxBytes} that are stored.`
    throw new CacheError('ERR_CACHE_LIMIT', message, { operation: 'set' })
  }

  #publish(key: RequestKey, error: unknown): void {
    const { name, driver } = this.#cache
    publishError({ cache: name, store: driver, key: variantsKey(key) }, error)
  }
}

type Headers = Record<string, string | string[]>

/** What identifies a request. */
interface RequestKey {
  readonly origin: string
  readonly method: string
  readonly path: string
  readonly headers?: Headers
}

/** A response without its body. The last three are in epoch milliseconds. */
interface ResponseHead {
  statusCode: number
  statusMessage: string
  headers: Headers
  /** The request headers that have selected the response. `null` for one that was absent. */
  vary?: Record<string, string | string[] | null>
  etag?: string
  cacheControlDirectives?: object
  cachedAt: number
  staleAt: number
  deleteAt: number
}

/** The responses of a URL. Without it, none of them is found. */
interface Variants {
  /** Part of their keys. A URL that was deleted gets another one. */
  readonly id: string
  /** The names of the headers in each `Vary` of a response. */
  readonly varies: readonly (readonly string[])[]
  /** When the last one is deleted, in epoch milliseconds. */
  readonly until: number
}

interface StoredResponse extends ResponseHead {
  cacheControlDirectives: object
  body: Buffer
}

/** The key of what is known of a URL. */
function variantsKey({ origin, path }: RequestKey): string {
  return `url:${digest([origin, path])}`
}

/** The key of a response. @param values of the request headers, or of those that have selected a response */
function responseKey(
  id: string,
  { method }: RequestKey,
  names: readonly string[],
  values: Readonly<Record<string, string | string[] | null>> = {},
): string {
  return `response:${id}:${digest([method, ...names.map((name) => [name, values[name] ?? null])])}`
}

/** Paths are longer than many backends permit, and may contain what must not be shown. */
function digest(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url')
}

/** The names of the headers that a response varies by. */
function namesOf(vary: ResponseHead['vary'] = {}): string[] {
  return Object.keys(vary).sort()
}

/** Whether responses of a URL are known to vary by these headers. */
function includes({ varies }: Variants, names: readonly string[]): boolean {
  return varies.some((known) => known.join() === names.join())
}

/** What is known of a URL, and of a further response. */
function extended(current: Variants | undefined, names: string[], deleteAt: number): Variants {
  if (current === undefined) return { id: randomUUID(), varies: [names], until: deleteAt }
  const varies = includes(current, names)
    ? current.varies
    : [...current.varies, names].slice(-maxVaries)
  return { ...current, varies, until: Math.max(current.until, deleteAt) }
}

/** A line of JSON, and the body as it is. */
function encode(head: ResponseHead, chunks: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), ...chunks])
}

/** The opposite of {@link encode}. */
function decode(item: Buffer): StoredResponse {
  const bytes = Buffer.from(item.buffer, item.byteOffset, item.byteLength)
  const end = bytes.indexOf('\n')
  return { ...JSON.parse(bytes.toString('utf8', 0, end)), body: bytes.subarray(end + 1) }
}
