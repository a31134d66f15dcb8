// Versions of libraries that need a newer Node than this workspace supports, each in a process of that Node.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PackageSet } from './package-set.ts'

const execute = promisify(execFile)
const packages = new PackageSet()
const libraries = [
  ...['@adonisjs/core@7.5.2', '@adonisjs/session@8.1.0'],
  ...['react-router@8.5.1', 'react@19', 'react-dom@19'],
]
let node: string

beforeAll(async () => {
  await packages.packAll()
  const tarballs = ['core', 'memory', 'sessions', 'bridges'].map((name) => packages.tarballOf(name))
  await packages.installIn('newer-node', ...tarballs, ...libraries)
  const download = ['--yes', '--package', 'node@24', 'node', '-p', 'process.execPath']
  const { stdout } = await execute('npx', download)
  node = stdout.trim().split('\n').at(-1) as string
}, 400_000)
afterAll(() => packages.remove())

test.each(['adonis', 'react-router'])('%s', async (name) => {
  const source = readFileSync(new URL(`newer-node/${name}.mjs`, import.meta.url), 'utf8')
  const program = packages.write(`newer-node/${name}.mjs`, source)
  const { stdout } = await execute(node, [program])
  expect(stdout).toBe('done\n')
})
