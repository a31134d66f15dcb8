import type { TracingChannel } from 'node:diagnostics_channel'
import { performance } from 'node:perf_hooks'
import { type CacheEvent, type LoadCallEvent, type TracedEvent, tracing } from '../channels.ts'
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
    result = begin(channel.start, event, runWork, run)
  } catch (error) {
    channel.end.publish(event)
    return fail(error)
  }
  channel.end.publish(event)
  return result instanceof Promise ? result.then(succeed, fail) : succeed(result)
}

/** Calls a loader, and publishes it. To be used only if `tracing.load` has subscribers. */
export function traceLoad<T>(
  source: { event(key: string): CacheEvent },
  keys: readonly string[],
  background: boolean,
  load: () => Awaitable<T>,
): Awaitable<T> {
  const { cache, store } = source.event('')
  const event: LoadCallEvent = { cache, store, keys, background, durationMs: 0 }
  return trace(tracing.load, event, load)
}

/** Publishes the beginning of an operation, and runs it in what a subscriber has set. Without a closure if none has. */
export function begin<E extends TracedEvent, Own extends E, Work, T>(
  start: TracingChannel<E, E>['start'],
  event: Own,
  run: (event: Own, work: Work) => T,
  work: Work,
): T {
  if (!start.hasSubscribers) return run(event, work)
  if (mayHaveStores(start)) return start.runStores(event, runWithin, undefined, event, run, work)
  start.publish(event)
  return runWithin(event, run, work)
}

function runWithin<Own extends TracedEvent, Work, T>(
  event: Own,
  run: (event: Own, work: Work) => T,
  work: Work,
): T {
  return event.run === undefined ? run(event, work) : event.run(() => run(event, work))
}

/**
 * Whether stores may be bound to a channel. Reads a field of Node, where it exists: without stores, `runStores` does the same
 * as `publish`, but takes as long as a hit in memory.
 *
 * @see https://nodejs.org/api/diagnostics_channel.html#channelbindstorestore-transform
 */
function mayHaveStores(channel: object): boolean {
  return (channel as { _stores?: ReadonlyMap<unknown, unknown> })._stores?.size !== 0
}

function runWork<T>(_: TracedEvent, work: () => T): T {
  return work()
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
