// What every consumer depends on, with one compiler and one kind of module resolution. The full tier installs the
// packages with npm, and has the other compilers, resolutions, bundlers and test runners: consumers.full.test.ts.
import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  asRequires,
  compile,
  imports,
  importsIn,
  importTesting,
  program,
  use,
} from './application.ts'
import { importsOf, manifestOf, PackageSet, tool } from './package-set.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const packages = new PackageSet()

beforeAll(() => packages.unpack())
afterAll(() => packages.remove())

describe.each(packages.names)('the tarball of @stowage/%s', (name) => {
  test('has no problem that publint finds', async () => {
    const { buffer: tarball } = new Uint8Array(readFileSync(packages.tarballOf(name)))
    const { messages, pkg } = await publint({ pack: { tarball }, strict: true })
    expect(messages.map((message) => formatMessage(message, pkg as never))).toEqual([])
  })

  test('contains what it is built from, its README and its licence, and nothing else', () => {
    const folder = join(packages.folder, 'node_modules/@stowage', name)
    const { files, man, bin } = manifestOf(name)
    const expected = ['LICENSE', 'README.md', 'package.json', ...files]
    expect(readdirSync(folder).sort()).toEqual(expected.sort())
    const more = [...(man ? ['man', 'schema.json'] : []), ...(bin ? ['bin'] : [])]
    const known = ['dist', 'src', ...more, ...(name === 'telemetry' ? ['grafana'] : [])]
    expect(files.toSorted()).toEqual(known.sort())
    const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    expect(sources.filter((file) => /\.test\.|\.env|\.tsbuildinfo|secret$/.test(file))).toEqual([])
  })

  test('contains no module that V8 keeps with two bytes per character', () => {
    const dist = join(packages.folder, 'node_modules/@stowage', name, 'dist')
    for (const file of readdirSync(dist).filter((each) => /\.c?js$/.test(each)))
      expect(/[^\0-\xff]/.exec(readFileSync(join(dist, file), 'utf8'))?.[0], file).toBeUndefined()
  })

  test('imports only what it declares as a dependency', () => {
    const { dependencies = {}, peerDependencies = {} } = manifestOf(name)
    const declared = [...Object.keys(dependencies), ...Object.keys(peerDependencies)]
    const folder = join(packages.folder, 'node_modules/@stowage', name, 'dist')
    for (const [file, imported] of importsIn(folder)) {
      if (imported === `@stowage/${name}` || builtinModules.includes(imported)) continue
      expect(declared, `${file} imports ${imported}`).toContain(imported)
      // Without its types, an import is of type `any`, or an error.
      if (/\.d\.c?ts$/.test(file)) expect(hasTypes(imported, declared), imported).toBe(true)
    }
  })
})

// Those of Express and its middlewares require the types of any Node, and npm installs the latest beside those of the
// application. An optional peer dependency, or a type of its own, does not.
test('no package installs types in production', () => {
  const types = packages.names.flatMap((name) =>
    Object.keys(manifestOf(name).dependencies ?? {}).filter((each) => each.startsWith('@types/')),
  )
  expect(types).toEqual([])
})

describe('an application with the packages', () => {
  test('compiles as ES module and as CommonJS module, with TypeScript 7 and nodenext', async () => {
    const text = imports + importTesting + program
    const files = ['mts', 'cts'].map((type) => packages.write(`app.${type}`, text))
    await compile(packages, tool('typescript-7', 'bin/tsc'), ['nodenext', 'nodenext'], ...files)
  })

  test('imports the packages', async () => {
    const all = packages.names
      .flatMap(importsOf)
      .map((id) => `import '${id}'\n`)
      .join('')
    const file = packages.write('app.mjs', all + imports + use)
    expect(await packages.node([file])).toBe('1 function')
  })

  test('requires the packages in a version of Node that cannot require ES modules', async () => {
    const all = packages.names
      .flatMap(importsOf)
      .map((id) => `require('${id}')\n`)
      .join('')
    const file = packages.write('app.cjs', all + asRequires(imports) + use)
    expect(await packages.node(['--no-experimental-require-module', file])).toBe('1 function')
  })
})

// The full tier has the other bundlers, with the settings of docs/bundling.md.
test('esbuild bundles the first block of the README, and leaves out drivers that are not installed', async () => {
  packages.uninstall('memcached')
  const [, code = ''] =
    /^```ts\n(.*?)^```/ms.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? []
  const entryPoint = packages.write('bundled/readme.mjs', code)
  const js = `import { createRequire as createNodeRequire } from 'node:module'; const require = createNodeRequire(import.meta.url)`
  const outfile = join(packages.folder, 'bundled/bundle.mjs')
  const { warnings } = await build({
    ...{ entryPoints: [entryPoint], outfile, nodePaths: [], logLevel: 'silent' },
    ...{ bundle: true, platform: 'node', format: 'esm', banner: { js } },
  })
  expect(warnings).toEqual([])
  expect(await packages.node([outfile])).toBe('Ada')
  const failing = packages.node([outfile], undefined, { CACHE_DRIVER: 'memcached' })
  await expect(failing).rejects.toThrow('npm install @stowage/memcached')
})

function hasTypes(name: string, declared: readonly string[]): boolean {
  if (declared.includes(`@types/${name}`)) return true
  const manifest = join(packages.folder, 'node_modules', name, 'package.json')
  return /"(types|typings)":/.test(readFileSync(manifest, 'utf8'))
}
