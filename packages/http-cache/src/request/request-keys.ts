import type { IncomingMessage } from 'node:http'
import { textOf } from '../headers/header-list.ts'
import { isAmbiguous } from './bypass.ts'
import { normalizeByRule, type QueryOptions } from './query.ts'
import type { VaryPlan } from './vary-by.ts'

/** What frameworks add to a request. */
export interface FrameworkRequest extends IncomingMessage {
  /** The URL before a mount point was removed from it. */
  readonly originalUrl?: string
  /** In Express, the mount point. */
  readonly baseUrl?: string
  /** In Express, according to `trust proxy`. */
  readonly protocol?: string
  readonly app?: { get?(name: string): unknown }
}

export interface KeyOptions {
  readonly query: QueryOptions | undefined
  /** The only hosts whose responses are stored, in lower case. */
  readonly hosts: ReadonlySet<string> | undefined
  readonly variation: VaryPlan
  /** What responses have said with `No-Vary-Search`, by scheme, host and path; `undefined` if that does not count. */
  readonly searchRules: SearchRules | undefined
}

/** Which parameters responses depend on. */
export interface SearchRules {
  get(path: string): QueryOptions | undefined
  set(path: string, rule: QueryOptions): void
  delete(path: string): void
}

/** The keys of a request. */
export interface RequestKeys {
  /** `https://host/path?query`. */
  readonly url: string
  /** The key of the response, or of the record of its `Vary`. */
  readonly key: string
  /** Scheme, host and path, if a response with `No-Vary-Search` has determined the rest of the key. */
  readonly path?: string | undefined
  /** The rule of that response. */
  readonly rule?: QueryOptions | undefined
  /** That of a request with the method `QUERY`, whose digest is part of the key. */
  readonly content?: Buffer | undefined
}

/** Keys of responses begin with it, so that they do not meet those of the application. */
const keyPrefix = 'http:'

/** Returns the keys of a request, or `undefined` if it bypasses the cache. */
export function keysOf(request: FrameworkRequest, options: KeyOptions): RequestKeys | undefined {
  if (!isPermitted(request, options) || isRewritten(request)) return undefined
  const target = request.originalUrl ?? request.url ?? ''
  const origin = originOf(request)
  const path = options.searchRules && searchPathOf(request)
  const rule = path === undefined ? undefined : options.searchRules?.get(path)
  const url = origin + normalizeByRule(target, options.query, rule)
  const ruled = rule === undefined ? undefined : path
  const { partOf } = options.variation
  if (partOf === undefined) return { url, key: keyPrefix + url, path: ruled, rule }
  const part = partOf(request)
  // '#' cannot occur in the URL.
  if (part === undefined) return undefined
  return { url, key: `${keyPrefix}${url}#${part}`, path: ruled, rule }
}

/** The same for a route that replaces host and URL in the key. `varyBy` remains a part of it. */
export function ownKeysOf(
  request: FrameworkRequest,
  key: (this: unknown, request: FrameworkRequest) => string | undefined,
  options: KeyOptions,
): RequestKeys | undefined {
  if (!isPermitted(request, options)) return undefined
  const own = key.call(undefined, request)
  if (own === undefined || own === '') return undefined
  if (typeof own !== 'string') {
    throw new TypeError('key must return a string or undefined, and no promise.')
  }
  const { partOf } = options.variation
  if (partOf === undefined) return { url: own, key: own }
  const part = partOf(request)
  return part === undefined ? undefined : { url: own, key: `${own}#${part}` }
}

function isPermitted(request: FrameworkRequest, { hosts }: KeyOptions): boolean {
  if (isAmbiguous(request, request.originalUrl ?? request.url ?? '')) return false
  return hosts === undefined || hosts.has(request.headers.host?.toLowerCase() ?? '')
}

/**
 * Whether middleware in front has replaced the URL, perhaps because of a header: the handler of `/de/p` renders another
 * response than that of `/p`. Express removes the mount point from it, and adds a slash if nothing is left.
 */
function isRewritten(request: FrameworkRequest): boolean {
  const { url = '', originalUrl } = request
  if (originalUrl === undefined || originalUrl === url) return false
  const { baseUrl } = request
  const start = baseUrl ?? originalUrl.slice(0, Math.max(0, originalUrl.length - url.length))
  return originalUrl !== start + url && originalUrl !== (baseUrl ?? originalUrl) + url.slice(1)
}

/**
 * The scheme and the host of a request. If Express trusts the proxy, it derives both from headers of the proxy: a handler
 * that uses them renders another response, so they are part of the key.
 */
