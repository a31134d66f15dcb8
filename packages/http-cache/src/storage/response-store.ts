import { types } from 'node:util'
import type { Awaitable, Cache } from '@stowage/core'
import { getShared } from '@stowage/core/internal'
import { normalizeHeader } from '../request/vary-by.ts'
import { Deadlines } from './deadlines.ts'
import { type Encoding, encodeBody } from './encodings.ts'
import {
  bufferOf,
  decodeRecord,
  type ResponseRecord,
  type StoredItem,
  type StoredRecord,
  type VaryRecord,
} from './record.ts'
import { copyOf, type ShortKeyMap } from './short-key-map.ts'

/** Request headers by their names in lower case. */
export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/** What a lookup has found. */
export interface FoundResponse {
  /** The key of the response: that of the URL, or that of the variant. */
  readonly key: string
  /** Set if the response depends on request headers. */
  readonly vary: VaryRecord | undefined
  readonly stored: StoredItem<ResponseRecord> | undefined
  /** The parts that were read in the same turn, by their keys. */
  readonly parts: ReadonlyMap<string, Promise<Buffer | undefined>>
}

/** Which parts of a response a request probably needs. */
export interface Wanted {
  /** Whether the body is sent, and not only the headers. */
  readonly body: boolean
  readonly encoding: Encoding | 'identity'
}

/** What this process remembers of a key, in order to ask for all parts of a response in one turn. */
export interface Hint {
  /** The record of `Vary` that was read last. */
  readonly vary?: { readonly fill: string; readonly names: readonly string[] }
  /** The fill that was read last, whose encoded bodies may be asked for. */
  readonly fill?: string
  /** What the key of a body that is stored apart has after the key of its response. */
  readonly bodySuffix?: string | undefined
}

const noParts: ReadonlyMap<string, Promise<Buffer | undefined>> = new Map()
const encodedPrefix = 'http:encoded:'

/** Reads responses and their parts. */
export class ResponseStore {
  readonly #cache: Cache
  readonly #deadlines: Deadlines
  readonly #hints: ShortKeyMap<Hint>

  /** @param timeoutMs how long a read may take */
  constructor(cache: Cache, timeoutMs: number, hints: ShortKeyMap<Hint>) {
    this.#cache = cache
    this.#hints = hints
    this.#deadlines = new Deadlines(timeoutMs)
  }

  /**
   * Reads the record of a key, and in the same turn what the last record of the key has referred to. Returns no promise if
   * the cache replies at once: then nothing is gained by one turn.
   */
  find(key: string, headers: RequestHeaders, wanted: Wanted): Awaitable<FoundResponse> {
    const reading = this.#read(key)
    if (!(reading instanceof Promise))
      return this.#follow(key, decodeOnce(reading), headers, wanted)
    const hint = this.#hints.get(key)
    if (hint !== undefined) return this.#findParts(key, hint, reading, headers, wanted)
    return reading.then((value) => {
      const item = decodeRecord(value)
      this.#remember(key, responseItem(item)?.record)
      return this.#follow(key, item, headers, wanted)
    })
  }

