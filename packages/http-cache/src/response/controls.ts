import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Duration, milliseconds } from '@stowage/core'
import { conditionsOf, isNotModified } from '../request/conditions.ts'
import { checkTags } from '../request/tags.ts'

/** What a handler can request for its response: `response.cache`, which is `request.cache` as well. */
export interface ResponseCacheControls {
  /** Sets how long the response is fresh, instead of the option `ttl`. @throws TypeError unless it is a duration */
  ttl(duration: Duration): void
  /** Adds tags, see `cache.invalidateTags`. @throws TypeError for a tag that is not a non-empty string */
  tags(...tags: string[]): void
  /** Prevents that the response is stored or shared. */
  noStore(): void
  /**
   * Sets the validators of the response. If the client, or the stored response, still has it, ends the response with 304
   * and returns `true`: then the handler need not render it.
   */
  notModified(validators: {
    readonly etag?: string | undefined
    readonly lastModified?: Date | undefined
  }): boolean
}

declare module 'node:http' {
  interface IncomingMessage {
    /** Set by the middleware of `@stowage/http-cache` while a handler runs. */
    cache?: ResponseCacheControls
  }
  interface ServerResponse {
    /** Set by the middleware of `@stowage/http-cache` while a handler runs. */
    cache?: ResponseCacheControls
  }
}

/** Collects what a handler requests. */
export class RequestedControls implements ResponseCacheControls {
  requestedTtl: Duration | undefined
  readonly requestedTags: string[] = []
  isExcluded = false
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  /** Those of a cache in front of this one, which stores the response as well. */
  readonly #outer: ResponseCacheControls | undefined

  constructor(request: IncomingMessage, response: ServerResponse) {
    const { cache } = request
    this.#outer = cache instanceof RequestedControls ? cache : undefined
    this.#request = request
    this.#response = response
    // Not assigned, which throws an error if the application has frozen them.
    Reflect.set(request, 'cache', this)
    Reflect.set(response, 'cache', this)
  }

  ttl(duration: Duration): void {
    milliseconds(duration)
    this.requestedTtl = duration
    this.#outer?.ttl(duration)
  }

  tags(...tags: string[]): void {
    this.requestedTags.push(...checkTags(tags))
    this.#outer?.tags(...tags)
  }

  noStore(): void {
    this.isExcluded = true
    this.#outer?.noStore()
  }

  notModified({
    etag,
    lastModified,
  }: {
    readonly etag?: string | undefined
    readonly lastModified?: Date | undefined
  }): boolean {
    const response = this.#response
    const changed = lastModified?.toUTCString()
    if (etag !== undefined) response.setHeader('ETag', etag)
    if (changed !== undefined) response.setHeader('Last-Modified', changed)
    const selected = { status: 200, etag, lastModified: changed, date: undefined }
    if (!isNotModified(conditionsOf(this.#request), selected, Date.now())) return false
    response.statusCode = 304
    response.end()
    return true
  }
}
