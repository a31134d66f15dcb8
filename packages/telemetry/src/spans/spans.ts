import {
  type Attributes,
  type Context,
  context,
  type MeterProvider,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  type TracerProvider,
  trace,
} from '@opentelemetry/api'
import {
  CacheError,
  type CallEvent,
  type LoadCallEvent,
  type RequestEvent,
  type TracedEvent,
} from '@stowage/core'
import { attributes, batchSpan, callSpans, databases, loadSpan } from './attributes.ts'

/**
 * Starts and ends the spans of operations. Within a trace that is not sampled there are none: a sampler that was asked would
 * take longer than the operation, and a span of it would have no parent.
 */
export class Spans {
  readonly #tracer: Tracer
  readonly #keyText: ((key: string) => string) | undefined
  readonly #spans = new WeakMap<TracedEvent, Span>()

  constructor(tracer: Tracer, keys: OpenTelemetryOptions['keys'] = false) {
    this.#tracer = tracer
    if (keys !== false) this.#keyText = keys === true ? (key) => key : keys
  }

  startCall(call: CallEvent): void {
    const name = callSpans[call.operation]
    if (name === undefined) return
    if (isUnsampled(trace.getActiveSpan())) call.isSampled = false
    else call.isSampled = this.#start(call, name, this.#attributesOf(call)).isRecording()
  }

  endCall(call: CallEvent): void {
    const span = this.#spans.get(call)
    if (span === undefined) return
    const { outcome, bytes } = call
    if (outcome !== undefined) span.setAttribute(attributes.outcome, outcome)
    const hit = isHit(outcome)
    if (hit !== undefined) span.setAttribute(attributes.hit, hit)
    if (span.isRecording() && bytes !== undefined) span.setAttribute(attributes.itemSize, bytes)
    end(span, outcome === 'aborted' ? undefined : call.error)
  }

  startLoad(load: LoadCallEvent): void {
    if (isUnsampled(trace.getActiveSpan())) return
    const { cache, store, keys, background } = load
    this.#start(load, loadSpan, {
      [attributes.cache]: cache,
      [attributes.driver]: store,
      [attributes.keyCount]: keys.length,
      [attributes.background]: background,
    })
  }

  /**
   * A request that the instrumentation of the client library sees as well has a span only if several calls wait for it: one
   * that links to all of them, and contains the span of the library. Without an active span it belongs to no trace.
   */
  startRequest(request: RequestEvent): void {
    const parent = this.#parentOf(request)
    if (parent === undefined) return
    const { callers, isInstrumented } = request
    const isShared = callers.length > 1
    if (isInstrumented && !isShared) return
    const links = isShared
      ? callers.flatMap((call) => this.#spans.get(call)?.spanContext() ?? [])
      : []
    const own = requestAttributes(request)
    if (isInstrumented) this.#start(request, batchSpan, own, SpanKind.INTERNAL, links, parent)
    else {
      const database = databaseAttributes(request)
      const name = [database[attributes.databaseOperation], request.server]
        .filter(Boolean)
        .join(' ')
      this.#start(request, name, { ...own, ...database }, SpanKind.CLIENT, links, parent)
    }
  }

  end(event: TracedEvent): void {
    const span = this.#spans.get(event)
    if (span !== undefined) end(span, event.error)
  }

  #start(
    event: TracedEvent,
    name: string,
    own: Attributes,
    kind: SpanKind = SpanKind.INTERNAL,
    links: readonly ReturnType<Span['spanContext']>[] = [],
    parent: Context = context.active(),
  ): Span {
    const linked = links.map((each) => ({ context: each }))
    const span = this.#tracer.startSpan(name, { kind, attributes: own, links: linked }, parent)
    this.#spans.set(event, span)
    const active = trace.setSpan(parent, span)
    const { run } = event
    event.run = (operation) =>
      context.with(active, run === undefined ? operation : () => run(operation))
    return span
  }

  /** The context of a request: that of the first sampled call, if the call that has begun a batch is not sampled. */
  #parentOf({ callers: [first] }: RequestEvent): Context | undefined {
    const active = context.active()
    const span = trace.getSpan(active)
    if (span !== undefined && !isUnsampled(span)) return active
    const caller = first && this.#spans.get(first)
    return caller && trace.setSpan(active, caller)
  }

  #attributesOf({ cache, store, operation, keys }: CallEvent): Attributes {
    const own: Attributes = {
      [attributes.cache]: cache,
      [attributes.driver]: store,
      [attributes.operation]: operation,
      [attributes.keyCount]: keys.length,
    }
    const keyText = this.#keyText
    if (keyText !== undefined) own[attributes.key] = keys.map((key) => textOf(keyText, key))
    return own
  }
}

/** What a subscriber throws would end the process. */
function textOf(keyText: (key: string) => string, key: string): string {
  try {
    return keyText(key)
  } catch {
    return '***'
  }
}

function isUnsampled(active: Span | undefined): boolean {
  return active !== undefined && (active.spanContext().traceFlags & TraceFlags.SAMPLED) === 0
}

/** The message of an error is not exported: that of a loader may contain anything. */
function end(span: Span, error: unknown): void {
  if (error !== undefined) {
    const type = CacheError.is(error) ? error.code : ((error as Error | null)?.name ?? 'unknown')
    span.setAttribute(attributes.errorType, type)
    span.setStatus({ code: SpanStatusCode.ERROR })
  }
  span.end()
}

/** `undefined` if the call reads nothing. */
function isHit(outcome: CallEvent['outcome']): boolean | undefined {
  if (outcome === 'hit' || outcome === 'stale') return true
  return outcome === 'miss' || outcome === 'shared' ? false : undefined
}

function requestAttributes({ store, operation, keyCount, attempt }: RequestEvent): Attributes {
  return {
    [attributes.driver]: store,
    [attributes.operation]: operation,
    [attributes.keyCount]: keyCount,
    [attributes.attempt]: attempt,
  }
}

/** The stable conventions for clients of databases. */
function databaseAttributes({ store, operation, command, server }: RequestEvent): Attributes {
  const address = /^(.*):(\d+)$/.exec(server ?? '')
  const [, host, port] = address ?? []
  return {
    [attributes.database]: databases[store] ?? store,
    [attributes.databaseOperation]: command ?? operation,
    ...(host !== undefined && { [attributes.serverAddress]: host }),
    ...(port !== undefined && { [attributes.serverPort]: Number(port) }),
    ...(address === null && server !== undefined && { [attributes.databaseCollection]: server }),
  }
}

export interface OpenTelemetryOptions {
  /**
   * Whether spans have the attribute `cache.key`, or a function that returns what it contains, such as a digest. Keys may be
   * session ids, or contain personal data. If the function throws, it contains `***`. @default false
   */
  readonly keys?: boolean | ((key: string) => string) | undefined
  /** @default the global provider */
  readonly tracerProvider?: TracerProvider | undefined
  /** @default the global provider */
  readonly meterProvider?: MeterProvider | undefined
}
