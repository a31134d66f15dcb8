import { cachesFromEnv, DriverRegistry } from '@stowage/core'
import { closeServer, exitWithError, listen, onShutdown, urlOf } from '@stowage/example-shared'
import { createApp } from './app.ts'
import { CustomerRepository } from './customer-repository.ts'
import { CustomerService } from './customer-service.ts'

const shutdownTimeoutMs = 5_000
const drivers = new DriverRegistry({
  memory: () => import('@stowage/memory'),
  redis: () => import('@stowage/redis'),
})

async function main(): Promise<void> {
  // In development nothing is set: memory. In production: CACHE_DRIVER=redis, REDIS_PRIMARY and REDIS_REPLICAS.
  const caches = await cachesFromEnv(process.env, drivers)
  const service = new CustomerService(caches.use('cache'), new CustomerRepository())
  const address = {
    host: process.env.HOST ?? '127.0.0.1',
    port: Number(process.env.PORT ?? 3000),
  }
  const server = await listen(createApp(service), address)
  onShutdown(async () => {
    await closeServer(server, shutdownTimeoutMs)
    await caches.close()
  })
  console.log(`Customer service listening on ${urlOf(server, address.host)}`)
}

main().catch(exitWithError)
