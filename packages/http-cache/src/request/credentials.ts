import type { IncomingHttpHeaders } from 'node:http'

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
