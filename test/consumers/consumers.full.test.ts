import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  asRequires,
  compile,
  imports,
  importsIn,
  importsOfPlainTypes,
  importTesting,
  program,
  use,
} from './application.ts'
import { importsOf, PackageSet, tool } from './package-set.ts'

// Compilers and npm take long on a slow machine.
vi.setConfig({ testTimeout: 180_000 })

const packages = new PackageSet()

beforeAll(() => packages.install(), 400_000)
afterAll(() => packages.remove())

describe.each(packages.names)('the tarball of @stowage/%s', (name) => {
  test('has types for every kind of import', async () => {
    const tarball = new Uint8Array(readFileSync(packages.tarballOf(name)))
    const analysis = await checkPackage(createPackageFromTarballData(tarball))
    expect(analysis.types && 'problems' in analysis && analysis.problems).toEqual([])
  })
})

describe('an installation', () => {
  test('is complete without the scripts of dependencies', async () => {
    const all = packages.names
      .flatMap(importsOf)
      .map((id) => `import '${id}'\n`)
      .join('')
    const file = packages.write(
      'without-scripts.mjs',
      `${all}
      import { Cache } from '@stowage/core'
      import { lmdb } from '@stowage/lmdb'
      import { msgpack } from '@stowage/msgpack'
      const cache = new Cache(lmdb({ path: './data' }), { codec: msgpack() })
      await cache.set('a', new Date(0))
      console.log((await cache.get('a')).getTime())
      await cache.close()`,
    )
    expect(await packages.node([file])).toBe('0')
  })

  // Their scripts compile the binary on platforms without a prebuilt package.
  test('runs scripts of two native modules only, where npm is told to run them', async () => {
    const tarballs = packages.names.map((name) => packages.tarballOf(name))
    expect(await packages.scriptsOfInstallation(...tarballs)).toEqual(['lmdb', 'msgpackr-extract'])
  })

  test('with a script in another dependency is noticed', async () => {
    const manifest = { name: 'planted', version: '1.0.0', scripts: { postinstall: 'echo stolen' } }
    packages.write('planted/package.json', JSON.stringify(manifest))
    const scripts = await packages.scriptsOfInstallation(await packages.pack('planted'))
    expect(scripts).toEqual(['planted'])
  })
})

describe.each([
  { name: 'TypeScript 5', compiler: tool('typescript', 'lib/tsc.js') },
  { name: 'TypeScript 7', compiler: tool('typescript-7', 'bin/tsc') },
])('$name', ({ compiler }) => {
  test.each([
    ['nodenext', 'nodenext'],
    ['node16', 'node16'],
    ['preserve', 'bundler'],
  ])('compiles ES modules and CommonJS with the module option %s', async (module, resolution) => {
    const text = imports + importTesting + program
    const files = ['mts', 'cts'].map((type) => packages.write(`${module}.${type}`, text))
    await compile(packages, compiler, [module, resolution], ...files)
  })
})

// TypeScript 7 does not have this resolution. It does not find the types of fast-check, to which `testing` refers.
test('TypeScript 5 compiles CommonJS with the resolution node10', async () => {
  const file = packages.write('node10.cts', imports + program)
  await compile(packages, tool('typescript', 'lib/tsc.js'), ['commonjs', 'node10'], file)
})

// They declare the parameters of a TracingChannel in another order than those of earlier versions.
test('the declarations compile with the types of Node 26', async () => {
  await packages.installIn('node-26', '@types/node@26.6.6', 'undici-types@8.9.0')
  const file = packages.write('node-26/app.mts', importsOfPlainTypes)
  const types = [
    '--types',
    'node',
    '--typeRoots',
    join(packages.folder, 'node-26/node_modules/@types'),
  ]
  await compile(packages, tool('typescript-7', 'bin/tsc'), ['nodenext', 'nodenext'], ...types, file)
})

