import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Cache, channels } from '@stowage/core'
import { memory } from '@stowage/memory'
import {
  type Metrics,
  mergeFamilies,
  metrics,
  type PromRegistry,
} from '@stowage/telemetry/prometheus'
import { AggregatorRegistry, Gauge, Registry } from 'prom-client'
import { afterEach, expect, test } from 'vitest'

const started: { stop(): void }[] = []
afterEach(() => {
  for (const each of started.splice(0)) each.stop()
})

function start(registry?: PromRegistry): Metrics {
  const created = metrics(registry)
  started.push(created)
  return created
}

async function use(name = 'pages'): Promise<void> {
  const cache = new Cache(memory(), { name })
  await cache.set('k', 1)
  await cache.get('k')
  await cache.get('missing')
  await cache.remember('loaded', {}, () => 1)
}

/** The lines of the text format without comments, sorted. */
function samplesOf(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .sort()
}

test('renders what was counted', async () => {
  const { render } = start()
  await use()
  const lines = render().split('\n')
  expect(lines).toContain('# TYPE stowage_cache_requests_total counter')
  expect(lines).toContain(
    'stowage_cache_requests_total{cache="pages",driver="memory",result="hit"} 1',
  )
  expect(lines).toContain(
    'stowage_cache_requests_total{cache="pages",driver="memory",result="miss"} 2',
  )
  expect(lines).toContain('stowage_cache_loads_total{cache="pages",driver="memory",outcome="ok"} 1')
  const buckets = lines.filter((line) => line.startsWith('stowage_cache_load_duration_seconds_'))
  expect(buckets.at(-1)).toBe(
    'stowage_cache_load_duration_seconds_count{cache="pages",driver="memory"} 1',
  )
  expect(buckets.at(-3)).toContain('le="+Inf"} 1')
})

test('escapes labels', async () => {
  const { render } = start()
  await use('a"b\\c\nd')
  expect(render()).toContain('{cache="a\\"b\\\\c\\nd",driver="memory",result="hit"}')
})

test('the handler negotiates the format', async () => {
  const { handler } = start()
  await use()
  const server = createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const get = async (accept: string) => {
    const response = await fetch(url, { headers: { accept } })
    return { type: response.headers.get('content-type'), text: await response.text() }
  }
  const text = await get('*/*')
  expect(text.type).toBe('text/plain; version=0.0.4; charset=utf-8')
  const prometheus =
    'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'
  const openMetrics = await get(prometheus)
  expect(openMetrics.type).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
  expect(openMetrics.text).toMatch(/# EOF\n$/)
  expect(openMetrics.text).toContain('# TYPE stowage_cache_requests counter')
  expect(samplesOf(openMetrics.text)).toEqual(samplesOf(text.text))
  expect((await get('text/plain, application/openmetrics-text;q=0.5')).type).toContain('text/plain')
  server.close()
})

test('the handler answers with 500 if the caches of the application cannot be read', async () => {
  const { handler, stop } = metrics(undefined, {
    caches: () => {
      throw new Error('No cache is named "pages".')
    },
  })
  started.push({ stop })
  const server = createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  expect([response.status, await response.text()]).toEqual([
    500,
    'The metrics cannot be read: No cache is named "pages".\n',
  ])
  server.close()
})

test('prom-client renders the same', async () => {
  const registry = new Registry()
  const { render } = start(registry)
  await use()
  expect(samplesOf(await registry.metrics())).toEqual(samplesOf(render()))
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never)
  expect(samplesOf(await registry.metrics())).toEqual(samplesOf(render()))
})

test('stop removes the metrics from prom-client, so that they can be registered again', async () => {
  const registry = new Registry()
  const first = start(registry)
  first.stop()
  expect(await registry.metrics()).toBe('\n')
  start(registry)
  first.stop()
  expect(await registry.metrics()).toContain('stowage_cache_requests_total')
})

test('a name that prom-client already has is an error, after which nothing is counted or registered', async () => {
  const registry = new Registry()
  new Gauge({ name: 'stowage_breaker_state', help: 'of the application', registers: [registry] })
  expect(() => metrics(registry)).toThrow('stowage_breaker_state has already been registered')
  expect(channels.breaker.hasSubscribers).toBe(false)
  expect(registry.getMetricsAsArray().map(({ name }) => name)).toEqual(['stowage_breaker_state'])
})

test('prom-client adds up the processes of a cluster', async () => {
  const worker = new Registry()
  const { render } = start(worker)
  await use()
  const sent = JSON.parse(JSON.stringify(await worker.getMetricsAsJSON()))
  const all = AggregatorRegistry.aggregate([sent, sent])
  const line = 'stowage_cache_requests_total{cache="pages",driver="memory",result="miss"}'
  expect(render()).toContain(`${line} 2`)
  expect(await all.metrics()).toContain(`${line} 4`)
})

test('families of threads are added up, and states are not', async () => {
  const { families } = start()
  await use()
  channels.breaker.publish({ store: 'redis', state: 'open' })
  const sent = structuredClone(families())
  const merged = mergeFamilies([sent, families()])
  const mergedValue = (name: string, labels: object) =>
    merged
      .find((family) => family.name === name)
      ?.samples.find((sample) => JSON.stringify(sample.labels) === JSON.stringify(labels))?.value
  const labels = { cache: 'pages', driver: 'memory', result: 'miss' }
  expect(mergedValue('stowage_cache_requests_total', labels)).toBe(4)
  expect(mergedValue('stowage_breaker_state', { driver: 'redis' })).toBe(2)
})
