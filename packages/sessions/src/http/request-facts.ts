import type { IncomingMessage } from 'node:http'

/** A request, with what Express provides. */
export interface RequestFacts extends IncomingMessage {
  readonly originalUrl?: string
  readonly secure?: boolean
}

/** The target of a request to a proxy has a scheme and a host. See RFC 9112, section 3.2.2. */
const schemeAndHost = /^https?:\/\/[^/?]*/i

/** Whether the path of a request begins with that of the cookie. Targets such as `//` are not URLs. */
export function isBelow(path: string | undefined, { originalUrl, url }: RequestFacts): boolean {
  if (!path || path === '/') return true
  const target = originalUrl ?? url ?? '/'
  return target.replace(schemeAndHost, '').startsWith(path)
}

/** Whether a request came over HTTPS. */
export function isSecure(request: RequestFacts, proxy: boolean | undefined): boolean {
  if ((request.socket as { encrypted?: boolean }).encrypted) return true
  if (proxy === undefined) return request.secure === true
  const [protocol] = String(request.headers['x-forwarded-proto'] ?? '').split(',')
  return proxy && protocol?.trim().toLowerCase() === 'https'
}
