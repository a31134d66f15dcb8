import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { differences } from '../scripts/lib/tarballs.mjs'

const execute = promisify(execFile)
const script = fileURLToPath(new URL('../scripts/release-verify.mjs', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'stowage-verify-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('differences', () => {
  const [first, second] = [join(folder, 'first'), join(folder, 'second')]

  test('finds none between equal folders', () => {
    for (const to of [first, second]) {
      write(`${to}/app.cdx.json`, '{}')
      tar(to, 'app.tgz', { 'dist/index.js': '1', 'README.md': 'App' })
    }
    expect(differences(first, second)).toEqual([])
  })

  test('names the files in which tarballs differ', () => {
    tar(second, 'app.tgz', { 'dist/index.js': '2', 'README.md': 'App', 'dist/more.js': '' })
    expect(differences(first, second)).toEqual([
      'app.tgz: package/dist/index.js',
      'app.tgz: package/dist/more.js',
    ])
  })

  test('notices another compression of the same files', () => {
    tar(second, 'app.tgz', { 'dist/index.js': '1', 'README.md': 'App' }, '-1')
    expect(differences(first, second)).toEqual([expect.stringMatching(/^app.tgz: the same files/)])
  })

  test('notices a file that is missing or another one', () => {
    tar(second, 'app.tgz', { 'dist/index.js': '1', 'README.md': 'App' })
    write(`${second}/app.cdx.json`, '{ }')
    write(`${second}/new.tgz`, '')
    expect(differences(first, second)).toEqual([
      'app.cdx.json',
      `${join(first, 'new.tgz')} does not exist`,
    ])
  })
})

// With a small repository and a registry in this process. The repository packs like this one, in no time.
describe('release:verify of a published version', () => {
  const repository = join(folder, 'repository')
  const manifest = JSON.stringify({
    ...{ name: '@stowage/core', version: '1.0.0' },
    repository: { url: 'git+https://github.com/owner/name.git' },
  })
  let registry: Server
  let url: string
  let published: Buffer

  beforeAll(async () => {
    const packer = `
      import { execFileSync } from 'node:child_process'
      import { mkdirSync, writeFileSync } from 'node:fs'
      const [destination, repository] = process.argv.slice(2)
      if (repository !== 'owner/name') throw new Error(repository)
      mkdirSync(destination, { recursive: true })
      const options = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--mode=644', '-I', 'gzip -n']
      const file = destination + '/stowage-core-1.0.0.tgz'
      execFileSync('tar', [...options, '-cf', file, '--transform=s,^core,package,', 'core/package.json', 'core/index.js'], { cwd: 'packages' })
      writeFileSync(destination + '/core.cdx.json', '{}')`
    write(`${repository}/scripts/pack.mjs`, packer)
    write(`${repository}/packages/core/package.json`, manifest)
    write(`${repository}/packages/core/index.js`, 'export const tagged = true')
    git('init', '--quiet')
    git('add', '.')
    git('-c', 'user.name=a', '-c', 'user.email=a@example.com', 'commit', '--quiet', '-m', 'First')
    git('tag', '@stowage/core@1.0.0')
    write(`${repository}/packages/core/index.js`, 'export const later = true')
    registry = createServer((request, response) => {
      const isTarball = request.url?.endsWith('.tgz')
      response.end(isTarball ? published : JSON.stringify(packument()))
    })
    await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(registry.address() as AddressInfo).port}`
  })
  afterAll(() => registry.close())

  test('accepts what the tag contains', async () => {
    published = pack({ 'index.js': 'export const tagged = true' })
    expect(await verify('--from', url)).toMatch(/owner\/name.*All tarballs are equal/s)
  })

  test('rejects a tarball that contains something else', async () => {
    published = pack({ 'index.js': 'export const stolen = true' })
    expect(await verify('--from', url)).toContain('core-1.0.0.tgz: package/index.js')
  })

  test('reads tarballs from a folder', async () => {
    writeFileSync(join(folder, 'packed/stowage-core-1.0.0.tgz'), published)
    expect(await verify('--from', join(folder, 'packed'))).toContain('package/index.js')
  })

  function packument() {
    const integrity = `sha512-${createHash('sha512').update(published).digest('base64')}`
    const dist = { integrity, tarball: `${url}/core.tgz` }
    const version = { name: '@stowage/core', version: '1.0.0', dist }
    return { name: '@stowage/core', versions: { '1.0.0': version } }
  }

  /** As the script of the repository packs. */
  function pack(files: Record<string, string>): Buffer {
    return readFileSync(
      tar(join(folder, 'packed'), 'stowage-core-1.0.0.tgz', { 'package.json': manifest, ...files }),
    )
  }

  function git(...args: string[]): void {
    execFileSync('git', args, { cwd: repository })
  }

  /** What the script prints. npm caches nothing, because tests publish the same version several times. */
  async function verify(...args: string[]): Promise<string> {
    const env = { ...process.env, npm_config_cache: mkdtempSync(join(folder, 'npm-')) }
    const options = { cwd: repository, env }
    const result = await execute(process.execPath, [script, '1.0.0', ...args], options).catch(
      (error) => error,
    )
    return result.stdout + result.stderr
  }
})

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

/** Writes a tarball whose bytes depend on the files only. Returns its path. */
function tar(to: string, name: string, files: Record<string, string>, level = '-6'): string {
  const source = mkdtempSync(join(folder, 'source-'))
  for (const [file, text] of Object.entries(files)) write(join(source, 'package', file), text)
  mkdirSync(to, { recursive: true })
  const paths = Object.keys(files).map((file) => `package/${file}`)
  const fixed = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--mode=644']
  const options = ['-I', `gzip -n ${level}`, '-cf', join(to, name)]
  execFileSync('tar', [...fixed, ...options, ...paths], { cwd: source })
  return join(to, name)
}
