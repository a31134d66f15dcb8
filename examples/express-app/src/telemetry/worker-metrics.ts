import cluster from 'node:cluster'
import { createServer, type Server } from 'node:http'
import {
  answer,
  type MetricFamily,
  type Metrics,
  mergeFamilies,
} from '@stowage/telemetry/prometheus'

interface Message {
  readonly metrics?: MetricFamily[]
}

/** In a worker of a cluster: sends its metrics to the primary process. */
export function sendMetrics({ families }: Metrics): void {
  if (cluster.isWorker) process.send?.({ metrics: families() } satisfies Message)
}

/** In the primary process: a server for Prometheus, with the metrics of all workers together. */
export function serveWorkerMetrics(port: number): Server {
  const running = new Map<number, MetricFamily[]>()
  let ended: MetricFamily[] = []
  cluster.on('message', ({ id }, { metrics }: Message) => {
    if (metrics !== undefined) running.set(id, metrics)
  })
  cluster.on('exit', ({ id }) => {
    // A counter must not fall when a worker ends. What it had in memory is gone.
    const counted = (running.get(id) ?? []).filter(({ type }) => type !== 'gauge')
    ended = mergeFamilies([ended, counted])
    running.delete(id)
  })
  return createServer((request, response) =>
    answer(request, response, mergeFamilies([ended, ...running.values()])),
  ).listen(port, '127.0.0.1')
}
