import { cachesFromEnv } from '@stowage/core'
import { standardDrivers } from '@stowage/drivers'
import { exitWithError, onShutdown } from '@stowage/example-shared'
import { sessionSecret } from '@stowage/express'
import { createApp } from './app.ts'

async function main(): Promise<void> {
  const caches = await cachesFromEnv(process.env, standardDrivers())
  const secret = sessionSecret({ NODE_ENV: 'development', ...process.env })[0] as string
  const app = await createApp({ caches, secret })
  onShutdown(async () => {
    await app.close()
    await caches.close()
  })
  const url = await app.listen({
    host: process.env.HOST ?? '127.0.0.1',
    port: Number(process.env.PORT ?? 3000),
  })
  console.log(`Stowage Fastify example listening on ${url}`)
}

main().catch(exitWithError)
