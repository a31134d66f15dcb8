import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ChangeOptions, ChangeWork } from '@stowage/core'
import { reportError } from '../channels.ts'
import { groupTags } from '../filling/build-record.ts'
import { copyHeaders, textOf } from '../headers/header-list.ts'
import type { ResolvedOptions } from '../options.ts'
import { normalizeUrl } from '../request/query.ts'
import {
  type FrameworkRequest,
  keyOfUrl,
  originOf,
  pathOf,
  pathOnHost,
  tagOfUrl,
  targetOf,
} from '../request/request-keys.ts'
import { holdResponse, releaseResponse } from '../response/response-methods.ts'
import type { ResponseEngine } from '../response-engine.ts'
import { Deadlines } from '../storage/deadlines.ts'

/** The methods of a middleware or a handler that invalidate its responses. */
export interface InvalidationMethods {
  /**
   * Deletes the stored responses of a URL, all variants in all processes. Accepts a full URL, or a path with the request
   * whose host it is on.
   */
  invalidate(url: string, request?: IncomingMessage): Promise<void>
  /**
   * Runs `work`, usually a transaction, while the responses of the URLs are marked, as `cache.changing` does: a response that
   * is rendered meanwhile is sent and not stored, in any process. Resolves to the result of `work`.
   */
  invalidateDuring<T>(options: InvalidateDuringOptions, work: ChangeWork<T>): Promise<T>
}

/** What `invalidateDuring` marks. */
export interface InvalidateDuringOptions extends ChangeOptions {
  /** Full URLs, or paths with the option `request`. */
  readonly urls: readonly string[]
  /** The request whose host the paths are on. */
  readonly request?: IncomingMessage | undefined
}

/** A URL as it is part of keys. */
export interface InvalidatedUrl {
  readonly url: string
  /** Whether it is the URL that clients request, perhaps from a proxy. */
  readonly isPublic: boolean
}

/** Methods that change nothing (RFC 9110 section 9.2.1). */
const safeMethods = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PROPFIND',
  'REPORT',
  'SEARCH',
  'QUERY',
])

/** Invalidates stored responses. */
export class Invalidation {
  readonly #options: ResolvedOptions
  readonly #engine: ResponseEngine
  readonly #deadlines: Deadlines

  constructor(options: ResolvedOptions, engine: ResponseEngine) {
    this.#options = options
    this.#engine = engine
    this.#deadlines = new Deadlines(options.timeoutMs)
  }

  /**
   * Deletes all variants of a URL, in all processes. A response that is being rendered is not stored.
   */
  async invalidateUrl(url: InvalidatedUrl): Promise<void> {
    const { cache } = this.#options
    const { key, tags } = this.#namesOf(url)
    this.#engine.forget(key)
    await Promise.all([
      cache.delete(key),
      tags.length === 0 ? undefined : cache.invalidateTags(tags),
    ])
  }

  /**
   * Runs `work` while all variants of the URLs are marked, in all processes: they are rendered for each request, and not
   * stored. See `cache.changing`.
   */
  async invalidateDuring<T>(
    urls: readonly InvalidatedUrl[],
    { keys = [], tags = [], ...options }: ChangeOptions,
    work: ChangeWork<T>,
  ): Promise<T> {
    const names = urls.map((url) => this.#namesOf(url))
    const forget = () => {
      for (const { key } of names) this.#engine.forget(key)
    }
    const marked = {
      keys: [...keys, ...names.map(({ key }) => key)],
      tags: [...tags, ...names.flatMap((each) => each.tags)],
    }
    forget()
    try {
      return await this.#options.cache.changing({ ...options, ...marked }, work)
    } finally {
      forget()
    }
  }

  /** The key of the response of a URL, and the tags of those that have further keys. */
  #namesOf({ url, isPublic }: InvalidatedUrl): { readonly key: string; readonly tags: string[] } {
    const tags = this.#hasMoreKeys || isPublic ? [tagOfUrl(url)] : []
    // Another process may know that responses of the path do not depend on parts of the query.
    if (this.#options.keys.searchRules !== undefined) tags.push(tagOfUrl(pathOf(url)))
    return { key: keyOfUrl(url), tags }
  }

  /** Whether the URL alone does not determine the key. */
  get #hasMoreKeys(): boolean {
    const { variation, maxQueryBytes } = this.#options
    return variation.partOf !== undefined || maxQueryBytes > 0
  }

  /** The URL of a request, or of a path on its host, as it is part of keys. */
  urlOf(request: FrameworkRequest, path: string = targetOf(request)): string {
    return originOf(request) + normalizeUrl(path, this.#options.keys.query)
  }

  /**
   * Invalidates the URL of an unsafe request, and those that the response names, before a successful response ends (RFC
   * 9111 section 4.4). If the cache fails, the response ends after the timeout nevertheless.
   */
  observe(request: FrameworkRequest, response: ServerResponse): void {
    if (safeMethods.has(request.method ?? '')) return
    // Node forgets the address of a client that has left, unless it was read. By that, Express trusts a proxy.
    if (request.app !== undefined) void request.socket?.remoteAddress
    const { end } = response
    let hasEnded = false
    // A stream stops without `end` if the client leaves, although the request may have changed something.
    response.once('close', () => {
      if (!hasEnded && response.headersSent && response.statusCode < 400)
        this.#invalidateFor(request, response)
    })
    response.end = ((...args: unknown[]) => {
      if (hasEnded || response.statusCode >= 400) return Reflect.apply(end, response, args)
      hasEnded = true
      const invalidated = this.#invalidateFor(request, response)
      holdResponse(response)
      invalidated.finally(() => {
        releaseResponse(response)
        Reflect.apply(end, response, args)
      })
      return response
    }) as typeof response.end
  }

  /** Never rejects. */
  async #invalidateFor(request: FrameworkRequest, response: ServerResponse): Promise<void> {
    let key = targetOf(request)
    try {
      // A function of the application may fail, such as that for `trust proxy`.
      key = this.urlOf(request)
      await this.#deadlines.limit(this.#invalidateNamed(request, response))
    } catch (error) {
      reportError(this.#options.cache.name, key, error)
    }
  }

  /** Invalidates the URL of a request, and what its response names. */
  async #invalidateNamed(request: FrameworkRequest, response: ServerResponse): Promise<void> {
    const { cache } = this.#options
    const origin = originOf(request)
    const headers = copyHeaders(response.getHeaders())
    const groups = groupTags(headers, origin, 'cache-group-invalidation')
    const named = ['location', 'content-location'].map((name) => textOf(headers[name]))
    const paths = named.map((value) => pathOnHost(request, value))
    const urls = [targetOf(request), ...paths]
      .filter((path) => path !== undefined)
      .map((path) => this.urlOf(request, path))
    await Promise.all([
      ...[...new Set(urls)].map((url) => this.invalidateUrl({ url, isPublic: false })),
      this.#invalidateOwnKey(request),
      groups.length === 0 ? undefined : cache.invalidateTags(groups),
    ])
  }

  /** Deletes all variants of a response whose route determines the key. */
  async #invalidateOwnKey(request: FrameworkRequest): Promise<void> {
    const { cache } = this.#options
    const key = this.#options.key?.(request)
    if (key === undefined) return
    this.#engine.forget(key)
    await Promise.all([
      cache.delete(key),
      this.#hasMoreKeys ? cache.invalidateTags(tagOfUrl(key)) : undefined,
    ])
  }
}
