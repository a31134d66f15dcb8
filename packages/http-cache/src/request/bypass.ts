import type {
  IncomingHttpHeaders as Headers,
  IncomingHttpHeaders,
  IncomingMessage,
} from 'node:http'

/**
 * Headers in which applications, gateways and identity-aware proxies state who sends a request, by a part of their names:
 * `X-Api-Key`, `X-Access-Token`, `X-Tenant-Id`, `Cf-Access-Jwt-Assertion`, `X-Forwarded-User`, `X-Ssl-Client-S-Dn`.
 */
const credentialName =
  /(?:^|[-_])(?:authorization|auth|authenticated|credentials?|accesstoken|token|jwt|saml|oidc|principal|identity|session|sessionid|secret|password)(?:$|[-_])|api[-_]?key|(?:access|functions|subscription)-key|(?:^|[-_])(?:account|consumer|customer|email|groups|member|org|organization|tenant|user|username)(?:[-_](?:email|id|login|name))?$|client[-_]?(?:cert|dn|s-dn|verify)|mtls/

/** Browsers set headers with this prefix, and scripts of pages cannot: `Sec-Fetch-User` does not identify a user. */
const browserPrefix = 'sec-'

/** Clients choose the names, and send few different ones. */
const known = new Map<string, boolean>([
  ['cookie', true],
  ['authorization', true],
])
const maxKnown = 1_000
/** No header that somebody reads has a longer name. */
const maxName = 100

/** Whether a header identifies its sender. Requests with one bypass the cache unless `public` or `varyBy` covers it. */
export function isCredential(name: string): boolean {
  const found = known.get(name)
  if (found !== undefined) return found
  if (name.length > maxName) return false
  const result = !name.startsWith(browserPrefix) && credentialName.test(name)
  if (known.size < maxKnown) known.set(name, result)
  return result
}

/** Returns the name of the first credential that is not covered. */
export function credentialIn(
  headers: IncomingHttpHeaders,
  isCovered: (name: string) => boolean,
): string | undefined {
  for (const name in headers) {
    if (isCredential(name) && !isCovered(name)) return name
  }
  return undefined
}

/**
 * `Host` as RFC 3986 section 3.2 permits it, in the forms that are used. Browsers send it in lower case: a handler that
 * repeats another form would show it to all clients.
 */
const host = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/
/** A path and a query. Node also accepts control characters in neither, but `\`, `#` and `//host`. */
const target = /^\/(?!\/)[^#\\\s]*$/

/**
 * Whether the handler, a proxy or this cache may understand a request differently, as Node accepts it: it has several
 * `Host` headers or none, its target is a full URL or begins with `//`, a GET has a body, or it came over HTTP/2. Such
 * requests bypass the cache.
 */
export function isAmbiguous(request: IncomingMessage, url: string): boolean {
  const { headers } = request
  // A request of HTTP/2 may have a `Host` besides `:authority`.
  if (request.httpVersionMajor >= 2) return true
  if (!target.test(url) || (request.url !== url && !isPlainTarget(request.url))) return true
  if (headers.host === undefined || !isPlainHost(headers.host)) return true
  if (request.method !== 'QUERY' && hasContent(headers)) return true
  return headers.upgrade !== undefined || countHosts(request.rawHeaders) > 1
}

function hasContent({ 'transfer-encoding': encoding, 'content-length': length }: Headers): boolean {
  return encoding !== undefined || (length !== undefined && length !== '0')
}

/** A name has at most 253 characters (RFC 1035 section 2.3.4). */
const maxHost = 300
/** The last host that was accepted: most requests have the same. */
let lastHost = ''

function isPlainHost(value: string): boolean {
  if (value === lastHost) return true
  if (value.length > maxHost || !host.test(value)) return false
  lastHost = value
  return true
}

/** The `url` that a framework has left to the handler: `/` or the rest of the path below a mount point. */
function isPlainTarget(url: string | undefined): boolean {
  return url !== undefined && !/[#\\\s]/.test(url)
}

/** Node keeps the first of several `Host` headers, and other programs the last. */
function countHosts(rawHeaders: readonly string[]): number {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string
    if (name.length === 4 && name.toLowerCase() === 'host') count++
  }
  return count
}
