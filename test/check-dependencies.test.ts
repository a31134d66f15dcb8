import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { dependencyProblems } from '../scripts/lib/dependency-rules.mjs'

const execute = promisify(execFile)
const checker = fileURLToPath(new URL('../scripts/check-dependencies.mjs', import.meta.url))

/** A workspace with one package, which depends on `direct`, which depends on `nested`. */
let workspace: string

beforeEach(() => {
  workspace = mkdtempSync(join(tmpdir(), 'stowage-dependencies-'))
  write('packages/app/package.json', { name: '@stowage/app', version: '1.0.0', license: 'MIT' })
  write('pnpm-lock.yaml', {
    importers: { 'packages/app': { dependencies: { direct: { version: '1.0.0' } } } },
    packages: {
      'direct@1.0.0': { resolution: { integrity: 'sha512-AA==' } },
      'nested@2.0.0': { resolution: { integrity: 'sha512-AA==' } },
      'nested-elsewhere@2.0.0': { resolution: { integrity: 'sha512-AA==' }, os: ['elsewhere'] },
    },
    snapshots: {
      'direct@1.0.0': {
        dependencies: { nested: '2.0.0' },
        optionalDependencies: { 'nested-elsewhere': '2.0.0' },
      },
      'nested@2.0.0': {},
      'nested-elsewhere@2.0.0': {},
    },
  })
  // As pnpm installs them: a package finds its dependencies beside itself.
  write(`${installed}/direct/package.json`, { license: 'ISC' })
  plant({})
  mkdirSync(join(workspace, 'packages/app/node_modules'))
  symlinkSync(
    join(workspace, installed, 'direct'),
    join(workspace, 'packages/app/node_modules/direct'),
  )
})
afterEach(() => rmSync(workspace, { recursive: true, force: true }))

const installed = 'node_modules/.pnpm/direct@1.0.0/node_modules'

describe('check-dependencies', () => {
  test('accepts what the published packages of this workspace install', async () => {
    const { stdout, stderr } = await execute(process.execPath, [checker])
    expect(stdout + stderr).toBe('')
  })

  test('fails with a list of what it rejects', async () => {
    plant({ scripts: { postinstall: 'node steal.js' } })
    const { code, stderr } = await execute(process.execPath, [checker, workspace]).catch(
      (error) => error,
    )
    const problem = 'nested@2.0.0 runs a script when it is installed: node steal.js'
    expect([code, stderr.trim()]).toEqual([1, `Runtime dependencies:\n  ${problem}`])
  })

  test('accepts a dependency that is for another platform', () => {
    expect(problems()).toEqual([])
  })

  test.each(['preinstall', 'install', 'postinstall'])('rejects the script %s', (hook) => {
    plant({ scripts: { [hook]: 'node steal.js' } })
    expect(problems()).toEqual(['nested@2.0.0 runs a script when it is installed: node steal.js'])
  })

  test('rejects a file that npm compiles when it installs the package', () => {
    write(`${installed}/nested/binding.gyp`, {})
    expect(problems()).toEqual([
      'nested@2.0.0 runs a script when it is installed: node-gyp rebuild',
    ])
    plant({ gypfile: false })
    expect(problems()).toEqual([])
  })

  test('rejects a script of a published package', () => {
    write('packages/app/package.json', {
      ...{ name: '@stowage/app', version: '1.0.0', license: 'MIT' },
      scripts: { postinstall: 'node banner.js' },
    })
    expect(problems()).toEqual([
      '@stowage/app@1.0.0 runs a script when it is installed: node banner.js',
    ])
  })

  test.each(['GPL-3.0-only', 'SEE LICENSE IN LICENSE', undefined])(
    'rejects the licence %s',
    (license) => {
      plant({ license })
      expect(problems()).toEqual([`nested@2.0.0 has the licence ${JSON.stringify(license)}`])
    },
  )

  test('rejects a dependency that is not installed, as nothing is known of it', () => {
    rmSync(join(workspace, installed, 'nested'), { recursive: true })
    expect(problems()).toEqual(['nested@2.0.0 is not installed: npm run build'])
  })
})

/** Changes the manifest of the dependency of the dependency. */
function plant(manifest: object): void {
  write(`${installed}/nested/package.json`, { license: 'MIT', ...manifest })
}

function write(path: string, content: object): void {
  const file = join(workspace, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, JSON.stringify(content))
}

function problems(): string[] {
  return dependencyProblems(workspace)
}
