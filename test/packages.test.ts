import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const names = readdirSync(join(root, 'packages'))
/** What an application imports: the package, and its entry points with a name. */
const importsOf = (name: string) =>
  Object.keys(manifestOf(name).exports)
    .filter((path) => !/\.json$|\*/.test(path))
    .map((path) => `@stowage/${name}${path.slice(1)}`)
const manifestOf = (name: string) =>
  JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'))

interface Target {
  readonly import?: Target
  readonly require?: Target
  readonly types?: string
  readonly default?: string
}

function node(...args: string[]): string {
  return execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' }).trim()
}

describe.each(names)('@stowage/%s', (name) => {
  test('exports what it has built', () => {
    const targets = Object.values<Target>(manifestOf(name).exports)
    const conditions = targets.flatMap((target) =>
      target.import === undefined ? [target] : [target.import, target.require],
    )
    const files = conditions.flatMap((target) => [target?.types, target?.default])
    expect(files.filter(Boolean)).not.toEqual([])
    for (const file of files.filter((each) => each !== undefined)) {
      expect(existsSync(join(root, 'packages', name, file)), file).toBe(true)
    }
  })

  test('a CommonJS application can require it', () => {
    for (const id of importsOf(name)) expect(required()[id], id).toBe('exports')
  })
})

let outcomes: Record<string, string> | undefined

/** Requires every entry point in one process. Returns `exports`, or the error, by its name. */
function required(): Record<string, string> {
  const script = `
    const outcomeOf = (id) => {
      try {
        return Object.keys(require(id)).length > 0 ? 'exports' : 'nothing'
      } catch (error) {
        return error.stack
      }
    }
    console.log(JSON.stringify(Object.fromEntries(${JSON.stringify(names.flatMap(importsOf))}.map((id) => [id, outcomeOf(id)]))))`
  outcomes ??= JSON.parse(node('--no-warnings', '--input-type=commonjs', '--eval', script))
  return outcomes as Record<string, string>
}

test('the import of core loads no other package, and the memory driver no SDK', () => {
  const script = `
    import Module from 'node:module'
    import { cachesFromEnv, DriverRegistry } from '@stowage/core'
    const registry = new DriverRegistry({
      memory: () => import('@stowage/memory'),
      redis: () => import('@stowage/redis'),
      dynamodb: () => import('@stowage/dynamodb'),
    })
    const loaded = () => Object.keys(Module._cache).some((file) => /ioredis|client-dynamodb/.test(file))
    await cachesFromEnv({ CACHE_DRIVER: 'memory' }, registry)
    const before = loaded()
    await cachesFromEnv({ CACHE_DRIVER: 'redis' }, registry)
    console.log(before, loaded())`
  expect(node('--input-type=module', '--eval', script)).toBe('false true')
})

test('the import of the LMDB driver loads no native module; the first command does', () => {
  const script = `
    import Module from 'node:module'
    import { lmdb } from '@stowage/lmdb'
    const loaded = () => Object.keys(Module._cache).some((file) => file.endsWith('.node'))
    const store = lmdb({ path: 'test/.cache-import' })
    const before = loaded()
    store.ping()
    console.log(before, loaded())
    await store.close()`
  try {
    expect(node('--input-type=module', '--eval', script)).toBe('false true')
  } finally {
    rmSync(join(root, 'test', '.cache-import'), { recursive: true, force: true })
  }
})
