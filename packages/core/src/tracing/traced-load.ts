import { type CacheEvent, type LoadCallEvent, tracing } from '../channels.ts'
import type { Awaitable } from '../store.ts'
import { trace } from './trace.ts'

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
