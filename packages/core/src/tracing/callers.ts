import { AsyncLocalStorage } from 'node:async_hooks'
import { type CallEvent, tracing } from '../channels.ts'

const none: readonly CallEvent[] = []
const storage = sharedStorage()

/** One per process: each entry point of this package is bundled on its own. */
function sharedStorage(): AsyncLocalStorage<readonly CallEvent[]> {
  const shared = globalThis as Record<symbol, unknown>
  const symbol = Symbol.for('stowage.callers')
  shared[symbol] ??= new AsyncLocalStorage()
  return shared[symbol] as AsyncLocalStorage<readonly CallEvent[]>
}

/** Whether requests are traced. Only then is it known which calls they serve: it costs time in every call. */
export function areCallersKnown(): boolean {
  return tracing.store.start.hasSubscribers
}

/** The calls that the current work serves. */
export function currentCallers(): readonly CallEvent[] {
  return areCallersKnown() ? (storage.getStore() ?? none) : none
}

/** Runs work that serves these calls. */
export function runForCallers<T>(callers: readonly CallEvent[], work: () => T): T {
  return storage.run(callers, work)
}

/** Adds the calls that the current work serves to those of a batch. */
export function joinCallers(joined: readonly CallEvent[] | undefined): readonly CallEvent[] {
  const current = currentCallers()
  if (joined === undefined || current.length === 0) return joined ?? current
  const others = current.filter((call) => !joined.includes(call))
  return others.length === 0 ? joined : [...joined, ...others]
}
