// Three requests that read a key each in the same turn, one that loads, and one that fails. Prints the exported data. A
// process of its own, and CommonJS: the instrumentations replace what the client libraries export when they are loaded.
const { context, trace, TraceFlags } = require('@opentelemetry/api')
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks')
const {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} = require('@opentelemetry/sdk-trace-base')
const {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} = require('@opentelemetry/sdk-metrics')

const { AsyncLocalStorage } = require('node:async_hooks')

const storages = new Set()
const { run } = AsyncLocalStorage.prototype
AsyncLocalStorage.prototype.run = function (...args) {
  storages.add(this)
  return run.apply(this, args)
}

const [driver, address, mode, variant] = process.argv.slice(2)

const exporter = new InMemorySpanExporter()
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
trace.setGlobalTracerProvider(provider)
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
const reader = new PeriodicExportingMetricReader({ exporter: metricExporter })
const meterProvider = new MeterProvider({ readers: [reader] })

if (mode === 'instrumented') {
  const { IORedisInstrumentation } = require('@opentelemetry/instrumentation-ioredis')
  const { AwsInstrumentation } = require('@opentelemetry/instrumentation-aws-sdk')
  for (const each of [new IORedisInstrumentation(), new AwsInstrumentation()])
    each.setTracerProvider(provider)
}

const { Cache } = require('@stowage/core')
const { openTelemetry } = require('@stowage/telemetry/opentelemetry')

function createStore() {
  if (driver === 'memory') return require('@stowage/memory').memory()
  if (driver === 'redis') return require('@stowage/redis').redis({ url: address })
  if (driver === 'memcached')
    return require('@stowage/memcached').memcached({ servers: [address], timeout: '5s' })
  return require('@stowage/dynamodb').dynamodb({
    endpoint: address,
    table: 'traces',
    ensureTable: 'create',
    timeout: '20s',
    requestTimeout: '10s',
  })
}

async function main() {
  const cache = new Cache(createStore(), { name: 'pages' })
  for (const name of ['a', 'b', 'c', 'd'])
    await cache.set(`planted-secret-${name}`, 'planted-secret-value')
  const stop = openTelemetry({
    meterProvider,
    ...(variant === 'throws' && {
      keys: () => {
        throw new Error('planted')
      },
    }),
    ...(variant === 'digest' && { keys: (key, size = key.length) => `digest of ${size}` }),
  })
  const tracer = trace.getTracer('application')
  const request = (name, work) =>
    tracer.startActiveSpan(name, async (span) => {
      try {
        return await work()
      } finally {
        span.end()
      }
    })
  const unsampled = trace.setSpanContext(context.active(), {
    traceId: '1'.repeat(32),
    spanId: '2'.repeat(16),
    traceFlags: TraceFlags.NONE,
  })
  const others = variant === 'unsampled' ? [() => cache.get('planted-secret-d')] : []
  await Promise.all([
    ...others.map((work) => context.with(unsampled, work)),
    ...['a', 'b', 'c'].map((name) =>
      request(`request ${name}`, () => cache.get(`planted-secret-${name}`)),
    ),
  ])
  const storagesOfReads = storages.size
  await request('loads', () =>
    cache.remember('planted-secret-loaded', {}, () =>
      request('query', async () => 'planted-secret-value'),
    ),
  )
  await request('fails', () =>
    cache
      .remember('planted-secret-failed', {}, () => {
        throw new Error('planted-secret-message')
      })
      .catch(() => {}),
  )
  await request('writes', async () => {
    await cache.set('planted-secret-a', 'planted-secret-value')
    await cache.delete('planted-secret-a')
    await cache.ping()
  })
  stop()
  await cache.get('planted-secret-b')
  await cache.close()
  await reader.forceFlush()
  const spans = exporter.getFinishedSpans().map((span) => ({
    name: span.name,
    kind: span.kind,
    id: span.spanContext().spanId,
    parent: span.parentSpanContext?.spanId,
    scope: span.instrumentationScope.name,
    attributes: span.attributes,
    links: span.links.map((link) => link.context.spanId),
    status: span.status,
    events: span.events,
  }))
  const metrics = metricExporter
    .getMetrics()
    .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
  process.stdout.write(JSON.stringify({ spans, metrics, storagesOfReads }))
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
