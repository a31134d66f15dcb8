import type { IncomingMessage, ServerResponse } from 'node:http'
import { onSocketClose } from '../reads/socket-watch.ts'

/**
 * Resolves once the earlier responses of a connection were sent: to `false` if the client has left before. Returns
 * `undefined` if there are none.
 *
 * A client can send 1,600 requests in one packet and read nothing. Node calls all their handlers at once, and keeps what
 * they write: each could hold a body in memory. Responses are sent in the order of their requests in any case (RFC 9112
 * section 9.3.2), so that only this client waits. `_httpMessage` is a field of Node.
 */
export function untilSent(
  { socket }: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> | undefined {
  const { _httpMessage: current } = (socket ?? {}) as { _httpMessage?: unknown }
  if (!current || current === response || response.socket !== null) return undefined
  return new Promise((resolve) => {
    const unwatch = onSocketClose(socket, () => resolve(false))
    response.once('socket', () => {
      unwatch()
      resolve(true)
    })
  })
}

/**
 * Whether the connection has received another request after this one, whose middleware may have read what was noticed:
 * it has the same socket. `parser` is a field of Node.
 */
export function isPipelined(request: IncomingMessage): boolean {
  const { parser } = (request.socket ?? {}) as { parser?: { incoming?: unknown } | null }
  const latest = parser?.incoming ?? request
  return latest !== request
}
