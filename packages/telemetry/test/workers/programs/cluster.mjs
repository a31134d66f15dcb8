// The primary serves the metrics of its workers, as the README describes. A worker reads as often as READS says.
import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { answer, mergeFamilies, metrics } from '@stowage/telemetry/prometheus'

if (cluster.isPrimary) await serveMetrics()
else await runWorker()

async function serveMetrics() {
  const running = new Map()
  let ended = []
  cluster.on('message', ({ id }, message) => {
    if (message.metrics) running.set(id, message.metrics)
  })
  cluster.on('exit', ({ id }) => {
    const counted = (running.get(id) ?? []).filter(({ type }) => type !== 'gauge')
    ended = mergeFamilies([ended, counted])
    running.delete(id)
    process.send({ exited: id })
  })
  const server = createServer((request, response) =>
    answer(request, response, mergeFamilies([ended, ...running.values()])),
  ).listen(0, '127.0.0.1')
  await once(server, 'listening')
  for (const READS of [3, 4]) await once(cluster.fork({ READS }), 'message')
  process.on('message', ({ kill }) => cluster.workers[kill].process.kill('SIGKILL'))
  process.send({ port: server.address().port })
}

async function runWorker() {
  const cache = new Cache(memory(), { name: 'pages' })
  const { families } = metrics({ caches: () => [cache] })
  await cache.set('k', 1)
  for (let read = 0; read < Number(process.env.READS); read++) await cache.get('k')
  // An application does this every few seconds.
  process.send({ metrics: families() })
}
