import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { forbiddenImports } from '../scripts/lib/boundaries.mjs'
import { importCycles } from '../scripts/lib/import-cycles.mjs'

const workspace = fileURLToPath(new URL('..', import.meta.url))
const checker = join(workspace, 'scripts/check-boundaries.mjs')
const execute = promisify(execFile)

const copy = mkdtempSync(join(tmpdir(), 'stowage-boundaries-'))
const undo: (() => void)[] = []

describe('check-boundaries', () => {
  beforeAll(() => {
    for (const name of readdirSync(join(workspace, 'packages'))) {
      for (const path of [`packages/${name}/package.json`, `packages/${name}/src`]) {
        cpSync(join(workspace, path), join(copy, path), { recursive: true })
      }
    }
  })
  afterEach(() => {
    for (const each of undo.splice(0).reverse()) each()
  })
  afterAll(() => {
    expect(forbiddenImports(copy), 'every change of the copy is undone').toEqual([])
    rmSync(copy, { recursive: true, force: true })
  })

  test('accepts the packages as they are', async () => {
    const { stdout, stderr } = await execute(process.execPath, [checker])
    expect(stdout + stderr).toBe('')
  })

  test('fails with a list of what it rejects', async () => {
    append('packages/memory/src/memory-store.ts', "import 'ioredis'")
    const { code, stderr } = await execute(process.execPath, [checker, copy]).catch(
      (error) => error,
    )
    const title = 'Forbidden imports:'
    expect([code, stderr.trim()]).toEqual([
      1,
      `${title}\n  packages/memory/src/memory-store.ts imports ioredis`,
    ])
  })

  test('rejects an import of a folder that the rules do not list', () => {
    append('packages/core/src/time/duration.ts', "import type { Frame } from '../values/frame.ts'")
    expect(forbiddenImports(copy)).toContain('packages/core/src/time/duration.ts imports values')
  })

  test('rejects an import of a module at the root that the rules do not list', () => {
    append('packages/core/src/values/frame.ts', "export type { Cache } from '../cache.ts'")
    expect(forbiddenImports(copy)).toContain('packages/core/src/values/frame.ts imports cache')
  })

  test('rejects an import cycle, also if it consists of types', () => {
    append('packages/core/src/time/first.ts', "import type { B } from './second.ts'")
    append('packages/core/src/time/second.ts', "import type { A } from './first.ts'")
    const [first, second] = ['packages/core/src/time/first.ts', 'packages/core/src/time/second.ts']
    expect(forbiddenImports(copy)).toEqual([`import cycle: ${first} → ${second} → ${first}`])
  })

  test('rejects folders that import each other, even if no modules do', () => {
    append('packages/msgpack/src/one/first.ts', "import '../other/first.ts'")
    append('packages/msgpack/src/other/first.ts', 'export {}')
    append('packages/msgpack/src/other/second.ts', "import '../one/second.ts'")
    append('packages/msgpack/src/one/second.ts', 'export {}')
    const [one, other] = ['packages/msgpack/src/one', 'packages/msgpack/src/other']
    expect(forbiddenImports(copy)).toContain(`folder cycle: ${one} → ${other} → ${one}`)
  })

  test('rejects an import of a package that is not a dependency', () => {
    append('packages/memory/src/memory-store.ts', "import 'ioredis'")
    expect(forbiddenImports(copy)).toEqual(['packages/memory/src/memory-store.ts imports ioredis'])
  })

  test('rejects an import of core, or of another driver, that the rules do not list', () => {
    append('packages/core/src/cache.ts', "await import('lru-cache')")
    append('packages/redis/src/commands.ts', "export * from '@stowage/memory'")
    expect(forbiddenImports(copy)).toEqual([
      'packages/core/src/cache.ts imports lru-cache',
      'packages/redis/src/commands.ts imports @stowage/memory',
    ])
  })

  test('rejects an example that imports what only the packages share', () => {
    append('examples/shop/src/app.ts', "import { Deferred } from '@stowage/core/internal'")
    expect(forbiddenImports(copy)).toEqual([
      'examples/shop/src/app.ts imports @stowage/core/internal',
    ])
  })

  test('rejects a dependency on a package that the rules do not list', () => {
    const path = 'packages/memory/package.json'
    const manifest = JSON.parse(readFileSync(join(copy, path), 'utf8'))
    const dependencies = { ...manifest.dependencies, '@stowage/redis': 'workspace:^' }
    write(path, JSON.stringify({ ...manifest, dependencies }))
    expect(forbiddenImports(copy)).toEqual([
      'packages/memory/package.json depends on @stowage/redis',
    ])
  })

  test('rejects a package and a folder without a rule', () => {
    append('packages/core/src/unlisted/module.ts', 'export const value = 1')
    append('packages/unlisted/module.ts', 'export const value = 1')
    const rules = 'has no rule in scripts/lib/boundaries.mjs'
    expect(forbiddenImports(copy)).toEqual([
      `packages/core/src/unlisted/module.ts: folder unlisted ${rules}`,
      `packages/unlisted ${rules}`,
    ])
  })

  test('rejects a rule for a folder that does not exist', () => {
    const [before, after] = ['items', 'entries'].map((name) =>
      join(copy, 'packages/lmdb/src', name),
    ) as [string, string]
    renameSync(before, after)
    undo.push(() => renameSync(after, before))
    expect(forbiddenImports(copy)).toContain(
      'scripts/lib/boundaries.mjs: packages/lmdb/src has no items',
    )
  })

  test('ignores imports in comments', () => {
    append('packages/core/src/time/clock.ts', "// import { Cache } from '../cache.ts'")
    append(
      'packages/core/src/time/clock.ts',
      "/**\n * import { memory } from '@stowage/memory'\n */",
    )
    expect(forbiddenImports(copy)).toEqual([])
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

/** Adds a line to a file of the copy, which may not exist, until the end of the test. */
function append(path: string, line: string): void {
  const file = join(copy, path)
  write(path, `${existsSync(file) ? readFileSync(file, 'utf8') : ''}\n${line}\n`)
}

/** Writes a file of the copy until the end of the test. */
function write(path: string, text: string): void {
  const file = join(copy, path)
  const before = existsSync(file) ? readFileSync(file) : undefined
  const created = mkdirSync(dirname(file), { recursive: true })
  undo.push(() => {
    if (before !== undefined) writeFileSync(file, before)
    else rmSync(created ?? file, { recursive: true })
  })
  writeFileSync(file, text)
}
