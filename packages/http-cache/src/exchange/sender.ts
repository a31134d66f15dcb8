import { type ServerResponse, STATUS_CODES } from 'node:http'
import { types } from 'node:util'
import type { Awaitable } from '@stowage/core'
import { publishResponse } from '../channels.ts'
import { textOf } from '../headers/header-list.ts'
import { chooseEncoding } from '../headers/negotiation.ts'
import type { ResolvedOptions } from '../options.ts'
import { ageOf } from '../policy/freshness.ts'
import {
  asksWhetherModified,
  type ByteRange,
  type Conditions,
  isNotModified,
  parseRange,
  permitsRange,
  type Selected,
} from '../request/conditions.ts'
import { type CacheOutcome, formatCacheStatus, setCacheStatus } from '../response/cache-status.ts'
import type { CapturedResponse } from '../response/capture.ts'
import { hasHead, releaseResponse } from '../response/response-methods.ts'
import { setRenderedHeaders, setStoredHeaders } from '../response/stored-headers.ts'
import type { Encoding } from '../storage/encodings.ts'
import { headerLinesOf, type ResponseRecord, type StoredItem } from '../storage/record.ts'
import type { FoundResponse, ResponseStore } from '../storage/response-store.ts'
import { ShortKeyMap } from '../storage/short-key-map.ts'
import type { Exchange } from './exchange.ts'

/** Headers that describe the content, which a response of 304 does not have (RFC 9110 section 15.4.5). */
const contentHeaders = [
  'content-length',
  'content-type',
  'content-encoding',
  'content-language',
  'content-range',
]

/** Digests of the bytes that are sent, which a part does not have (RFC 9530 section 2). */
const messageDigests = ['content-digest', 'content-md5']

/** A stored response answers the request. */
export const plainHit: CacheOutcome = { hit: true }
const maxKeptHeaders = 1_000
/** Longer headers are parsed for each request, in characters. */
const maxKeptHeader = 100

/** Sends stored responses. */
export class Sender {
  readonly #options: ResolvedOptions
  readonly #store: ResponseStore
  /** The encoding by `Accept-Encoding`: clients send few different values. */
  readonly #encodings = new ShortKeyMap<Encoding | 'identity'>(maxKeptHeaders)

  #lastTtl = Number.NaN
  #lastStatus = ''

  constructor(options: ResolvedOptions, store: ResponseStore) {
    this.#options = options
    this.#store = store
  }