  async #findParts(
    key: string,
    hint: Hint,
    reading: Awaitable<unknown>,
    headers: RequestHeaders,
    wanted: Wanted,
  ): Promise<FoundResponse> {
    const variant = hint.vary && variantKey(key, hint.vary, headers)
    const readingVariant = variant === undefined ? undefined : this.#begin(variant)
    const parts =
      variant === undefined
        ? this.#beginParts(key, hint, wanted)
        : this.#beginParts(variant, this.#hints.get(variant), wanted)
    const item = decodeRecord(await reading)
    this.#remember(key, responseItem(item)?.record)
    if (readingVariant !== undefined && item?.record.fill === hint.vary?.fill) {
      const stored = responseItem(decodeRecord(await readingVariant))
      const found = { key: variant as string, vary: item?.record as VaryRecord, stored, parts }
      this.#remember(found.key, stored?.record)
      return found
    }
    return this.#follow(key, item, headers, wanted, parts)
  }

  /** Returns the body of a response in an encoding; `undefined` if it has been lost. */
  bodyOf(
    stored: StoredItem<ResponseRecord>,
    encoding: Encoding | 'identity',
    parts: FoundResponse['parts'] = noParts,
  ): Awaitable<Buffer | undefined> {
    const { record, body } = stored
    if (encoding === 'identity') return body ?? this.#bodyApart(record, parts)
    const key = encodedKey(record.fill, encoding)
    const reading = parts.get(key) ?? this.#read(key)
    return bytesOf(reading) ?? this.#encodedBody(key, reading, stored, encoding, parts)
  }

  async #encodedBody(
    key: string,
    reading: Awaitable<unknown>,
    { record, body }: StoredItem<ResponseRecord>,
    encoding: Encoding,
    parts: FoundResponse['parts'],
  ): Promise<Buffer | undefined> {
    const read = bytesOf(await reading)
    if (read !== undefined) return read
    const ttl = Math.max(1, record.keepUntil - this.#cache.clock.now())
    return this.#cache.remember<Buffer | undefined>(key, { ttl: () => ttl }, async () => {
      const identity = body ?? (await this.#bodyApart(record, parts))
      return identity && encodeBody(identity, encoding)
    })
  }

  forget(key: string): void {
    this.#hints.delete(key)
  }

  /** What a record leads to: it is the response, or says under which key that is. */
  #follow(
    key: string,
    item: StoredItem | undefined,
    headers: RequestHeaders,
    wanted: Wanted,
    parts: FoundResponse['parts'] = noParts,
  ): Awaitable<FoundResponse> {
    const stored = responseItem(item)
    if (item === undefined || stored !== undefined) return { key, vary: undefined, stored, parts }
    const vary = item.record as VaryRecord
    const variant = variantKey(key, vary, headers)
    const reading = this.#read(variant)
    if (!(reading instanceof Promise)) {
      return { key: variant, vary, stored: responseItem(decodeOnce(reading)), parts }
    }
    this.#hints.set(key, { vary })
    const variantParts = this.#beginParts(variant, this.#hints.get(variant), wanted)
    return reading.then((value) => {
      const found = responseItem(decodeRecord(value))
      this.#remember(variant, found?.record)
      return { key: variant, vary, stored: found, parts: variantParts }
    })
  }

  /** Remembers parts that are stored apart. */
  #remember(key: string, record: ResponseRecord | undefined): void {
    if (record === undefined) return
    if (record.bodyKey === undefined && !record.isEncodable) {
      this.#hints.delete(key)
      return
    }
    const { fill, bodyKey } = record
    if (this.#hints.get(key)?.fill === fill) return
    const isBelowKey = bodyKey?.startsWith(key) === true
    const bodySuffix = isBelowKey ? copyOf(bodyKey.slice(key.length)) : undefined
    this.#hints.set(key, { fill, bodySuffix })
  }

  #beginParts(
    key: string,
    hint: Hint | undefined,
    { body, encoding }: Wanted,
  ): FoundResponse['parts'] {
    if (!body || hint?.fill === undefined) return noParts
    const isApart = encoding === 'identity'
    if (isApart && hint.bodySuffix === undefined) return noParts
    const part = isApart ? key + hint.bodySuffix : encodedKey(hint.fill, encoding)
    return new Map([[part, this.#begin(part).then(bytesOf)]])
  }

  async #bodyApart(
    record: ResponseRecord,
    parts: FoundResponse['parts'],
  ): Promise<Buffer | undefined> {
    const { bodyKey } = record
    if (bodyKey === undefined) return undefined
    const body = bytesOf(await (parts.get(bodyKey) ?? this.#read(bodyKey)))
    return body?.byteLength === record.bodyBytes ? body : undefined
  }

  /** Reads what may not be needed. A failure is that of the record, which is read at the same time. */
  async #begin(key: string): Promise<unknown> {
    try {
      return await this.#read(key)
    } catch {
      return undefined
    }
  }

  /** The bytes are only sent, so that they need not be copied. */
  #read(key: string): Awaitable<unknown> {
    try {
      const reading = getShared(this.#cache, key)
      return reading instanceof Promise ? this.#deadlines.limit(reading) : reading
    } catch (error) {
      return Promise.reject(error)
    }
  }
}

function encodedKey(fill: string, encoding: Encoding): string {
  return `${encodedPrefix}${fill}:${encoding}`
}

/**
 * The key of the variant of a request. It contains the id of the record of `Vary`: variants of an older one are not found any
 * more.
 */
export function variantKey(
  key: string,
  { fill, names }: Pick<VaryRecord, 'fill' | 'names'>,
  headers: RequestHeaders,
): string {
  const values = names.map((name) => encodeURIComponent(normalizeHeader(name, headers[name])))
  return `${key}|${fill}|${values.join(',')}`
}

function responseItem(
  item: StoredItem<StoredRecord> | undefined,
): StoredItem<ResponseRecord> | undefined {
  return item?.record.kind === 'response' ? (item as StoredItem<ResponseRecord>) : undefined
}

/** By the value that was read: a memory returns the same one each time. */
const decodedItems = new WeakMap<object, StoredItem>()

function decodeOnce(value: unknown): StoredItem | undefined {
  const known = decodedItems.get(value as object)
  if (known !== undefined) return known
  const item = decodeRecord(value)
  if (item !== undefined) decodedItems.set(value as object, item)
  return item
}

function bytesOf(value: unknown): Buffer | undefined {
  return types.isUint8Array(value) ? bufferOf(value) : undefined
}
