import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { type ConfigurationEndpoint, configurationEndpoint } from '@stowage/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { optionsOf } from '../dist/location.js'

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const execute = promisify(execFile)
let servers: MemcachedServer[]
let endpoint: ConfigurationEndpoint

beforeAll(async () => {
  servers = [await startMemcached(), await startMemcached()]
  endpoint = await configurationEndpoint({ nodes: servers.map(({ address }) => address) })
})

afterAll(async () => {
  await endpoint.stop()
  for (const server of servers) await server.stop()
})

async function linesWith(location: string): Promise<string[]> {
  const { stdout } = await execute(process.execPath, [main], {
    env: { PATH: process.env.PATH ?? '', CACHE_LOCATION: location, CACHE_TIMEOUT: '10s' },
  })
  return stdout.trim().split('\n')
}

const nodeLines = () => servers.map(({ address }) => `  ${address} up`)

test('a list of servers', async () => {
  const lines = await linesWith(servers.map(({ address }) => address).join(','))
  expect(lines).toEqual(['100 of 100 pages found', ...nodeLines()])
})

test('an endpoint that returns the nodes', async () => {
  const lines = await linesWith(`127.0.0.1:${endpoint.port}`)
  expect(lines).toEqual(['100 of 100 pages found', ...nodeLines()])
})

test('a plain server is the only node', async () => {
  const lines = await linesWith(servers[0]?.address ?? '')
  expect(lines).toEqual(['100 of 100 pages found', ...nodeLines().slice(0, 1)])
})

test('the errors of an endpoint of AWS are errors', () => {
  const location = 'shop.x1y2z3.cfg.euc1.cache.amazonaws.com:11211'
  expect(optionsOf(location)).toEqual({
    configurationEndpoint: location,
    ignoreClusterErrors: false,
  })
})
