import type { IncomingMessage, ServerResponse } from 'node:http'
import { types as valueTypes } from 'node:util'
import { type Awaitable, type Cache, type Duration, milliseconds } from '@stowage/core'
import { checkOptionNames } from '@stowage/core/driver'
import { Exchange } from '../exchange/exchange.ts'
import type { RenderDecisions, Rendered, Renderer } from '../exchange/renderer.ts'
import { chooseType } from '../headers/negotiation.ts'
import { checkCache, type ResolvedOptions, resolveOptions } from '../options.ts'
import { checkTags } from '../request/tags.ts'
import type { CapturedResponse } from '../response/capture.ts'
import { setRenderedHeaders } from '../response/stored-headers.ts'
import { ResponseEngine } from '../response-engine.ts'
import type { Encoding } from '../storage/encodings.ts'

/** Converts a result to the body of a response. */
export type Serializer<T> = (result: T) => string | Uint8Array

/** Options of {@link toOptimizedResult}. */
export interface OptimizedResultOptions<T> {
  readonly cache: Cache
  /** The key of the result, with everything that it depends on. Deleting it deletes all its variants. */
  readonly key: string
  /** How long the result is fresh. @default the ttl of the cache, or else `'1m'` */
  readonly ttl?: Duration | undefined
  readonly staleWhileRevalidate?: Duration | undefined
  readonly staleIfError?: Duration | undefined
  /** Tags of the result. @default none */
  readonly tags?: readonly string[] | undefined
  /**
   * Content types in which the result is sent, of which `Accept` chooses one; the first is the default. Each is serialized
   * and stored once. @default { 'application/json; charset=utf-8': JSON.stringify }
   */
  readonly types?: Readonly<Record<string, Serializer<T>>> | undefined
  /** See `responseCache`. */
  readonly encodings?: readonly Encoding[] | false | undefined
}

/**
 * Sends the result of `load`, which is called only if no variant of the result is stored: for each content type and each
 * encoding, the bytes of the response are stored once. `cache.delete(key)`, or the invalidation of a tag, removes all of
 * them. The key is the declaration of what the result depends on: requests with cookies use the cache as well.
 *
 * Resolves when the response was sent, and rejects with the error of `load`, or for invalid options. Sends 404 for
 * `undefined`, which is not stored.
 *
 * @example
 * app.get('/customers/:id', async (request, response) => {
 *   const { id } = request.params
 *   const options = { cache, key: `customer:${id}`, ttl: '10m', tags: ['customers'] } as const
 *   await toOptimizedResult(request, response, options, async () => ({ id, name: 'Ada' }))
 * })
 */
export async function toOptimizedResult<T>(
  request: IncomingMessage,
  response: ServerResponse,
  options: OptimizedResultOptions<T>,
  load: () => Awaitable<T | undefined>,
): Promise<void> {
  checkOptions(options)
  if (typeof load !== 'function') throw new TypeError(noLoad)
  const { key, tags = [], types = defaultTypes as Record<string, Serializer<T>> } = options
  const { engine, resolved } = engineFor(options)
  const names = Object.keys(types)
  const type = chooseType(request.headers.accept, names.map(withoutParameters))
  const index = names.findIndex((name) => withoutParameters(name) === type)
  const name = names[index] as string
  const renderer = new ResultRenderer(
    response,
    { name, serialize: types[name] as Serializer<T>, varies: names.length > 1, ttl: options.ttl },
    load,
  )
  const isSafe = request.method === 'GET' || request.method === 'HEAD'
  if (!isSafe) return renderer.send()
  const keys = { url: key, key }
  const exchange = new Exchange(request, response, keys, renderer, resolved, tags)
  const headers = { ...exchange.headers, accept: type }
  await engine.handle({ ...exchange, headers, hasAuthorization: false })
  await renderer.settled()
}

const noLoad =
  "toOptimizedResult: the fourth argument must be the function that returns the result: async () => ({ name: 'Ada' })."

const optionNames: Readonly<Record<keyof OptimizedResultOptions<unknown>, true>> = {
  cache: true,
  key: true,
  ttl: true,
  staleWhileRevalidate: true,
  staleIfError: true,
  tags: true,
  types: true,
  encodings: true,
}

