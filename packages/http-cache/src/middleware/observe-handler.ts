import type { ServerResponse } from 'node:http'
import type { RenderFacts } from '../exchange/renderer.ts'
import type { ResolvedOptions } from '../options.ts'
import { type CoveredReads, PrivateReads } from '../reads/private-reads.ts'
import { isCredential } from '../request/bypass.ts'
import { contentHeaders } from '../request/content.ts'
import { type FrameworkRequest, forwardedHeaders, isProxyTrusted } from '../request/request-keys.ts'
import { RequestedControls } from '../response/controls.ts'

/** What is noticed while a handler runs. */
export interface Observed {
  readonly reads: PrivateReads
  /** What is known now. */
  facts(): RenderFacts
}

/**
 * Notices what a handler reads and requests.
 *
 * @param original the request of the client
 */
export function observeHandler(
  request: FrameworkRequest,
  response: ServerResponse,
  options: ResolvedOptions,
  original: FrameworkRequest = request,
): Observed {
  const controls = new RequestedControls(request, response)
  const reads = new PrivateReads(request, response, coveredReads(original, options), original)
  return {
    reads,
    facts: () => ({
      ttl: controls.requestedTtl,
      tags: controls.requestedTags,
      isExcluded: controls.isExcluded,
      privateRead: reads.read,
      headersRead: reads.headersRead,
      isOfRequest: reads.isOfRequest,
    }),
  }
}

/** What Express derives from the scheme and the host. */
const schemeProperties = ['protocol', 'secure']
const hostProperties = ['hostname', 'host', 'subdomains']

/** What the key of a request covers, so that its handler may read it. */
function coveredReads(request: FrameworkRequest, options: ResolvedOptions): CoveredReads {
  const { variation, isPublic, key, ignoredReads } = options
  // A key of the route replaces scheme and host.
  const isOriginInKey = key === undefined
  // Not read from the request again, whose headers are watched.
  const { headers } = request
  const keyed = new Set([
    ...variation.keyed,
    ...(request.method === 'QUERY' ? contentHeaders : []),
    ...(isOriginInKey ? ['host', ...forwardedHeaders(request)] : []),
  ])
  // No request with an uncovered credential uses the cache, so that all that do have none.
  const isAbsent = (name: string) => !isPublic && isCredential(name) && !variation.covers(name)
  return {
    all: variation.coversAll,
    cookies: keyed.has('cookie') || isAbsent('cookie') ? 'all' : variation.cookies,
    header: variation.coversAll
      ? (name) => !isUnkeyed(headers, name) || keyed.has(name)
      : (name) => keyed.has(name) || isAbsent(name),
    properties: [
      ...(isOriginInKey ? hostProperties : []),
      ...(isOriginInKey || !isProxyTrusted(request) ? schemeProperties : []),
    ],
    ignored: ignoredReads,
  }
}

/**
 * Headers from which proxies and applications derive URLs, the method or the identity of the client, and which a function
 * hardly returns: one request could determine the response of all others.
 */
const unkeyedHeader =
  /^(?:x-forwarded-.+|forwarded|x-original-.+|x-rewrite-url|x-host|x-http-.+|x-method-override|x-real-ip|x-client-ip|true-client-ip|cf-connecting-ip|origin|referer|via)$/

function isUnkeyed(headers: object, name: string): boolean {
  return unkeyedHeader.test(name) && Object.hasOwn(headers, name)
}
