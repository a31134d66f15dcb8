import type { IncomingMessage } from 'node:http'

/**
 * Whether the connection has received another request after this one, whose middleware may have read what was noticed:
 * it has the same socket. `parser` is a field of Node.
 */
export function isPipelined(request: IncomingMessage): boolean {
  const { parser } = (request.socket ?? {}) as { parser?: { incoming?: unknown } | null }
  const latest = parser?.incoming ?? request
  return latest !== request
}