const guides = ['README.md', 'docs/getting-started.md']
test.each(guides)('the blocks of %s compile after its npm install lines', async (guide) => {
  const readme = readFileSync(new URL(`../../${guide}`, import.meta.url), 'utf8')
  const folder = guide.replaceAll(/\W/g, '-')
  const installed = [...readme.matchAll(/^npm install ([^#\n]*)/gm)].flatMap(([, names]) =>
    (names as string).trim().split(/\s+/),
  )
  const matches = readme.matchAll(/^```ts(?: title=[^\n]*)?\n(.*?)^```/gms)
  const blocks = [...matches].map(([, code]) => code as string)
  const files = blocks.map((code, index) => packages.write(`${folder}/${index}.mts`, code))
  expect(files.length).toBeGreaterThan(0)
  expect(files.length).toBe([...readme.matchAll(/^```ts/gm)].length)
  for (const [file, name] of importsIn(join(packages.folder, folder))) {
    expect(installed, `${file} imports ${name}`).toContain(name)
  }
  const types = installed.flatMap((name) => name.match(/(?<=^@types\/).*/) ?? [])
  const declared = types.length === 0 ? [] : ['--types', types.join(',')]
  const compiler = tool('typescript-7', 'bin/tsc')
  await compile(packages, compiler, ['nodenext', 'nodenext'], ...declared, ...files)
})

describe.each([
  { name: 'TypeScript 5', compiler: tool('typescript', 'lib/tsc.js') },
  { name: 'TypeScript 7', compiler: tool('typescript-7', 'bin/tsc') },
])('with $name', ({ name, compiler }) => {
  test('the driver of docs/write-a-driver.md passes its tests, after the commands of the page', async () => {
    const page = read('docs/write-a-driver.md')
    const folder = `driver-guide-${name.at(-1)}`
    const [driver = '', suite = ''] = blocksOf(page)
    packages.write(`${folder}/package.json`, '{ "type": "module" }')
    packages.write(`${folder}/tiny-driver.ts`, driver)
    packages.write(`${folder}/tiny.test.ts`, suite)
    const [, tsc = '', run = ''] = /^npx tsc (.*)\nnode (.*)$/m.exec(page) ?? []
    const path = join(packages.folder, folder)
    await packages.node([compiler, ...tsc.split(' ')], path)
    expect(await packages.node(['--test-reporter=tap', ...run.split(' ')], path)).toContain(
      '# fail 0',
    )
  })

  test('the types of a session in docs/sessions.md compile with the options of tsc --init', async () => {
    const folder = `augmentation-${name.at(-1)}`
    const code = blocksOf(read('docs/sessions.md')).find((block) =>
      block.includes('declare module'),
    )
    packages.write(`${folder}/package.json`, '{ "type": "module" }')
    packages.write(`${folder}/app.ts`, code ?? '')
    const path = join(packages.folder, folder)
    await packages.node([compiler, '--init'], path)
    await packages.node([compiler, '--noEmit', '-p', '.'], path)
  })
})

describe('an application in JavaScript', () => {
  test('imports the packages', async () => {
    const file = packages.write('app.mjs', imports + use)
    expect(await packages.node([file])).toBe('1 function')
  })

  test('requires the packages in a version of Node that cannot require ES modules', async () => {
    const file = packages.write('app.cjs', asRequires(imports) + use)
    expect(await packages.node(['--no-experimental-require-module', file])).toBe('1 function')
  })

  test('selects drivers without importing, as in Jest', async () => {
    const file = packages.write(
      'drivers.cjs',
      `const { cachesFromEnv } = require('@stowage/core')
      const { standardDrivers } = require('@stowage/drivers')
      cachesFromEnv({ CACHE_DRIVER: 'redis' }, standardDrivers()).then(async (caches) => {
        console.log(caches.use().driver, Object.keys(require.cache).some((file) => /redis.dist.index.cjs/.test(file)))
        await caches.close()
      })`,
    )
    expect(await packages.node([file])).toBe('redis true')
  })

  test('may load both module formats', async () => {
    const file = packages.write(
      'both.mjs',
      `${imports}
      import { createRequire } from 'node:module'
      import { subscribe } from 'node:diagnostics_channel'
      const other = createRequire(import.meta.url)('@stowage/core')
      const events = []
      subscribe('stowage:miss', ({ key }) => events.push(key))
      await new Cache(memory()).get('imported')
      await new other.Cache(memory()).get('required')
      const error = new other.CacheError('ERR_CACHE_CONFIG', 'x')
      console.log(events.join(), error instanceof CacheError, CacheError.is(error))`,
    )
    expect(await packages.node([file])).toBe('imported,required false true')
  })

  test.each(['esm', 'cjs'] as const)('is bundled by esbuild as %s', async (format) => {
    const outfile = join(packages.folder, format === 'esm' ? 'bundle.mjs' : 'bundle.cjs')
    const entry = packages.write(`entry-${format}.mjs`, imports + use)
    // The CommonJS modules in a bundle of ES modules require the modules of Node.
    const js = `import { createRequire as createNodeRequire } from 'node:module'; const require = createNodeRequire(import.meta.url)`
    const banner = format === 'esm' ? { js } : {}
    await build({ entryPoints: [entry], bundle: true, platform: 'node', format, outfile, banner })
    expect(await packages.node([outfile])).toBe('1 function')
  })
})

test.each([
  { name: 'jest', runner: tool('jest', 'bin/jest.js'), args: ['--ci', '--runInBand'] },
  { name: 'ts-jest', runner: tool('jest', 'bin/jest.js'), args: ['--ci', '--runInBand'] },
  { name: 'vitest', runner: tool('vitest', 'vitest.mjs'), args: ['run'] },
])('a project can be tested with $name', async ({ name, runner, args }) => {
  const folder = join(packages.folder, name)
  cpSync(fileURLToPath(new URL(`projects/${name}`, import.meta.url)), folder, { recursive: true })
  packages.write(`${name}/ts-jest.json`, JSON.stringify(tool('ts-jest', 'dist/index.js')))
  await packages.node([runner, ...args], folder)
})

function read(page: string): string {
  return readFileSync(new URL(`../../${page}`, import.meta.url), 'utf8')
}

function blocksOf(page: string): string[] {
  return [...page.matchAll(/^```ts(?: title=[^\n]*)?\n(.*?)^```/gms)].map(
    ([, code]) => code as string,
  )
}
