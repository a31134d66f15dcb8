// The blocks of docs/bridges.md in a project outside the workspace, which has the tarballs and the libraries: as ES modules,
// and as CommonJS modules where the library is one.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compile } from './application.ts'
import { PackageSet, tool } from './package-set.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const packages = new PackageSet()
const text = readFileSync(join(root, 'docs/bridges.md'), 'utf8')
/** The first block of each section that shows how to use it. */
const blocks = [
  ...text.matchAll(/^## (.+)\n(?:(?!^## )[\s\S])*?^### Use\n[\s\S]*?^```ts\n([\s\S]*?)^```/gm),
].map(([, name = '', code = ''], index) => ({ name, code, file: `bridges/block-${index}` }))
/** Sections whose libraries are ES modules only. */
const esmOnly = [
  'better-auth',
  'ocache',
  'bentocache',
  'nextjs-auth0',
  'hono-sessions and @hono/session',
]

beforeAll(async () => {
  await packages.unpack()
  for (const modules of ['node_modules', 'test/bridges/node_modules']) link(join(root, modules))
})
afterAll(() => packages.remove())

/** Installs the libraries of a folder, except the packages of the workspace. */
function link(modules: string): void {
  const names = readdirSync(modules).filter((name) => !/^\.|^@stowage$/.test(name))
  const scoped = names.flatMap((name) =>
    name.startsWith('@')
      ? readdirSync(join(modules, name)).map((each) => `${name}/${each}`)
      : [name],
  )
  for (const name of scoped) {
    const path = join(packages.folder, 'node_modules', name)
    if (existsSync(path)) continue
    mkdirSync(dirname(path), { recursive: true })
    symlinkSync(realpathSync(join(modules, name)), path)
  }
}

/** CommonJS has no `await` outside of a function. */
function asCommonJs(code: string): string {
  const [imports, rest] = [code.match(/^import .*$/gm) ?? [], code.replace(/^import .*$/gm, '')]
  return `${imports.join('\n')}\nvoid (async () => {${rest.replace(/^export /gm, '')}})()\n`
}

test('there is a block for each section', () => {
  expect(blocks.length).toBeGreaterThanOrEqual(17)
})

test.each(blocks)('$name compiles and runs as an ES module', async ({ code, file }) => {
  const source = packages.write(`${file}.mts`, code)
  await compile(packages, tool('typescript-7', 'bin/tsc'), ['nodenext', 'nodenext'], source)
})

test.each(blocks.filter(({ name }) => !esmOnly.includes(name)))(
  '$name compiles as a CommonJS module',
  async ({ code, file }) => {
    const source = packages.write(`${file}.cts`, asCommonJs(code))
    await compile(packages, tool('typescript-7', 'bin/tsc'), ['nodenext', 'nodenext'], source)
  },
)