  /**
   * Answers with a stored response: with 304 or a part of it where the request asks for that. The body is read only if it
   * is sent. Returns `false` if it is lost, and nothing was sent.
   */
  send(
    exchange: Exchange,
    stored: StoredItem<ResponseRecord>,
    outcome: CacheOutcome,
    parts?: FoundResponse['parts'],
  ): boolean | Promise<boolean> {
    const { conditions } = exchange
    const { record } = stored
    const encoding = this.encodingFor(conditions, record)
    const etag = etagOf(record, encoding)
    if (
      asksWhetherModified(conditions) &&
      isNotModified(conditions, selectedOf(record, etag), this.#now())
    ) {
      this.#sendNotModified(exchange, stored, etag, outcome)
      return true
    }
    if (conditions.method === 'HEAD' && encoding === 'identity') {
      this.#sendHead(exchange, stored, etag, outcome)
      return true
    }
    const body = this.#store.bodyOf(stored, encoding, parts)
    if (!types.isUint8Array(body))
      return this.#sendLater(exchange, stored, { encoding, etag }, outcome, body)
    this.#sendBody(exchange, stored, { encoding, etag, body }, outcome)
    return true
  }

  /** The encoding in which a response is sent. A part is always one of the plain form. */
  encodingFor(
    { acceptEncoding, range }: Conditions,
    { isEncodable }: { readonly isEncodable: boolean },
  ): Encoding | 'identity' {
    if (!isEncodable || range !== undefined || acceptEncoding === undefined) return 'identity'
    const known = this.#encodings.get(acceptEncoding)
    if (known !== undefined) return known
    const chosen = chooseEncoding(acceptEncoding, this.#options.encodings)
    if (acceptEncoding.length <= maxKeptHeader) this.#encodings.set(acceptEncoding, chosen)
    return chosen
  }

  /** Sends what a handler has written to a detached response. */
  sendCaptured(exchange: Exchange, captured: CapturedResponse, outcome: CacheOutcome): void {
    const { response } = exchange
    if (!isOpen(response)) return
    setRenderedHeaders(response, captured)
    response.statusCode = captured.status
    if (captured.message !== '') response.statusMessage = captured.message
    this.setStatus(exchange, outcome)
    response.end(exchange.conditions.method === 'HEAD' ? undefined : captured.body)
  }

  /**
   * Other caches, such as that of the browser, do not know of invalidations.
   *
   * @param value `'no-cache'` for a response that may become private while it is sent: no cache may use it without asking
   */
  setClientCacheControl(response: ServerResponse, value?: 'no-cache'): void {
    const { clientCacheControl } = this.#options
    if (clientCacheControl !== undefined && response.getHeader('cache-control') === undefined) {
      response.setHeader('Cache-Control', value ?? clientCacheControl)
    }
  }

  setStatus(exchange: Exchange, outcome: CacheOutcome, ttl?: number): void {
    const { cacheStatus, showKey, cache } = this.#options
    publishResponse(cache.name, outcome, ttl)
    if (cacheStatus === undefined) return
    const key = showKey ? exchange.keys.key : undefined
    const text =
      outcome === plainHit && key === undefined
        ? this.#hitStatus(cacheStatus, ttl ?? 0)
        : formatCacheStatus(cacheStatus, outcome, ttl, key)
    setCacheStatus(exchange.response, text)
  }

  /** Formatted once per remaining second: many hits in a row have the same. */
  #hitStatus(name: string, ttl: number): string {
    const seconds = Math.floor(ttl)
    if (seconds !== this.#lastTtl) {
      this.#lastTtl = seconds
      this.#lastStatus = formatCacheStatus(name, plainHit, seconds)
    }
    return this.#lastStatus
  }

  /** Reads the body first. */
  async #sendLater(
    exchange: Exchange,
    stored: StoredItem<ResponseRecord>,
    chosen: Pick<Representation, 'encoding' | 'etag'>,
    outcome: CacheOutcome,
    reading: Awaitable<Buffer | undefined>,
  ): Promise<boolean> {
    const body = await Promise.resolve(reading).catch(() => undefined)
    if (body !== undefined) {
      this.#sendBody(exchange, stored, { ...chosen, body }, outcome)
      return true
    }
    if (chosen.encoding === 'identity') return false
    // The plain form, if only the encoded one could not be made.
    const plain = { ...exchange.conditions, acceptEncoding: undefined }
    return this.send({ ...exchange, conditions: plain }, stored, outcome)
  }

  #sendBody(
    exchange: Exchange,
    stored: StoredItem<ResponseRecord>,
    { encoding, etag, body }: Representation,
    outcome: CacheOutcome,
  ): void {
    if (!this.#begin(exchange, stored, etag, outcome)) return
    const { conditions, response } = exchange
    const { record } = stored
    if (encoding !== 'identity') response.setHeader('Content-Encoding', encoding)
    if (record.status === 204) {
      end(response)
      return
    }
    const range = rangeOf(conditions, record, etag, body.byteLength)
    if (range === undefined) {
      response.setHeader('Content-Length', body.byteLength)
      end(response, conditions.method === 'HEAD' ? undefined : body)
    } else sendRange(response, body, range)
  }

  #sendNotModified(
    exchange: Exchange,
    stored: StoredItem<ResponseRecord>,
    etag: string | undefined,
    outcome: CacheOutcome,
  ): void {
    if (!this.#begin(exchange, stored, etag, outcome)) return
    const { response } = exchange
    for (const name of contentHeaders) response.removeHeader(name)
    response.statusCode = 304
    response.statusMessage = 'Not Modified'
    end(response)
  }

  #sendHead(
    exchange: Exchange,
    stored: StoredItem<ResponseRecord>,
    etag: string | undefined,
    outcome: CacheOutcome,
  ): void {
    if (!this.#begin(exchange, stored, etag, outcome)) return
    const { response } = exchange
    const { record } = stored
    if (record.status !== 204) response.setHeader('Content-Length', record.bodyBytes)
    end(response)
  }

  /** Sets the status and the headers of a stored response. Returns `false` if another one was begun or the client has gone. */
  #begin(
    exchange: Exchange,
    stored: StoredItem<ResponseRecord>,
    etag: string | undefined,
    outcome: CacheOutcome,
  ): boolean {
    const { response } = exchange
    if (!isOpen(response)) return false
    const { record, lines = headerLinesOf(record) } = stored
    setStoredHeaders(response, record, lines, etag)
    this.setClientCacheControl(response)
    const { freshness, storedAt, status, message } = record
    const age = ageOf(freshness, storedAt, this.#now())
    if (!outcome.stored || age >= 1) response.setHeader('Age', String(Math.floor(age)))
    this.setStatus(exchange, outcome, outcome.hit ? freshness.lifetime - age : undefined)
    setStatusLine(response, status, message)
    return true
  }

  #now(): number {
    return this.#options.cache.clock.now()
  }
}

