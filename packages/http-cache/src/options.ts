import type { IncomingMessage } from 'node:http'
import { type Cache, CacheError, type Duration } from '@stowage/core'
import { checkChoice, checkInteger, checkOptionNames, checkTimeout } from '@stowage/core/driver'
import { warnOfShortTtl } from '@stowage/core/internal'
import { toSeconds } from './policy/freshness.ts'
import type { StoringRules } from './policy/storing.ts'
import type { QueryOptions } from './request/query.ts'
import type { KeyOptions } from './request/request-keys.ts'
import { checkTags } from './request/tags.ts'
import { planVariation, type VaryBy, type VaryPlan } from './request/vary-by.ts'
import { type Encoding, supportedEncodings } from './storage/encodings.ts'
import { ShortKeyMap } from './storage/short-key-map.ts'

/** A function of the request, which may expect the request of a framework. */
type Of<T> = { call(request: IncomingMessage): T }['call']

/** Options of {@link responseCache} and {@link cached}. */
export interface ResponseCacheOptions {
  /** Where responses are stored. */
  readonly cache: Cache
  /**
   * `'ttl'`: the route determines how long responses are fresh, and a response may only forbid or shorten that.
   * `'rfc9111'`: the headers of each response determine it, as for a shared cache such as a proxy. @default 'ttl'
   */
  readonly mode?: 'ttl' | 'rfc9111' | undefined
  /** How long responses are fresh, in mode `ttl`. @default the ttl of the cache, or else `'1m'` */
  readonly ttl?: Duration | undefined
  /**
   * How long after that a stale response is sent while a request refreshes it (RFC 5861). With {@link cached}, the refresh
   * runs in the background; as middleware, the first request that finds it stale waits for its handler. @default 0
   */
  readonly staleWhileRevalidate?: Duration | undefined
  /** How long a stale response is sent if the handler fails or responds with 5xx (RFC 5861). @default 0 */
  readonly staleIfError?: Duration | undefined
  /** Tags of the responses, see `cache.invalidateTags`. @default none */
  readonly tags?: readonly string[] | Of<readonly string[]> | undefined
  /**
   * What the response depends on besides the URL: names of request headers and cookies (`'cookie:currency'`), or a function
   * whose result is part of the key, and `undefined` to bypass the cache. A function also declares that requests with
   * cookies and `Authorization` are distinguished. @default nothing
   */
  readonly varyBy?: VaryBy | undefined
  /**
   * Declares that the responses do not depend on cookies, `Authorization` and other credentials, so that requests with them
   * use the cache. Responses whose handler reads them are not shared nevertheless. @default false
   */
  readonly public?: boolean | undefined
  /**
   * What handlers read although their responses do not depend on it, by the names that `Cache-Status` shows after `read-`:
   * `'x-request-id'`, `'request.id'`, `'cookie:theme'`, `'locals.nonce'`. @default nothing
   */
  readonly ignoreReads?: readonly string[] | undefined
  /** Replaces host and URL in the key, to which `varyBy` is added. `undefined` and `''` bypass the cache. */
  readonly key?: Of<string | undefined> | undefined
  /** Which parameters of the query belong to the key. @default all, in any order */
  readonly query?: QueryOptions | undefined
  /**
   * Whether `No-Vary-Search` of responses says which parameters belong to the key, in addition to `query`. The first
   * response of a process with the header is not stored. @default false
   */
  readonly noVarySearch?: boolean | undefined
  /** The only values of `Host` whose responses are stored. @default all, each with its own responses */
  readonly hosts?: readonly string[] | undefined
  /** Whether a request may use the cache. @default all that are safe */
  readonly when?: Of<boolean> | undefined
  /**
   * Larger bodies are not stored, nor those above the limits of the backend. A body that is written in parts is kept up to
   * this size while its client does not read it. @default 1 MiB
   */
  readonly maxBodyBytes?: number | undefined
  /**
   * Responses to `QUERY` (RFC 10008) are stored if the request has at most this many bytes of content, of which the key
   * contains a digest. Place the cache in front of parsers of the content. @default 0: they bypass the cache
   */
  readonly maxQueryBytes?: number | undefined
  /** How many variants of a response one process stores, if the response has `Vary`. @default 100 */
  readonly maxVariants?: number | undefined
  /**
   * Encodings in which bodies are sent, the preferred one first. Each is made once and stored. `false`: only as the handler
   * has written it. @default those that Node supports: `['zstd', 'br', 'gzip']`
   */
  readonly encodings?: readonly Encoding[] | false | undefined
  /** Bodies from this size are sent encoded. @default 1024 */
  readonly encodeFrom?: number | undefined
  /** Whether `Cache-Control` of requests counts (RFC 9111 section 5.2.1). @default true in mode `rfc9111` */
  readonly requestDirectives?: boolean | undefined
  /** Whether responses without a lifetime are fresh for a tenth of the time since `Last-Modified`. @default false */
  readonly heuristic?: boolean | undefined
  /** Names of response headers that replace `Cache-Control` for this cache (RFC 9213). @default ['cdn-cache-control'] */
  readonly targeted?: readonly string[] | undefined
  /** `Cache-Control` of responses without one, in mode `ttl`; `false` for none. @default 'no-cache' */
  readonly clientCacheControl?: string | false | undefined
  /** Name of this cache in `Cache-Status`, or `false` to omit that header. @default 'Stowage' */
  readonly cacheStatus?: string | false | undefined
  /** Whether `Cache-Status` contains the key. @default false */
  readonly showKey?: boolean | undefined
  /** How long a request waits for a reply of the cache. Then its handler runs. @default '1s' */
  readonly timeout?: Duration | undefined
  /** How long a request waits for the handler of another request. Then its own handler runs. @default '10s' */
  readonly waitTimeout?: Duration | undefined
}