/** The engine would take an invalid key for a failure of the store, and call `load` for each request. */
function checkOptions<T>(options: OptimizedResultOptions<T>): void {
  checkOptionNames('toOptimizedResult', options, optionNames)
  const { cache, key, ttl, tags = [], types = defaultTypes } = options
  checkCache(cache, 'toOptimizedResult', "{ cache: caches.use('cache'), key }")
  if (typeof key !== 'string' || key === '') {
    throw new TypeError('toOptimizedResult: the key must be a non-empty string.')
  }
  if (ttl !== undefined) milliseconds(ttl)
  checkTags(tags)
  const serializers = Object.values(types)
  if (serializers.length > 0 && serializers.every((each) => typeof each === 'function')) return
  throw new TypeError(
    "toOptimizedResult: types must be an object, such as { 'text/html': toHtml }.",
  )
}

const defaultTypes: Record<string, Serializer<unknown>> = {
  'application/json; charset=utf-8': (result) => JSON.stringify(result),
}

interface Engine {
  readonly engine: ResponseEngine
  readonly resolved: ResolvedOptions
}

/** The engines of a cache, by the options that differ. */
const engines = new WeakMap<Cache, Map<string, Engine>>()

function engineFor<T>(options: OptimizedResultOptions<T>): Engine {
  const { cache, staleWhileRevalidate, staleIfError, encodings } = options
  const known = engines.get(cache) ?? new Map<string, Engine>()
  engines.set(cache, known)
  const id = JSON.stringify([staleWhileRevalidate, staleIfError, encodings])
  const existing = known.get(id)
  if (existing !== undefined) return existing
  const resolved = resolveOptions({ cache, staleWhileRevalidate, staleIfError, encodings })
  const created = { engine: new ResponseEngine(resolved), resolved }
  known.set(id, created)
  return created
}

function withoutParameters(type: string): string {
  return (type.split(';')[0] as string).trim().toLowerCase()
}

/** How a result becomes a response. */
interface Representation<T> {
  /** The content type. */
  readonly name: string
  readonly serialize: Serializer<T>
  /** Whether there are several content types. */
  readonly varies: boolean
  readonly ttl: Duration | undefined
}

/** Renders the result of a function. */
class ResultRenderer<T> implements Renderer {
  readonly isDetached = true
  readonly #response: ServerResponse
  readonly #representation: Representation<T>
  readonly #load: () => Awaitable<T | undefined>
  #failure: { readonly error: unknown } | undefined
  #sending: Promise<void> | undefined

  constructor(
    response: ServerResponse,
    representation: Representation<T>,
    load: () => Awaitable<T | undefined>,
  ) {
    this.#response = response
    this.#representation = representation
    this.#load = load
  }

  async render(_decisions?: RenderDecisions): Promise<Rendered> {
    const captured = this.#capture(await this.#load())
    const { ttl } = this.#representation
    const isExcluded = captured.status !== 200
    return {
      captured,
      facts: {
        ttl,
        tags: [],
        isExcluded,
        privateRead: undefined,
        headersRead: [],
        isOfRequest: false,
      },
    }
  }

  bypass(): void {
    this.#sending = this.send()
    this.#sending.catch(() => {})
  }

  fail(error: unknown): void {
    this.#failure = { error }
  }

  /** Sends the result without the cache. */
  async send(): Promise<void> {
    const { captured } = await this.render()
    const response = this.#response
    response.statusCode = captured.status
    setRenderedHeaders(response, captured)
    response.end(captured.body)
  }

  /** Rejects if the result could not be sent. */
  async settled(): Promise<void> {
    await this.#sending
    if (this.#failure !== undefined) throw this.#failure.error
  }

  #capture(result: T | undefined): CapturedResponse {
    const { name, serialize, varies } = this.#representation
    if (result === undefined) return { ...notFound, isComplete: true, body: Buffer.alloc(0) }
    const bytes = serialize(result)
    if (typeof bytes !== 'string' && !valueTypes.isUint8Array(bytes)) {
      throw new TypeError(`toOptimizedResult: the serializer of ${name} must return text or bytes.`)
    }
    const body = typeof bytes === 'string' ? Buffer.from(bytes) : Buffer.from(bytes)
    const headers = { 'content-type': name, ...(varies && { vary: 'Accept' }) }
    return { status: 200, message: '', headers, own: headers, removed: [], body, isComplete: true }
  }
}

const notFound = { status: 404, message: '', headers: {}, own: {}, removed: [] }
