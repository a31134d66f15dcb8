import type { Server } from 'node:http'
import { createApp } from './app.ts'
import { namesServers, readConfig } from './config.ts'
import { closed, listen, urlOf } from './listen.ts'
import { LocalServers } from './local-servers.ts'
import { SharedNote } from './note.ts'
import { Servers } from './servers.ts'

const patienceMs = 5_000
/** Long enough to see with one's own eyes what a replica lacks. */
const usualDelayMs = 2_000

async function main(): Promise<void> {
  const local = namesServers(process.env) ? undefined : await LocalServers.start()
  try {
    await serve(local)
  } catch (error) {
    await local?.stop()
    throw error
  }
}

async function serve(local: LocalServers | undefined): Promise<void> {
  const config = readConfig({ ...process.env, ...local?.variables })
  const { redis } = config
  const servers = new Servers(redis.url ?? 'redis://127.0.0.1:6379', redis.replicas ?? [])
  const note = new SharedNote(redis)
  const release = async () => {
    await note.close()
    servers.close()
  }
  try {
    await note.prepare('Hello')
    if (local !== undefined) local.delayMs = usualDelayMs
    const server = await listen(createApp({ note, servers, local }), config)
    stopOnSignal(server, () => release().then(() => local?.stop()))
    announce(urlOf(server, config.host), local)
  } catch (error) {
    await release()
    throw error
  }
}

function announce(url: string, local: LocalServers | undefined): void {
  const servers = Object.entries(local?.variables ?? {}).map((pair) => `${pair.join('=')}\n`)
  console.log(`${servers.join('')}Stowage replicas example listening on ${url}`)
}

function stopOnSignal(server: Server, end: () => Promise<void>): void {
  const stop = async () => {
    await closed(server, patienceMs)
    await end()
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