/** What is sent of a stored response. */
interface Representation {
  readonly encoding: Encoding | 'identity'
  readonly etag: string | undefined
  readonly body: Buffer
}

/**
 * Sets the status and its message, unless Node sends the same without that. On Express, V8 creates a hidden class for each
 * property that is added to a response, and looks up everything anew for it.
 */
function setStatusLine(response: ServerResponse, status: number, message: string): void {
  if (response.statusCode !== status) response.statusCode = status
  if (message === '') return
  const sent = response.statusMessage ?? STATUS_CODES[status]
  if (message !== sent) response.statusMessage = message
}

function selectedOf({ status, headers }: ResponseRecord, etag: string | undefined): Selected {
  return {
    status,
    etag,
    lastModified: textOf(headers['last-modified']),
    date: textOf(headers.date),
  }
}

/** The part of a body that is sent; `undefined` for the whole body. */
function rangeOf(
  { method, range, ifRange }: Conditions,
  record: ResponseRecord,
  etag: string | undefined,
  length: number,
): ByteRange | undefined {
  if (range === undefined || method !== 'GET' || record.status !== 200) return undefined
  return permitsRange(ifRange, selectedOf(record, etag)) ? parseRange(range, length) : undefined
}

/** Each encoding has an entity tag of its own, as its bytes differ (RFC 9110 section 8.8.3). */
function etagOf({ etag }: ResponseRecord, encoding: Encoding | 'identity'): string | undefined {
  if (etag === undefined || encoding === 'identity') return etag
  return etag.endsWith('"') ? `${etag.slice(0, -1)}-${encoding}"` : etag
}

/** Whether a response can be sent: none was sent, and the client has not gone. */
function isOpen(response: ServerResponse): boolean {
  return !response.destroyed && (!hasHead(response) || releaseResponse(response))
}

function sendRange(response: ServerResponse, body: Buffer, range: ByteRange): void {
  if (range === 'unsatisfiable') {
    response.statusCode = 416
    response.statusMessage = ''
    response.setHeader('Content-Range', `bytes */${body.byteLength}`)
    response.setHeader('Content-Length', 0)
    end(response)
    return
  }
  // The range is one of these bytes: middleware in front, such as compression(), must not encode them.
  const control = textOf(response.getHeader('cache-control'))
  if (!control?.includes('no-transform')) {
    response.setHeader('Cache-Control', control ? `${control}, no-transform` : 'no-transform')
  }
  for (const name of messageDigests) response.removeHeader(name)
  const { start, end: last } = range
  response.statusCode = 206
  response.statusMessage = 'Partial Content'
  response.setHeader('Content-Range', `bytes ${start}-${last}/${body.byteLength}`)
  response.setHeader('Content-Length', last + 1 - start)
  end(response, body.subarray(start, last + 1))
}

function end(response: ServerResponse, body?: Buffer): void {
  if (body === undefined) response.end()
  else response.end(body)
}
