import type { TracingChannel } from 'node:diagnostics_channel'
import type { TracedEvent } from '../channels.ts'
import type { Awaitable } from '../store.ts'

/**
 * Runs an operation and publishes its event: on `start` before it, on `end` when it has returned, on `error` if it fails,
 * and on `asyncStart` and `asyncEnd` when it has settled, also if it has not been asynchronous.
 *
 * @param onResult completes the event
 */
export function trace<E extends TracedEvent, T>(
  channel: TracingChannel<unknown, E>,
  event: E,
  run: () => Awaitable<T>,
  onResult?: (value: T) => void,
): Awaitable<T> {
  const { start, end, asyncStart, asyncEnd, error: failure } = channel
  const startedAt = performance.now()
  const settle = () => {
    event.durationMs = performance.now() - startedAt
    asyncStart.publish(event)
    asyncEnd.publish(event)
  }
  const succeed = (value: T): T => {
    onResult?.(value)
    settle()
    return value
  }
  const fail = (error: unknown): never => {
    event.error = error
    failure.publish(event)
    settle()
    throw error
  }
  let result: Awaitable<T>
  try {
    result = start.runStores(event, () => (event.run === undefined ? run() : event.run(run)))
  } catch (error) {
    end.publish(event)
    return fail(error)
  }
  end.publish(event)
  return result instanceof Promise ? result.then(succeed, fail) : succeed(result)
}
