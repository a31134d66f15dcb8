import { AsyncLocalStorage } from 'node:async_hooks'
import { type CallEvent, type RequestEvent, tracing } from '../channels.ts'
import { trace } from './trace.ts'

/** Carries the calls that asynchronous work serves, as an `AsyncLocalStorage` does. */
export interface CallerContext {
  /** The calls that the current work serves. `undefined` outside of {@link CallerContext.run | run}. */
  current(): readonly CallEvent[] | undefined
  /** Runs work that serves these calls. */
  run<T>(callers: readonly CallEvent[], work: () => T): T
}

const none: readonly CallEvent[] = []
/** The state of the process: each entry point of this package is bundled on its own. */
interface SharedState {
  readonly contexts: CallerContext[]
  /** Whether the work that runs until the event loop turns serves no sampled call. Then no context has to be asked. */
  servesNone: boolean
}

const state = sharedState()
const { contexts } = state

function sharedState(): SharedState {
  const shared = globalThis as Record<symbol, unknown>
  const symbol = Symbol.for('stowage.callersState')
  shared[symbol] ??= { contexts: [ownContext()], servesNone: false }
  return shared[symbol] as SharedState
}

function ownContext(): CallerContext {
  const storage = new AsyncLocalStorage<readonly CallEvent[]>()
  return {
    current: () => storage.getStore(),
    run: (callers, work) => storage.run(callers, work),
  }
}

/**
 * Carries the callers of requests in a context that exists already, until the returned function is called. For tracers: on
 * Node 20 and 22, each further `AsyncLocalStorage` takes time in every promise of the process.
 *
 * @example
 * const storage = new AsyncLocalStorage<readonly CallEvent[]>()
 * const stop = carryCallers({
 *   current: () => storage.getStore(),
 *   run: (callers, work) => storage.run(callers, work),
 * })
 * stop()
 */
export function carryCallers(context: CallerContext): () => void {
  contexts.push(context)
  return () => {
    const index = contexts.lastIndexOf(context)
    if (index > 0) contexts.splice(index, 1)
  }
}

/** Whether requests are traced. Only then is it known which calls they serve: it costs time in every call. */
export function areCallersKnown(): boolean {
  return tracing.store.start.hasSubscribers
}

/** The calls that the current work serves. */
export function currentCallers(): readonly CallEvent[] {
  if (state.servesNone || !areCallersKnown()) return none
  return contexts.at(-1)?.current() ?? none
}

/** Runs work that serves these calls. */
export function runForCallers<T>(callers: readonly CallEvent[], work: () => T): T {
  const before = state.servesNone
  state.servesNone = false
  try {
    return (contexts.at(-1) as CallerContext).run(callers, work)
  } finally {
    state.servesNone = before
  }
}

/** Runs a call that is not sampled. What it does later is recognised as unsampled by its context. */
export function runUnsampled<Call, T>(call: Call, run: (call: Call) => T): T {
  const before = state.servesNone
  state.servesNone = true
  try {
    return run(call)
  } finally {
    state.servesNone = before
  }
}

/** Adds the calls that the current work serves to those of a batch. */
export function joinCallers(joined: readonly CallEvent[] | undefined): readonly CallEvent[] {
  const current = currentCallers()
  if (joined === undefined || current.length === 0) return joined ?? current
  const others = current.filter((call) => !joined.includes(call))
  return others.length === 0 ? joined : [...joined, ...others]
}

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
