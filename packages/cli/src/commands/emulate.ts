import { createInterface } from 'node:readline'
import type * as Testing from '@stowage/testing'
import { parseNodeList } from '../configuration/node-list.ts'
import { importPackage } from '../configuration/packages.ts'
import { CommandError } from '../errors.ts'
import type { Output } from '../output/io.ts'

export interface EmulateOptions {
  readonly json?: boolean
  readonly nodes: readonly string[]
  readonly port: number
  readonly host: string
}

/** Serves until the process is interrupted. Each line of the standard input is a new list of nodes. */
export async function emulateConfigurationEndpoint(
  { nodes, port, host, json }: EmulateOptions,
  output: Output,
): Promise<number> {
  const { configurationEndpoint } = await importTesting(output.io.cwd)
  const endpoint = await configurationEndpoint({ nodes, port, host }).catch((error: Error) => {
    const { code } = error as NodeJS.ErrnoException
    const isUsed = code === 'EADDRINUSE'
    throw new CommandError(
      isUsed ? `The port ${port} is in use. Choose another one with --port.` : error.message,
    )
  })
  const show = () => {
    const { version } = endpoint
    const address = `${host.includes(':') ? `[${host}]` : host}:${endpoint.port}`
    if (json) {
      const state = { command: 'emulate', address, version, nodes: endpoint.nodes }
      output.line(JSON.stringify(state))
    } else {
      output.line(`MEMCACHED_CONFIGURATION_ENDPOINT=${address}`)
      output.line(`version ${version}: ${endpoint.nodes.join(' ')}`)
    }
  }
  show()
  const lines = createInterface({ input: output.io.stdin })
  lines.on('line', (line) => {
    if (line.trim() === '') return
    const next = parseNodeList(line)
    if (next === undefined) {
      output.error('✗ The line is not a list of nodes. Use host:port, separated by commas.')
      return
    }
    endpoint.scale(next)
    show()
  })
  await interrupted()
  lines.close()
  await endpoint.stop()
  return 0
}

function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve())
    process.once('SIGTERM', () => resolve())
  })
}

async function importTesting(cwd: string): Promise<typeof Testing> {
  const name = '@stowage/testing'
  return importPackage(name, cwd, () => import('@stowage/testing')).catch(() => {
    throw new CommandError(`The package ${name} is not installed: npm install --save-dev ${name}`)
  })
}
