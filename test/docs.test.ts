import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { headingIds, mapLinks } from '../scripts/lib/markdown.mjs'
import { semanticsPage } from '../scripts/lib/semantics-page.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (file: string) => readFileSync(join(root, file), 'utf8')

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'benchmarks/README.md',
  'benchmarks/results.md',
  ...filesIn('docs').filter((name) => name.endsWith('.md')),
  ...['packages', 'examples'].flatMap((folder) => [
    ...readdirSync(join(root, folder)).map((name) => `${folder}/${name}/README.md`),
  ]),
  'examples/README.md',
].filter((file) => existsSync(join(root, file)))

test.each(pages)('the links of %s lead to a file and to a heading', (page) => {
  const broken: string[] = []
  mapLinks(read(page), (path, hash) => {
    const target = path === '' ? page : posix.join(dirname(page), path)
    if (!leadsSomewhere(target, hash)) broken.push(`${path}${hash}`)
    return path
  })
  expect(broken).toEqual([])
})

test('the JavaScript in the pages has no syntax error', () => {
  const blocks = pages.flatMap((page) => [...read(page).matchAll(/^```js\n(.*?)^```/gms)])
  expect(blocks.length).toBeGreaterThan(0)
  for (const [, code = ''] of blocks) {
    const check = ['--check', '--input-type=module', '-']
    execFileSync(process.execPath, check, { input: code, stdio: ['pipe', 'ignore', 'inherit'] })
  }
})

test('the pages of all drivers have the same headings', () => {
  const headings = filesIn('docs/drivers').map((file) => headingIds(read(file)).slice(1))
  expect(headings.length).toBeGreaterThan(4)
  for (const each of headings) expect(each).toEqual(headings[0])
})

test('each command names the scope: npx would fetch the package of anybody that has the name', () => {
  const sources = readdirSync(join(root, 'packages')).flatMap((name) =>
    filesIn(`packages/${name}/src`),
  )
  const files = [...pages, ...sources.filter((name) => name.endsWith('.ts'))]
  const commands = files.flatMap(
    (file) => read(file).match(/npx (?:-\S+ )*(?:stowage|doctor)\S*/g) ?? [],
  )
  expect(commands).toEqual([])
})

describe('a reader has what a block imports', () => {
  const published = readdirSync(join(root, 'packages')).filter(
    (name) => !JSON.parse(read(`packages/${name}/package.json`)).private,
  )
  const readmes = published.map((name) => `packages/${name}/README.md`)
  const guides = pages.filter((page) => page.startsWith('docs/'))

  test.each(readmes)('%s installs the package, and what its blocks import', (page) => {
    const [, name] = page.split('/')
    expect(installedBy(page)).toEqual(
      expect.arrayContaining([`@stowage/${name}`, ...importedBy(page)]),
    )
  })

  // Libraries such as pg and knex belong to the application that the reader has.
  test.each(guides)('%s installs the packages that Getting started has not', (page) => {
    const installed = [...installedBy('docs/getting-started.md'), ...installedBy(page)]
    const own = importedBy(page).filter((name) => name.startsWith('@stowage/'))
    expect(installed).toEqual(expect.arrayContaining(own))
  })
})

test('docs/semantics.md is current: node scripts/write-docs.mjs', async () => {
  expect(read('docs/semantics.md')).toBe(await semanticsPage())
})

test('docs/errors.md has each code of an error and of a warning, and each channel', () => {
  const text = read('docs/errors.md')
  const published = readdirSync(join(root, 'packages')).filter((name) => !/^test/.test(name))
  const sources = published.flatMap((name) => filesIn(`packages/${name}/src`))
  const code = sources
    .filter((file) => file.endsWith('.ts'))
    .map(read)
    .join('\n')
  const defined = namesIn(read('packages/core/src/errors.ts'), /^ {2}\| '(ERR_CACHE_\w+)'/gm)
  expect(
    headingIds(text)
      .filter((id) => id.startsWith('err_'))
      .map((id) => id.toUpperCase()),
  ).toEqual(defined)
  const warnings = namesIn(code, /code: '(STOWAGE_\w+)'/g)
  expect(warnings.length).toBeGreaterThan(2)
  const channels = namesIn(code, /channel\('(stowage:[\w:-]+)'\)/g)
  expect(channels.length).toBeGreaterThan(10)
  for (const name of [...warnings, ...channels]) expect(text).toContain(`\`${name}\``)
})

test('docs/versions.md has each runtime dependency with its version', () => {
  const text = read('docs/versions.md')
  for (const name of readdirSync(join(root, 'packages'))) {
    const manifest = JSON.parse(read(`packages/${name}/package.json`))
    if (manifest.private) continue
    const ranges: Record<string, string> = {
      ...manifest.dependencies,
      ...manifest.peerDependencies,
    }
    for (const [dependency, range] of Object.entries(ranges)) {
      if (dependency.startsWith('@stowage/')) continue
      const row = text.split('\n').find((line) => line.includes(`\`${dependency}\``))
      expect(row, dependency).toContain(`\`${range}\``)
      expect(row, dependency).toContain(` ${name} `)
    }
  }
})

test('SECURITY.md names a test for each protection', () => {
  const rows = read('SECURITY.md').match(/^\| (?!\*|threat|---).*$/gm) ?? []
  expect(rows.length).toBeGreaterThan(15)
  for (const row of rows) {
    const [, file, name] = /`([^`]+\.test\.ts)`: (.*) \|$/.exec(row) ?? []
    expect(read(file as string), row).toContain(`'${name}'`)
  }
})

function installedBy(page: string): string[] {
  const lines = read(page).matchAll(/npm install ([^#`\n]*)/g)
  return [...lines].flatMap(([, names = '']) => names.trim().split(/\s+/))
}

/** The packages that the blocks of a page import, except for types. */
function importedBy(page: string): string[] {
  const blocks = [...read(page).matchAll(/^```[jt]s.*\n([\s\S]*?)^```/gm)].map(([, code]) => code)
  const imports = blocks
    .join('\n')
    .matchAll(/^(?:import (?!type ).*|\} )from '((?:@[\w-]+\/)?[\w-]+)/gm)
  const names = [...imports].map(([, name]) => name as string)
  return [...new Set(names)].filter((name) => name !== 'node' && !builtinModules.includes(name))
}

function leadsSomewhere(target: string, hash: string): boolean {
  const path = join(root, target)
  if (!existsSync(path)) return false
  const page = statSync(path).isDirectory() ? join(target, 'README.md') : target
  if (hash === '') return true
  return page.endsWith('.md') && headingIds(read(page)).includes(hash.slice(1))
}

function namesIn(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map(([, name]) => name as string))]
}

function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
    posix.join(folder, name),
  )
}
