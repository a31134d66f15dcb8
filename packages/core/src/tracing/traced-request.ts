import { type RequestEvent, tracing } from '../channels.ts'
import { currentCallers } from './callers.ts'
import { trace } from './trace.ts'

/** Whether somebody subscribes to the requests of stores. For drivers: the only cost of a request otherwise. */
export function areRequestsTraced(): boolean {
  return tracing.store.hasSubscribers
}

/**
 * Sends a request to a server, and publishes it. For drivers, if {@link areRequestsTraced}.
 *
 * @example
 * const request = { store: 'mystore', operation: 'get', keyCount: 1, attempt: 1, server: 'localhost:1234' }
 * const reply = await traceRequest({ ...request, isInstrumented: false }, async () => 'reply')
 * console.log(reply) // reply
 */
export function traceRequest<T>(
  request: Pick<
    RequestEvent,
    'store' | 'operation' | 'keyCount' | 'attempt' | 'server' | 'isInstrumented' | 'command'
  >,
  send: () => Promise<T>,
): Promise<T> {
  const { store, operation, command, keyCount, attempt, server, isInstrumented } = request
  const event: RequestEvent = {
    store,
    operation,
    command,
    keyCount,
    attempt,
    server,
    isInstrumented,
    callers: currentCallers(),
    durationMs: 0,
  }
  return trace(tracing.store, event, send) as Promise<Awaited<T>>
}
