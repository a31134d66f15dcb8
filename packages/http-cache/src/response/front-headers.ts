import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { listOf } from '../headers/cache-control.ts'
import { copyHeaders, type Headers, type HeaderValue, textOf } from '../headers/header-list.ts'
import { trimBlanks } from '../headers/white-space.ts'

/** Headers that frameworks read in order to send any response. They do not say who receives it. */
const plainHeaders = new Set([
  'accept-ranges',
  'age',
  'cache-control',
  'cache-status',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'date',
  'etag',
  'expires',
  'last-modified',
  'pragma',
  'server',
  'transfer-encoding',
  'vary',
  'x-powered-by',
])

const methods = [
  'appendHeader',
  'getHeader',
  'getHeaderNames',
  'getHeaders',
  'getRawHeaderNames',
  'hasHeader',
  'removeHeader',
  'setHeader',
] as const
type Methods = { [M in (typeof methods)[number]]: (...args: unknown[]) => unknown }

/**
 * The headers that middleware in front of the cache has set for one client. Those that the application behind it sets are
 * told apart by the calls and not by the values, which may be the same.
 */
export class FrontHeaders {
  readonly #response: ServerResponse
  readonly #before: Headers
  /** Names of the headers that the application has set or removed, in lower case. */
  readonly #written = new Set<string>()
  readonly #originals: Methods

  /** @param onRead called if the application reads one of them: what it renders may depend on it, or contain it */
  constructor(response: ServerResponse, onRead: (name: string) => void) {
    this.#response = response
    const present = methods.filter((method) => method in response)
    const originals = present.map((method) => [method, Reflect.get(response, method)])
    this.#originals = Object.fromEntries(originals)
    this.#before = this.current()
    const read = (name: unknown) => {
      const key = String(name).toLowerCase()
      if (this.#isFront(key) && !plainHeaders.has(key)) onRead(key)
    }
    const readAll = () => Object.keys(this.#before).forEach(read)
    const write = (name: unknown) => this.#written.add(String(name).toLowerCase())
    const notices: Record<keyof Methods, ((name: unknown) => unknown)[]> = {
      // The one header is made of both.
      appendHeader: [read, write],
      getHeader: [read],
      getHeaderNames: [readAll],
      getHeaders: [readAll],
      getRawHeaderNames: [readAll],
      hasHeader: [read],
      removeHeader: [write],
      setHeader: [write],
    }
    for (const method of present)
      Object.assign(response, {
        [method]: (...args: unknown[]) => {
          for (const notice of notices[method]) notice(args[0])
          return Reflect.apply(this.#originals[method], response, args)
        },
      })
  }

  /** All headers of the response. */
  current(): Record<string, HeaderValue> {
    return copyHeaders(this.#originals.getHeaders.call(this.#response) as OutgoingHttpHeaders)
  }

  /** Returns those of `headers` that the application has set. Of `Vary`, the names that it has added. */
  ownOf(headers: Headers): Headers {
    const own: Record<string, HeaderValue> = {}
    for (const name of Object.keys(headers)) {
      const value = name === 'vary' ? this.#addedTo(headers.vary) : headers[name]
      if (!this.#isFront(name) && value !== undefined) own[name] = value
    }
    return own
  }

  /** Names of those that the application has removed. */
  removedFrom(headers: Headers): string[] {
    return Object.keys(this.#before).filter((name) => headers[name] === undefined)
  }

  /** Removes what the application has set, and ends the watch. */
  restore(): void {
    const response = this.#response
    Object.assign(response, this.#originals)
    for (const name of response.getHeaderNames()) {
      const before = this.#before[name]
      if (before === undefined) response.removeHeader(name)
      else response.setHeader(name, before)
    }
  }

  /** Whether a header is as middleware in front has set it. */
  #isFront(name: string): boolean {
    return this.#before[name] !== undefined && !this.#written.has(name)
  }

  #addedTo(vary: HeaderValue | undefined): string | undefined {
    const before = new Set(listOf(textOf(this.#before.vary)))
    const names = textOf(vary)?.split(',').map(trimBlanks) ?? []
    return names.filter((name) => !before.has(name.toLowerCase())).join(', ') || undefined
  }
}
