// Versions of libraries that need a newer Node than 20, or that the workspace does not have, each in a process of that Node.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { command, type RedisServer, startRedis } from '@stowage/test-servers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PackageSet } from './package-set.ts'

const execute = promisify(execFile)
const packages = new PackageSet()
const libraries = [
  ...['@adonisjs/core@7.5.2', '@adonisjs/session@8.1.0'],
  ...['react-router@8.5.1', 'react@19', 'react-dom@19'],
  'nitro@3.0.0',
]
let node: string
let redis: RedisServer

beforeAll(async () => {
  redis = await startRedis()
  await packages.packAll()
  const names = ['core', 'memory', 'redis', 'sessions', 'bridges']
  const tarballs = names.map((name) => packages.tarballOf(name))
  await packages.installIn('newer-node', ...tarballs, ...libraries)
  const download = ['--yes', '--package', 'node@24', 'node', '-p', 'process.execPath']
  const { stdout } = await execute('npx', download)
  node = stdout.trim().split('\n').at(-1) as string
}, 400_000)
afterAll(async () => {
  await redis.stop()
  packages.remove()
})

test.each(['adonis', 'react-router', 'nitro'])('%s', async (name) => {
  const source = readFileSync(new URL(`newer-node/${name}.mjs`, import.meta.url), 'utf8')
  const program = packages.write(`newer-node/${name}.mjs`, source)
  const env = { ...process.env, REDIS_URL: redis.url }
  const { stdout } = await execute(node, [program], { env })
  expect(stdout).toBe('done\n')
  if (name !== 'nitro') return
  const [key = ''] = (await command(redis.port, 'KEYS', '*')) as string[]
  expect(await command(redis.port, 'TTL', key)).toBeGreaterThan(0)
})
