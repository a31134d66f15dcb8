import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** By connection: the bytes of responses that were kept, and may not have been sent. */
const unsent = new WeakMap<Socket, number>()

/**
 * Returns a function that counts bytes of a response which are kept although its client may not have received them, and
 * returns whether the connection may have that many. They are counted until the response was sent.
 *
 * A response does not wait for its client while it is kept, and a client can request any number on one connection before it
 * reads the first one (pipelining).
 *
 * @param max for all responses of a connection
 */
export function unsentBytesOf(
  response: ServerResponse,
  socket: Socket | null | undefined,
  max: number,
): (bytes: number) => boolean {
  // A refresh in the background goes on after the stale response was sent.
  let isSent = response.closed
  let own = 0
  const add = (bytes: number) => {
    if (isSent || !socket) return true
    own += bytes
    const all = (unsent.get(socket) ?? 0) + bytes
    unsent.set(socket, all)
    return all <= max
  }
  response.once('close', () => {
    add(-own)
    isSent = true
  })
  return add
}
