import { closeServer, exitWithError, listen, onShutdown, urlOf } from '@stowage/example-shared'
import { createApp } from './app.ts'
import { readConfig } from './config.ts'

const shutdownTimeoutMs = 5_000

async function main(): Promise<void> {
  const config = await readConfig(process.env)
  const { caches, reportMs } = config
  const app = createApp({ cache: caches.use('cache'), reportMs })
  const server = await listen(app, config)
  onShutdown(async () => {
    await closeServer(server, shutdownTimeoutMs)
    // Aborts the signal of a report that is being generated, and releases its lock.
    await caches.close()
  })
  console.log(`Stowage locks example listening on ${urlOf(server, config.host)}`)
}

main().catch(exitWithError)
