import { closeServer, exitWithError, listen, onShutdown, urlOf } from '@stowage/example-shared'
import { createApp } from './app.ts'
import { namesServers, readConfig } from './config.ts'
import { LocalServers } from './local/local-servers.ts'
import { SharedNote } from './note.ts'
import { ServerInspector } from './server-inspector.ts'

const shutdownTimeoutMs = 5_000
/** Long enough to see the lag of a replica on the page. */
const defaultDelayMs = 2_000

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
  const { url = 'redis://127.0.0.1:6379', replicas = [] } = config.redis
  const inspector = new ServerInspector(url, replicas)
  const note = new SharedNote(config.redis)
  const disconnect = async () => {
    await note.close()
    inspector.close()
  }
  try {
    await note.prepare('Hello')
    if (local !== undefined) local.delayMs = defaultDelayMs
    const server = await listen(createApp({ note, inspector, local }), config)
    onShutdown(async () => {
      await closeServer(server, shutdownTimeoutMs)
      await disconnect()
      await local?.stop()
    })
    printStart(urlOf(server, config.host), local)
  } catch (error) {
    await disconnect()
    throw error
  }
}

function printStart(url: string, local: LocalServers | undefined): void {
  const variables = Object.entries(local?.variables ?? {})
  for (const [name, value] of variables) console.log(`${name}=${value}`)
  console.log(`Stowage replicas example listening on ${url}`)
}

main().catch(exitWithError)
