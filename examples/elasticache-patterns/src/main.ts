import { cachesFromEnv } from '@stowage/core'
import { standardDrivers } from '@stowage/drivers'
import { closeServer, exitWithError, listen, onShutdown, urlOf } from '@stowage/example-shared'
import { createApp } from './app.ts'
import { ProductDatabase } from './product-database.ts'
import { Shop } from './shop.ts'

const shutdownTimeoutMs = 5_000

async function main(): Promise<void> {
  const caches = await cachesFromEnv(process.env, standardDrivers())
  const shop = new Shop(caches.use('cache'), await ProductDatabase.open())
  const address = {
    host: process.env.HOST ?? '127.0.0.1',
    port: Number(process.env.PORT ?? 3000),
  }
  const server = await listen(createApp(shop, caches.use('session')), address)
  onShutdown(async () => {
    await closeServer(server, shutdownTimeoutMs)
    await caches.close()
    shop.close()
  })
  console.log(`Stowage patterns example listening on ${urlOf(server, address.host)}`)
}

main().catch(exitWithError)
