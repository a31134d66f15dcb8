// The main thread combines the metrics of its worker threads with its own, and prints them.
import { once } from 'node:events'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { mergeFamilies, metrics } from '@stowage/telemetry/prometheus'

const { families } = metrics()
const cache = new Cache(memory(), { name: 'pages' })
await cache.get('missing')

if (isMainThread) {
  const threads = [1, 2].map(() => new Worker(new URL(import.meta.url)))
  const received = await Promise.all(
    threads.map(async (thread) => (await once(thread, 'message'))[0]),
  )
  const all = mergeFamilies([families(), ...received])
  const requests = all.find(({ name }) => name === 'stowage_cache_requests_total')
  console.log(JSON.stringify(requests.samples))
} else parentPort.postMessage(families())
