import type { TracingChannel } from 'node:diagnostics_channel'
import type { TracedEvent } from '../channels.ts'
import type { Awaitable } from '../store.ts'

/**
 * Runs an operation and publishes its event: on `start` before it, on `end` when it has returned, on `error` if it fails,
 * and on `asyncStart` and `asyncEnd` when it has settled, also if it has not been asynchronous.
 */
export function trace<E extends TracedEvent, T>(
  channel: TracingChannel<E, E>,
  event: E,
  run: () => Awaitable<T>,
): Awaitable<T> {
  const startedAt = performance.now()
  const succeed = (value: T): T => {
    publishEnd(channel, event, startedAt)
    return value
  }
  const fail = (error: unknown): never => {
    publishError(channel, event, error)
    publishEnd(channel, event, startedAt)
    throw error
  }
  let result: Awaitable<T>
  try {
    result = begin(channel.start, event, run)
  } catch (error) {
    channel.end.publish(event)
    return fail(error)
  }
  channel.end.publish(event)
  return result instanceof Promise ? result.then(succeed, fail) : succeed(result)
}

/** Publishes the beginning of an operation, and runs it. */
export function begin<E extends TracedEvent, Own extends E, T>(
  start: TracingChannel<E, E>['start'],
  event: Own,
  run: (event: Own) => T,
): T {
  if (!start.hasSubscribers) return run(event)
  return start.runStores(event, runWithin<Own, T>, undefined, event, run)
}

/** Runs an operation in what a subscriber to its beginning has set. */
function runWithin<E extends TracedEvent, T>(event: E, run: (event: E) => T): T {
  return event.run === undefined ? run(event) : event.run(() => run(event))
}

/** Publishes that an operation has settled. */
export function publishEnd<E extends TracedEvent>(
  { asyncStart, asyncEnd }: TracingChannel<E, E>,
  event: E,
  startedAt: number,
): void {
  event.durationMs = performance.now() - startedAt
  asyncStart.publish(event)
  asyncEnd.publish(event)
}

/** Publishes that an operation has failed. {@link publishEnd} follows. */
export function publishError<E extends TracedEvent>(
  { error: channel }: TracingChannel<E, E>,
  event: E,
  error: unknown,
): void {
  event.error = error
  channel.publish(event)
}
