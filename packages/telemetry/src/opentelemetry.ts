/** `@stowage/telemetry/opentelemetry`: spans and metrics by the API of OpenTelemetry. */

import { type Attributes, metrics, trace } from '@opentelemetry/api'
import type { CallEvent, LoadCallEvent, RequestEvent } from '@stowage/core'
import { checkOptionNames } from '@stowage/core/driver'
import { carryCallers } from '@stowage/core/tools'
import { Subscriptions } from './collector/subscriptions.ts'
import { attributes, callSpans, durations } from './spans/attributes.ts'
import { callersInContext } from './spans/callers-in-context.ts'
import { type OpenTelemetryOptions, Spans } from './spans/spans.ts'

export type { OpenTelemetryOptions } from './spans/spans.ts'

const scope = '@stowage/telemetry'
const optionNames = { keys: true, tracerProvider: true, meterProvider: true } as const

/**
 * Creates a span for each call of a cache, each load, and each request that the instrumentation of the client library does
 * not see, and records how long calls and loads take. Call it after the SDK has been started.
 *
 * @returns a function that ends it
 * @throws TypeError for an unknown option
 * @example
 * import { openTelemetry } from '@stowage/telemetry/opentelemetry'
 *
 * const stop = openTelemetry()
 * await cache.get('user:1') // the span cache.get
 * stop()
 */
export function openTelemetry(options: OpenTelemetryOptions = {}): () => void {
  checkOptionNames<OpenTelemetryOptions>('openTelemetry', options, optionNames)
  const { keys, tracerProvider = trace, meterProvider = metrics } = options
  const on = new Subscriptions()
  subscribeSpans(on, new Spans(tracerProvider.getTracer(scope), keys))
  subscribeDurations(on, meterProvider.getMeter(scope))
  const stopCarrying = carryCallers(callersInContext)
  return () => {
    stopCarrying()
    on.end()
  }
}

function subscribeSpans(on: Subscriptions, spans: Spans): void {
  on.add<CallEvent>('tracing:stowage:cache:start', (call) => spans.startCall(call))
  on.add<CallEvent>('tracing:stowage:cache:asyncEnd', (call) => spans.endCall(call))
  on.add<LoadCallEvent>('tracing:stowage:load:start', (load) => spans.startLoad(load))
  on.add<LoadCallEvent>('tracing:stowage:load:asyncEnd', (load) => spans.end(load))
  on.add<RequestEvent>('tracing:stowage:store:start', (request) => spans.startRequest(request))
  on.add<RequestEvent>('tracing:stowage:store:asyncEnd', (request) => spans.end(request))
}

function subscribeDurations(on: Subscriptions, meter: ReturnType<typeof metrics.getMeter>): void {
  const unit = { unit: 's' }
  const calls = meter.createHistogram(durations.operation, unit)
  const loads = meter.createHistogram(durations.load, unit)
  const attributesOf = metricAttributes()
  on.add<CallEvent>('tracing:stowage:cache:asyncEnd', (call) => {
    if (callSpans[call.operation] !== undefined)
      calls.record(call.durationMs / 1_000, attributesOf(call))
  })
  on.add<LoadCallEvent>('tracing:stowage:load:asyncEnd', ({ cache, store, durationMs, error }) => {
    loads.record(durationMs / 1_000, {
      [attributes.cache]: cache,
      [attributes.driver]: store,
      [attributes.outcome]: error === undefined ? 'ok' : 'error',
    })
  })
}

/** Returns a function that returns the attributes of a call: the same object as for the call before if they are equal. */
function metricAttributes(): (call: CallEvent) => Attributes {
  let last: Attributes = {}
  return ({ cache, store, operation, outcome = 'done' }) => {
    const isEqual =
      last[attributes.operation] === operation &&
      last[attributes.outcome] === outcome &&
      last[attributes.cache] === cache &&
      last[attributes.driver] === store
    if (!isEqual) {
      last = {
        [attributes.cache]: cache,
        [attributes.driver]: store,
        [attributes.operation]: operation,
        [attributes.outcome]: outcome,
      }
    }
    return last
  }
}
