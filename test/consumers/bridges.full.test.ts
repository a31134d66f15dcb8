// The blocks of docs/bridges.md as a stranger uses them: each in a project that has only what the section installs, as ES
// module and as CommonJS module.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PackageSet, tool } from './package-set.ts'

/** A library whose page says how to install it. */
interface Section {
  readonly title: string
  /** The folder of its project. */
  readonly project: string
  readonly installed: readonly string[]
  readonly blocks: readonly string[]
}

const page = readFileSync(new URL('../../docs/bridges.md', import.meta.url), 'utf8')
const sections = page
  .split(/^## /m)
  .map(sectionOf)
  .filter(({ installed }) => installed.length > 0)
/**
 * Libraries with declarations that do not compile without packages that they do not install: those of React, of Cacheable and
 * of what they have drivers for. Errors in their own files are ignored.
 */
const incomplete =
  /node_modules\/(unstorage|db0|@adonisjs\/\w+|bentocache|@boringnode\/bus|@better-auth\/core|@nestjs\/cache-manager|react-router|next)\//
const packages = new PackageSet()

/** What the compiler does not accept: file, line and message. */
let errors: string[] = []

beforeAll(async () => {
  await packages.packAll()
  const wanted = sections.map((section) => [section.project, [...section.installed, '@types/node']])
  await packages.installProjects(Object.fromEntries(wanted))
  errors = await compileAll()
}, 400_000)
afterAll(() => packages.remove())

test('each entry point of @stowage/bridges is used by a block of at most ten lines', () => {
  const { exports } = JSON.parse(
    readFileSync(new URL('../../packages/bridges/package.json', import.meta.url), 'utf8'),
  )
  const blocks = sections.flatMap((section) => section.blocks)
  const short = blocks.filter((code) => code.split('\n').filter(Boolean).length <= 10).join()
  for (const path of Object.keys(exports).filter((each) => !each.endsWith('.json'))) {
    expect(short).toContain(`'@stowage/bridges${path.slice(1)}'`)
  }
})

test('the declarations of the packages and of the libraries compile', () => {
  const inLibraries = errors.filter((error) => error.startsWith('node_modules/'))
  expect(inLibraries.filter((error) => !incomplete.test(error.split('(')[0] as string))).toEqual([])
})

test.each(sections)('$title: compiles and runs', async ({ project, blocks }) => {
  expect(errors.filter((error) => error.startsWith(`${project}/`))).toEqual([])
  for (const [index, code] of blocks.entries()) {
    const promised = [...code.matchAll(/\/\/ → (.*)$/gm)].map(([, text]) => text).join('\n')
    for (const type of ['mjs', 'cjs']) {
      expect(await packages.node([`${project}/block-${index}.${type}`])).toBe(promised)
    }
  }
})

/** Compiles the blocks beside their sources, in one run, which is faster than one for each project. Returns the errors. */
async function compileAll(): Promise<string[]> {
  const files = sections.flatMap(({ project, blocks }) =>
    blocks.flatMap((code, index) => [
      packages.write(`${project}/block-${index}.mts`, code),
      packages.write(`${project}/block-${index}.cts`, asCommonJs(code)),
    ]),
  )
  const typeRoots = join(packages.folder, 'keyv/node_modules/@types')
  const modules = ['--module', 'nodenext', '--target', 'es2022']
  const checks = [
    '--strict',
    '--skipLibCheck',
    'false',
    '--types',
    'node',
    '--typeRoots',
    typeRoots,
  ]
  const args = [tool('typescript-7', 'bin/tsc'), '--pretty', 'false', ...modules, ...checks]
  const output = await packages.node([...args, ...files]).catch(({ message }) => message)
  return output.match(/^.*: error TS.*$/gm) ?? []
}

function sectionOf(text: string): Section {
  const title = text.slice(0, text.indexOf('\n'))
  const lines = [...text.matchAll(/^npm install (?:--save-dev )?(.*)$/gm)].map(([, line]) => line)
  const names = lines.flatMap((line = '') =>
    line.replace(/# (or )?(with|for|on) .*/, '').split(' '),
  )
  return {
    title,
    project: title.toLowerCase().replaceAll(/\W+/g, '-').replace(/^-/, ''),
    installed: names.map((name) => name.replace(/(?<=.)@.*/, '')).filter(isPackage),
    blocks: [...text.matchAll(/^```ts.*\n([\s\S]*?)^```/gm)].map(([, code = '']) => code),
  }
}

/** `# or` stands before another library. */
function isPackage(word: string): boolean {
  return /^[@a-z]/.test(word) && word !== 'or'
}

/** CommonJS has no `await` outside of a function. */
function asCommonJs(code: string): string {
  if (!/^(const .* = )?\(?await /m.test(code) && !/^\w.*\(await /m.test(code)) return code
  const imports = code.match(/^import .*$/gm) ?? []
  const rest = code.replaceAll(/^import .*$/gm, '').replaceAll(/^export /gm, '')
  return `${imports.join('\n')}\nvoid (async () => {${rest}})()\n`
}
