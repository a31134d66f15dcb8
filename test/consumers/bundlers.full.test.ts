import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Cache } from '@stowage/core'
import { redis } from '@stowage/redis'
import { type RedisServer, startRedis } from '@stowage/test-servers'
import { transform } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Configuration, webpack as Webpack } from 'webpack'
import { toolPath } from '../../scripts/lib/prepare.mjs'
import { PackageSet, tool } from './package-set.ts'

const page = readFileSync(new URL('../../docs/bundling.md', import.meta.url), 'utf8')
const packages = new PackageSet()
const require = createRequire(import.meta.url)
const tools = {
  esbuild: tool('esbuild', 'bin/esbuild'),
  rolldown: toolPath('rolldown', 'bin/cli.mjs'),
  rollup: tool('rollup', 'dist/bin/rollup'),
}
/** Calls the handler of a bundle as Lambda does: it never closes the caches. */
const runner = `
import { createRequire } from 'node:module'
const [file] = process.argv.slice(2)
const { handler } = file.endsWith('.cjs') ? createRequire(import.meta.url)(file) : await import(file)
console.log(await handler({ id: '1' }).then(JSON.stringify, (error) => error.message))
process.exit()`
let server: RedisServer

// An application that has installed the driver for Redis only, and the commands and settings of docs/bundling.md.
beforeAll(async () => {
  server = await startRedis()
  await packages.unpack()
  packages.uninstall('memcached', 'dynamodb', 'lmdb', 'postgres')
  packages.linkTools(
    ...['commonjs', 'json', 'node-resolve'].map((name) => `@rollup/plugin-${name}`),
  )
  packages.write('run.mjs', runner)
  for (const [, file = '', code = ''] of page.matchAll(/^```\w+ title="(.*?)"\n(.*?)^```/gms)) {
    packages.write(file === 'handler' ? 'handler.ts' : file, code)
  }
  const source = readFileSync(join(packages.folder, 'handler.ts'), 'utf8')
  packages.write('handler.js', (await transform(source, { loader: 'ts' })).code)
})
afterAll(async () => {
  await server.stop()
  packages.remove()
})

/** Runs what a bundler wrote in the memory of the process, in Redis, and with a driver that was not installed. */
async function expectToRun(...files: string[]): Promise<void> {
  for (const file of files) {
    const run = (variables: NodeJS.ProcessEnv) =>
      packages.node(['run.mjs', `./dist/${file}`], packages.folder, variables)
    expect(await run({})).toBe('{"id":"1","name":"Ada"}')
    const variables = { CACHE_DRIVER: 'redis', REDIS_URL: server.url, CACHE_PREFIX: `${file}:` }
    expect(await run(variables)).toBe('{"id":"1","name":"Ada"}')
    await using cache = new Cache(redis({ url: server.url }), { prefix: `${file}:` })
    expect(await cache.get('user:1')).toEqual({ id: '1', name: 'Ada' })
    expect(await run({ CACHE_DRIVER: 'memcached' })).toContain('npm install @stowage/memcached')
  }
}

const commandsOf = (bundler: string) =>
  [...page.matchAll(/^npx (\w+) .*$/gm)]
    .filter(([, name]) => name === bundler)
    .map(([line]) => line.slice(4))

describe.each(['esbuild', 'rolldown'])('the commands for %s', (bundler) => {
  test('write a CommonJS module and an ES module that run', async () => {
    const commands = commandsOf(bundler)
    expect(commands.length).toBe(2)
    for (const command of commands) await packages.shell(command, tools)
    await expectToRun(`${bundler}.cjs`, `${bundler}.mjs`)
  })
})

test('the settings for Rollup write a CommonJS module and an ES module that run, without a warning of what is not installed', async () => {
  const output = await packages.shell('rollup --config rollup.config.mjs 2>&1', tools)
  expect(output).not.toMatch(/stowage.*(could not be resolved|external)/)
  await expectToRun('rollup.cjs', 'rollup.mjs')
})

describe('the settings for webpack', () => {
  let settings: Configuration[]

  beforeAll(async () => {
    const { default: read } = await import(join(packages.folder, 'webpack.config.mjs'))
    settings = read.map((each: Configuration) => ({
      ...each,
      // The same module, in a tenth of the time.
      optimization: { minimize: false },
      context: packages.folder,
      output: { ...each.output, path: join(packages.folder, 'dist') },
    }))
  })

  test('write a CommonJS module and an ES module that run', async () => {
    expect(await warningsOf(settings)).toEqual([])
    await expectToRun('webpack.cjs', 'webpack.mjs')
  })

  // The framework itself is too large to be installed here.
  test('with those of Next.js for route handlers write a module that runs', async () => {
    const [{ output, ...first }] = settings as [Configuration]
    const conditionNames = ['react-server', 'node', 'import', 'require', 'default']
    const next: Configuration = {
      ...first,
      resolve: { conditionNames },
      output: {
        ...output,
        filename: 'next.cjs',
        chunkFilename: 'next-[id].cjs',
        hashFunction: 'xxhash64',
      },
      experiments: { layers: true },
    }
    expect(await warningsOf([next])).toEqual([])
    await expectToRun('next.cjs')
  })
})

/** Bundles, and returns what the bundler warns of. @throws Error with what it does not accept */
function warningsOf(settings: readonly Configuration[]): Promise<readonly string[]> {
  const webpack: typeof Webpack = require('webpack')
  return new Promise((resolve, reject) => {
    webpack(settings, (error, stats) => {
      const { errors = [], warnings = [] } =
        stats?.toJson({ all: false, errors: true, warnings: true }) ?? {}
      if (error || errors.length > 0) reject(error ?? new Error(JSON.stringify(errors)))
      else resolve(warnings.map(({ message }) => message))
    })
  })
}
