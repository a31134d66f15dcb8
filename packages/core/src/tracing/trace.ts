import type { TracingChannel } from 'node:diagnostics_channel'
import type { TracedEvent } from '../channels.ts'
import type { Awaitable } from '../store.ts'

/**
 * Runs an operation and publishes its event: on `start` before it, on `end` when it has returned, on `error` if it fails,
 * and on `asyncStart` and `asyncEnd` when it has settled, also if it has not been asynchronous.
 *
 * @param onSettled completes the event, before it is published
 */
export function trace<E extends TracedEvent, Own extends E, T>(
  channel: TracingChannel<E, E>,
  event: Own,
  run: (event: Own) => Awaitable<T>,
  onSettled: (event: Own, hasFailed: boolean) => void = ignore,
): Awaitable<T> {
  const startedAt = performance.now()
  const succeed = (value: T): T => {
    onSettled(event, false)
    publishEnd(channel, event, startedAt)
    return value
  }
  const fail = (error: unknown): never => {
    event.error = error
    onSettled(event, true)
    channel.error.publish(event)
    publishEnd(channel, event, startedAt)
    throw error
  }
  let result: Awaitable<T>
  try {
    result = begin(channel, event, run)
  } catch (error) {
    channel.end.publish(event)
    return fail(error)
  }
  channel.end.publish(event)
  return result instanceof Promise ? result.then(succeed, fail) : succeed(result)
}

function begin<E extends TracedEvent, Own extends E, T>(
  { start }: TracingChannel<E, E>,
  event: Own,
  run: (event: Own) => T,
): T {
  if (!start.hasSubscribers) return run(event)
  const work = () => run(event)
  return start.runStores(event, () => (event.run === undefined ? work() : event.run(work)))
}

function publishEnd<E extends TracedEvent>(
  { asyncStart, asyncEnd }: TracingChannel<E, E>,
  event: E,
  startedAt: number,
): void {
  event.durationMs = performance.now() - startedAt
  asyncStart.publish(event)
  asyncEnd.publish(event)
}

function ignore(): void {}
