import type { Server } from 'node:http'
import type { Caches, Role } from '@stowage/core'
import { createApp } from './app.ts'
import { type Config, readConfig } from './config.ts'
import { completeFromFile } from './environment.ts'
import { closed, listen, urlOf } from './listen.ts'
import { Products } from './products.ts'
import { Statistics } from './statistics.ts'

const patienceMs = 10_000

async function main(): Promise<void> {
  const variables = completeFromFile(process.env, new URL('..', import.meta.url))
  const config = await readConfig(variables)
  const { caches } = config
  const app = createApp({
    ...config,
    products: new Products(config.productsDelay),
    statistics: new Statistics(),
  })
  const server = await listen(app, config)
  // Before anybody is told: whoever reads the address may send a signal at once.
  stopOnSignal(server, caches)
  announce(server, config)
}

function announce(server: Server, { caches, host, secretIsGenerated }: Config): void {
  const lines = [
    `Stowage example listening on ${urlOf(server, host)}`,
    caches.names.map((role) => `${role}: ${caches.use(role).driver}`).join(', '),
  ]
  if (secretIsGenerated) {
    lines.push(
      'SESSION_SECRET is not set: a random one is used, so sessions end with this process.',
    )
  }
  console.log(lines.join('\n'))
}

function stopOnSignal(server: Server, caches: Caches<Role>): void {
  const stop = async () => {
    await closed(server, patienceMs)
    await caches.close()
  }
  // Once: whoever asks a second time does not want to wait.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => stop().catch(fail))
}

function fail(error: Error): void {
  // The message says what to do; a stack trace would only hide it.
  console.error(error.message)
  process.exitCode = 1
}

main().catch(fail)
