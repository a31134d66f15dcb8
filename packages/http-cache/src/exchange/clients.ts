import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
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

/**
 * How long a rendering goes on after its last client has left, in milliseconds: a client that reloads a page leaves and
 * comes back.
 */
const graceMs = 1_000

interface Rendering {
  clients: number
  timer: NodeJS.Timeout | undefined
  stop: (() => void) | undefined
}

/** Counts the clients of this process that wait for the response of a key, in order to stop a rendering without one. */
export class WaitingClients {
  readonly #renderings = new Map<string, Rendering>()

  /** Whether a client waits for the response of a key. */
  has(key: string): boolean {
    return this.#renderings.has(key)
  }

  /** Counts a client until its connection is closed, or the returned function is called. */
  join(key: string, socket: Socket | null): () => void {
    const rendering = this.#renderings.get(key) ?? { clients: 0, timer: undefined, stop: undefined }
    this.#renderings.set(key, rendering)
    rendering.clients++
    clearTimeout(rendering.timer)
    let hasLeft = false
    const leave = () => {
      if (hasLeft) return
      hasLeft = true
      unwatch()
      if (--rendering.clients > 0) return
      if (rendering.stop === undefined) this.#remove(key, rendering)
      else rendering.timer = setTimeout(() => this.#stop(key, rendering), graceMs).unref()
    }
    const unwatch =
      socket === null || socket === undefined ? () => {} : onSocketClose(socket, leave)
    return leave
  }

  /** Calls `stop` once no client waits for the key any more. Returns a function that ends that. */
  onLeft(key: string, stop: () => void): () => void {
    const rendering = this.#renderings.get(key)
    if (rendering === undefined) return () => {}
    rendering.stop = stop
    return () => {
      rendering.stop = undefined
      if (rendering.clients > 0) return
      clearTimeout(rendering.timer)
      this.#remove(key, rendering)
    }
  }

  #stop(key: string, rendering: Rendering): void {
    this.#remove(key, rendering)
    rendering.stop?.()
  }

  /** Unless clients wait for another rendering of the key, which began after this one was stopped. */
  #remove(key: string, rendering: Rendering): void {
    if (this.#renderings.get(key) === rendering) this.#renderings.delete(key)
  }
}