export function originOf(request: FrameworkRequest): string {
  const host = hostOf(request).toLowerCase()
  const forwarded = forwardedHost(request)
  const suffix = forwarded === undefined ? '' : `@${encodeURIComponent(forwarded)}`
  return `${schemeOf(request)}://${host}${suffix}`
}

/** A request of HTTP/2 states its host as `:authority` (RFC 9113 section 8.3.1). */
function hostOf({ headers }: FrameworkRequest): string {
  return headers.host ?? (headers[':authority'] as string | undefined) ?? ''
}

/** A client may send the whole URL, as to a proxy (RFC 9112 section 3.2.2). */
const schemeAndHost = /^https?:\/\/[^/?#]*/i

/** The path and the query that a client has requested. */
export function targetOf({ originalUrl, url = '/' }: FrameworkRequest): string {
  const target = originalUrl ?? url
  if (target.startsWith('/')) return target
  const rest = target.replace(schemeAndHost, '')
  return rest.startsWith('/') ? rest : `/${rest}`
}

/**
 * The URL that a client has requested from a trusted proxy, for invalidation: that of the key also contains the host to
 * which the proxy connects. `undefined` if the proxy states none.
 */
export function publicUrlOf(request: FrameworkRequest, url: string): string | undefined {
  const host = publicHostOf(request)
  const origin = originOf(request)
  if (host === undefined || !url.startsWith(origin)) return undefined
  return `${schemeOf(request)}://${host}${url.slice(origin.length)}`
}

/** The host that a client has requested from a trusted proxy, as the class `URL` normalizes it. */
export function publicHostOf(request: FrameworkRequest): string | undefined {
  const [first] = forwardedHost(request)?.split(',', 1) ?? []
  const origin = `${schemeOf(request)}://${first?.trim()}`
  return first !== undefined && URL.canParse(origin) ? new URL(origin).host : undefined
}

/** The path and the query of a URL that a response names, if that is on the host of its request. */
export function pathOnHost(
  request: FrameworkRequest,
  value: string | undefined,
): string | undefined {
  const host = hostOf(request)
  const base = `http://${host}${targetOf(request)}`
  if (value === undefined || !URL.canParse(value, base)) return undefined
  const url = new URL(value, base)
  const isOnHost = url.host === host.toLowerCase() || url.host === publicHostOf(request)
  return isOnHost ? url.pathname + url.search : undefined
}

function forwardedHost(request: FrameworkRequest): string | undefined {
  if (!trustsProxy(request)) return undefined
  return textOf(request.headers['x-forwarded-host'])
}

/**
 * Names of the headers of a proxy that are part of the key. Express derives the scheme from the first member of
 * `X-Forwarded-Proto`, so that the key does not contain the others.
 */
export function forwardedHeaders(request: FrameworkRequest): readonly string[] {
  if (!trustsProxy(request)) return []
  const isScheme = textOf(request.headers['x-forwarded-proto']) === request.protocol
  return isScheme ? ['x-forwarded-host', 'x-forwarded-proto'] : ['x-forwarded-host']
}

/** Whether the setting `trust proxy` of Express applies to the sender of the request. */
function trustsProxy(request: FrameworkRequest): boolean {
  const { headers } = request
  if (headers['x-forwarded-host'] === undefined && headers['x-forwarded-proto'] === undefined) {
    return false
  }
  return isProxyTrusted(request)
}

/** The same also for a request that no proxy has sent. */
export function isProxyTrusted(request: FrameworkRequest): boolean {
  const trust = request.app?.get?.('trust proxy fn')
  return typeof trust === 'function' && trust(request.socket?.remoteAddress, 0) === true
}

export function schemeOf(request: FrameworkRequest): string {
  const { protocol } = request
  if (protocol === 'http' || protocol === 'https') return protocol
  // It is not checked by Express, if it trusts the proxy.
  if (protocol !== undefined) return encodeURIComponent(protocol)
  return (request.socket as { encrypted?: boolean } | null)?.encrypted === true ? 'https' : 'http'
}

/** Scheme, host and path, which `No-Vary-Search` of a response applies to. */
export function searchPathOf(request: FrameworkRequest): string {
  return originOf(request) + pathOf(request.originalUrl ?? request.url ?? '')
}

/** The URL without its query. */
export function pathOf(url: string): string {
  const end = url.indexOf('?')
  return end < 0 ? url : url.slice(0, end)
}

/** Returns the key of a URL without `varyBy`, for invalidation. */
export function keyOfUrl(url: string): string {
  return keyPrefix + url
}

/** The tag of all variants of a URL that `varyBy` tells apart. */
export function tagOfUrl(url: string): string {
  return `url ${url}`
}
