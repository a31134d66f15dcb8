import cluster from 'node:cluster'
import { availableParallelism } from 'node:os'
import { onShutdown } from '@stowage/example-shared'
import { sessionSecret } from '@stowage/express'
import { serveWorkerMetrics } from './telemetry/worker-metrics.ts'

/** Starts one worker per CPU, or `WORKERS` of them, and replaces those that end unexpectedly. */
function startWorkers(): void {
  const count = Number(process.env.WORKERS) || availableParallelism()
  // All workers must sign the cookies with the same secret.
  const secret = sessionSecret({ NODE_ENV: 'development', ...process.env }).join(',')
  const fork = () => cluster.fork({ SESSION_SECRET: secret })
  for (let worker = 0; worker < count; worker++) fork()
  cluster.on('exit', onWorkerExit)
  const port = process.env.METRICS_PORT
  const metrics = port === undefined ? undefined : serveWorkerMetrics(Number(port))
  onShutdown(async () => {
    metrics?.close()
    cluster.off('exit', onWorkerExit)
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM')
  })

  function onWorkerExit(_worker: unknown, code: number, signal: string | null): void {
    // A worker that was killed is replaced. One that has failed, for example due to its configuration, would fail again.
    if (signal !== null) fork()
    else if (code !== 0) process.exitCode = code
  }
}

if (cluster.isPrimary) startWorkers()
else await import('./main.ts')
