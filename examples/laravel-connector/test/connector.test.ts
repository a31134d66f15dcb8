import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { type ConfigurationEndpoint, configurationEndpoint } from '@stowage/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const execute = promisify(execFile)
let server: MemcachedServer
let endpoint: ConfigurationEndpoint

beforeAll(async () => {
  server = await startMemcached()
  endpoint = await configurationEndpoint({ nodes: [server.address] })
})

afterAll(async () => {
  await endpoint.stop()
  await server.stop()
})

async function run(variables: Readonly<Record<string, string>>) {
  const { PATH = '' } = process.env
  const env = { PATH, ELASTICACHE_TIMEOUT: '10s', ...variables }
  return execute(process.execPath, [main], { env })
}

test('discovers the nodes at the endpoint', async () => {
  const variables = { ELASTICACHE_ENDPOINT: `127.0.0.1:${endpoint.port}` }
  expect((await run(variables)).stdout).toMatch(/^Visit \d+, counted in memcached\.\n$/)
})

test('uses a plain memcached as the only node, with a warning', async () => {
  const { stdout, stderr } = await run({ ELASTICACHE_ENDPOINT: server.address })
  expect(stdout).toMatch(/^Visit/)
  expect(stderr).toContain('STOWAGE_MEMCACHED_SINGLE_NODE')
})

test('reports credentials of which one is missing, and every other problem', async () => {
  const variables = { ELASTICACHE_USERNAME: 'app', ELASTICACHE_POLL_INTERVAL: 'often' }
  const { stderr } = await run(variables).catch((error) => error)
  expect(stderr).toContain('ELASTICACHE_PASSWORD: is missing. Set both or none.')
  expect(stderr).toContain('ELASTICACHE_POLL_INTERVAL=often')
})

test('leaves the other drivers as they are', async () => {
  expect((await run({ CACHE_DRIVER: 'memory' })).stdout).toBe('Visit 1, counted in memory.\n')
})
