import type { Server } from 'node:http'
import { closeServer, exitWithError, listen, onShutdown, urlOf } from '@stowage/example-shared'
import { createApp } from './app.ts'
import { type Config, readConfig } from './config.ts'
import { withEnvFile } from './env-file.ts'
import { Products } from './products.ts'
import { Statistics } from './telemetry/statistics.ts'

const shutdownTimeoutMs = 10_000

async function main(): Promise<void> {
  const variables = withEnvFile(process.env, new URL('..', import.meta.url))
  const config = await readConfig(variables)
  const app = createApp({
    ...config,
    products: new Products(config.productsDelay),
    statistics: new Statistics(config.caches),
  })
  const server = await listen(app, config)
  // Before the URL is printed: a supervisor may send a signal as soon as it reads it.
  onShutdown(async () => {
    await closeServer(server, shutdownTimeoutMs)
    await config.caches.close()
    // The channel to the primary would keep a worker of the cluster running.
    process.disconnect?.()
  })
  printStart(server, config)
}

function printStart(server: Server, { caches, host, secretIsGenerated }: Config): void {
  console.log(`Stowage example listening on ${urlOf(server, host)}`)
  console.log(caches.names.map((role) => `${role}: ${caches.use(role).driver}`).join(', '))
  if (secretIsGenerated) {
    console.log('SESSION_SECRET is not set: using a random one. Sessions end with this process.')
  }
}

main().catch(exitWithError)