const optionNames: Readonly<Record<keyof ResponseCacheOptions, true>> = {
  cache: true,
  mode: true,
  ttl: true,
  staleWhileRevalidate: true,
  staleIfError: true,
  tags: true,
  varyBy: true,
  public: true,
  ignoreReads: true,
  key: true,
  query: true,
  noVarySearch: true,
  hosts: true,
  when: true,
  maxBodyBytes: true,
  maxQueryBytes: true,
  maxVariants: true,
  encodings: true,
  encodeFrom: true,
  requestDirectives: true,
  heuristic: true,
  targeted: true,
  clientCacheControl: true,
  cacheStatus: true,
  showKey: true,
  timeout: true,
  waitTimeout: true,
}
const token = /^[A-Za-z*][\w:/.!#$%&'*+^`|~-]*$/
const defaultTtl = 60_000
const maxPaths = 10_000
/** Space for metadata and what codecs add, so that an item stays below the limit of the backend. */
const metadataBytes = 16_384

/** The options with their defaults. */
export interface ResolvedOptions {
  readonly cache: Cache
  readonly rules: StoringRules
  readonly keys: KeyOptions
  readonly variation: VaryPlan
  readonly isPublic: boolean
  readonly ignoredReads: ReadonlySet<string>
  readonly key: Of<string | undefined> | undefined
  readonly when: Of<boolean> | undefined
  readonly tags: Of<readonly string[]>
  readonly maxBodyBytes: number
  /** 0 if `QUERY` bypasses the cache. */
  readonly maxQueryBytes: number
  readonly maxVariants: number
  readonly encodings: readonly Encoding[]
  readonly encodeFrom: number
  readonly requestDirectives: boolean
  readonly clientCacheControl: string | undefined
  readonly cacheStatus: string | undefined
  readonly showKey: boolean
  readonly timeoutMs: number
  readonly waitMs: number
}

/** @throws TypeError for an unknown option @throws CacheError `ERR_CACHE_CONFIG` for an invalid one */
export function resolveOptions(options: ResponseCacheOptions): ResolvedOptions {
  checkCache(options?.cache)
  checkOptionNames('responseCache', options, optionNames)
  const { cache, mode = 'ttl', encodings = supportedEncodings, varyBy, tags = [] } = options
  const { cacheStatus = 'Stowage', clientCacheControl = 'no-cache' } = options
  if (cacheStatus !== false && !token.test(cacheStatus))
    throw invalid('cacheStatus must be a token.')
  if (typeof tags !== 'function') checkTags(tags)
  const variation = planVariation(varyBy)
  const searchRules = options.noVarySearch ? searchRulesOf(cache) : undefined
  const hosts = checkNames('hosts', options.hosts)?.map((host) => host.toLowerCase())
  return {
    cache,
    rules: rulesOf(options, cache),
    keys: {
      query: checkQuery(options.query),
      hosts: hosts && new Set(hosts),
      variation,
      searchRules,
    },
    variation,
    isPublic: options.public === true,
    ignoredReads: checkReads(options.ignoreReads ?? []),
    key: checkFunction('key', options.key),
    when: checkFunction('when', options.when),
    tags: typeof tags === 'function' ? tags : () => tags,
    maxBodyBytes: maxBody(options.maxBodyBytes, cache),
    maxQueryBytes: checkInteger('responseCache: maxQueryBytes', options.maxQueryBytes ?? 0, 0),
    maxVariants: checkInteger('responseCache: maxVariants', options.maxVariants ?? 100, 1),
    encodings: checkEncodings(encodings === false ? [] : encodings),
    encodeFrom: checkEncodeFrom(options.encodeFrom ?? 1_024),
    requestDirectives: options.requestDirectives ?? mode === 'rfc9111',
    clientCacheControl:
      mode === 'ttl' && clientCacheControl !== false ? clientCacheControl : undefined,
    cacheStatus: cacheStatus === false ? undefined : cacheStatus,
    showKey: options.showKey === true,
    timeoutMs: checkTimeout('responseCache: timeout', options.timeout ?? 1_000),
    waitMs: checkTimeout('responseCache: waitTimeout', options.waitTimeout ?? 10_000),
  }
}

/** One map per cache: clients determine the number of paths. */
const searchRules = new WeakMap<Cache, ShortKeyMap<QueryOptions>>()

function searchRulesOf(cache: Cache): ShortKeyMap<QueryOptions> {
  const existing = searchRules.get(cache) ?? new ShortKeyMap<QueryOptions>(maxPaths)
  searchRules.set(cache, existing)
  return existing
}

function rulesOf(options: ResponseCacheOptions, cache: Cache): StoringRules {
  const seconds = (duration: Duration | undefined) => toSeconds(duration ?? 0)
  warnOfShortTtl('responseCache: ttl', options.ttl)
  return {
    mode: checkChoice('responseCache: mode', options.mode ?? 'ttl', ['ttl', 'rfc9111']),
    ttl: seconds(options.ttl ?? cache.ttl ?? defaultTtl),
    staleWhileRevalidate: seconds(options.staleWhileRevalidate),
    staleIfError: seconds(options.staleIfError),
    targeted: (checkNames('targeted', options.targeted) ?? ['cdn-cache-control']).map((name) =>
      name.toLowerCase(),
    ),
    heuristic: options.heuristic === true,
  }
}

function maxBody(option: number | undefined, cache: Cache): number {
  const bytes = checkInteger('responseCache: maxBodyBytes', option ?? 1_048_576, 0)
  return Math.max(0, Math.min(bytes, cache.limits.valueBytes - metadataBytes))
}

function checkEncodings(encodings: readonly Encoding[]): readonly Encoding[] {
  for (const name of encodings)
    checkChoice('responseCache: encodings', name, ['br', 'gzip', 'zstd'])
  return encodings.filter((name) => supportedEncodings.includes(name))
}

function checkEncodeFrom(bytes: number): number {
  return bytes === Infinity ? bytes : checkInteger('responseCache: encodeFrom', bytes, 0)
}

/** What Express and Node call their own is case-sensitive, and names of headers are not. */
const ownReads = /^(?:request|response|socket|locals)\.|^cookie:/

function checkReads(names: readonly string[]): ReadonlySet<string> {
  const isName = (name: unknown) => typeof name === 'string' && name !== ''
  if (!Array.isArray(names) || !names.every(isName))
    throw invalid('ignoreReads must be an array of names, as Cache-Status shows them after read-.')
  return new Set(names.map((name) => (ownReads.test(name) ? name : name.toLowerCase())))
}

const queryNames: Readonly<Record<keyof QueryOptions, true>> = {
  sort: true,
  ignore: true,
  only: true,
}

function checkQuery(query: QueryOptions | undefined): QueryOptions | undefined {
  if (query === undefined) return undefined
  checkOptionNames('responseCache: query', query, queryNames, "{ ignore: ['utm_*'] }")
  checkNames('query.ignore', query.ignore)
  checkNames('query.only', query.only)
  return query
}

function checkNames<Names extends readonly string[] | undefined>(
  option: string,
  names: Names,
): Names {
  const isName = (name: unknown) => typeof name === 'string'
  if (names === undefined || (Array.isArray(names) && names.every(isName))) return names
  throw invalid(`${option} must be an array of names.`)
}

/** Called for each request: there, nobody would expect the error of an option. */
function checkFunction<F>(option: string, value: F): F {
  if (value === undefined || typeof value === 'function') return value
  throw invalid(`${option} must be a function of the request.`)
}

function invalid(problem: string): CacheError {
  return new CacheError('ERR_CACHE_CONFIG', `responseCache: ${problem}`)
}

/** Also if the cache itself is passed, a store, or nothing. */
export function checkCache(
  cache: unknown,
  owner: string = 'responseCache',
  example: string = "responseCache({ cache: caches.use('cache') })",
): void {
  if (typeof (cache as Cache | undefined)?.remember === 'function') return
  const message = `${owner}: the option cache must be a Cache: ${example}.`
  throw new CacheError('ERR_CACHE_CONFIG', message)
}
