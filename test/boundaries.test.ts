import { execFile } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { importCycles } from '../scripts/lib/import-cycles.mjs'

const workspace = fileURLToPath(new URL('..', import.meta.url))
const checker = join(workspace, 'scripts/check-boundaries.mjs')
const execute = promisify(execFile)

let copy: string

beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'stowage-boundaries-'))
  for (const name of readdirSync(join(workspace, 'packages'))) {
    for (const path of [`packages/${name}/package.json`, `packages/${name}/src`]) {
      cpSync(join(workspace, path), join(copy, path), { recursive: true })
    }
  }
})

afterEach(() => rmSync(copy, { recursive: true, force: true }))

describe('check-boundaries', () => {
  test('accepts the packages as they are', async () => {
    expect(await violations()).toEqual([])
  })

  test('rejects an import of a folder that the rules do not list', async () => {
    append('packages/core/src/time/duration.ts', "import type { Frame } from '../values/frame.ts'")
    expect(await violations()).toContain('packages/core/src/time/duration.ts imports values')
  })

  test('rejects an import of a module at the root that the rules do not list', async () => {
    append('packages/core/src/values/frame.ts', "export type { Cache } from '../cache.ts'")
    expect(await violations()).toContain('packages/core/src/values/frame.ts imports cache')
  })

  test('rejects an import cycle, also if it consists of types', async () => {
    append('packages/core/src/time/first.ts', "import type { B } from './second.ts'")
    append('packages/core/src/time/second.ts', "import type { A } from './first.ts'")
    const [first, second] = ['packages/core/src/time/first.ts', 'packages/core/src/time/second.ts']
    expect(await violations()).toEqual([`import cycle: ${first} → ${second} → ${first}`])
  })

  test('rejects an import of a package that is not a dependency', async () => {
    append('packages/memory/src/memory-store.ts', "import 'ioredis'")
    expect(await violations()).toEqual(['packages/memory/src/memory-store.ts imports ioredis'])
  })

  test('rejects an import of core, or of another driver, that the rules do not list', async () => {
    append('packages/core/src/cache.ts', "await import('lru-cache')")
    append('packages/redis/src/commands.ts', "export * from '@stowage/memory'")
    expect(await violations()).toEqual([
      'packages/core/src/cache.ts imports lru-cache',
      'packages/redis/src/commands.ts imports @stowage/memory',
    ])
  })

  test('rejects a dependency on a package that the rules do not list', async () => {
    const path = join(copy, 'packages/memory/package.json')
    const manifest = JSON.parse(readFileSync(path, 'utf8'))
    const dependencies = { ...manifest.dependencies, '@stowage/redis': 'workspace:^' }
    writeFileSync(path, JSON.stringify({ ...manifest, dependencies }))
    expect(await violations()).toEqual(['packages/memory/package.json depends on @stowage/redis'])
  })

  test('rejects a package and a folder without a rule', async () => {
    append('packages/core/src/unlisted/module.ts', 'export const value = 1')
    mkdirSync(join(copy, 'packages/unlisted'))
    const rules = 'has no rule in scripts/check-boundaries.mjs'
    expect(await violations()).toEqual([
      `packages/core/src/unlisted/module.ts: folder unlisted ${rules}`,
      `packages/unlisted ${rules}`,
    ])
  })

  test('rejects a rule for a folder that does not exist', async () => {
    renameSync(join(copy, 'packages/lmdb/src/items'), join(copy, 'packages/lmdb/src/entries'))
    expect(await violations()).toContain(
      'scripts/check-boundaries.mjs: packages/lmdb/src has no items',
    )
  })

  test('ignores imports in comments', async () => {
    append('packages/core/src/time/clock.ts', "// import { Cache } from '../cache.ts'")
    append(
      'packages/core/src/time/clock.ts',
      "/**\n * import { memory } from '@stowage/memory'\n */",
    )
    expect(await violations()).toEqual([])
  })
})

describe('importCycles', () => {
  test.each([
    ['no cycle', { a: ['b', 'c'], b: ['c'], c: [] }, []],
    ['an import of the module itself', { a: ['a'] }, ['a a']],
    ['a cycle of two modules', { a: ['b'], b: ['a'] }, ['a b a']],
    ['a cycle that the first module is not part of', { a: ['b'], b: ['c'], c: ['b'] }, ['b c b']],
    ['two cycles', { a: ['b', 'c'], b: ['a'], c: ['a'] }, ['a b a', 'a c a']],
    ['a cycle in a separate part of the graph', { a: [], b: ['c'], c: ['b'] }, ['b c b']],
    ['imports of modules outside the graph', { a: ['elsewhere'] }, []],
  ])('%s', (_, imports, expected) => {
    const cycles = importCycles(new Map(Object.entries<string[]>(imports)))
    expect(cycles.map((cycle) => cycle.join(' '))).toEqual(expected)
  })
})

/** Adds a line to a file of the copy; creates the file if it does not exist. */
function append(path: string, line: string): void {
  mkdirSync(join(copy, path, '..'), { recursive: true })
  appendFileSync(join(copy, path), `\n${line}\n`)
}

/** The violations that the checker reports for the copy. */
async function violations(): Promise<string[]> {
  const { stderr } = await execute(process.execPath, [checker, copy]).catch((error) => error)
  const [title, ...lines] = stderr.trim().split('\n')
  expect(title).toBe(lines.length > 0 ? 'Forbidden imports:' : '')
  return lines.map((line: string) => line.trim())
}
