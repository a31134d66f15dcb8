import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PackageSet } from './package-set.ts'

/** What an application imports. `testing` has its own line, because not every resolution finds its dependencies. */
export const imports: string = `
import { Cache, CacheError, cachesFromEnv, DriverRegistry } from '@stowage/core'
import { toBytes } from '@stowage/core/driver'
import { dynamodb } from '@stowage/dynamodb'
import { standardDrivers } from '@stowage/drivers'
import { SessionStore } from '@stowage/express'
import { memcached } from '@stowage/memcached'
import { memory } from '@stowage/memory'
import { msgpack } from '@stowage/msgpack'
import { redis } from '@stowage/redis'
`
export const importTesting: string = `
import { ManualClock } from '@stowage/testing'
import { facade } from '@stowage/testing/simulation'
console.log(ManualClock, facade)
`
/** The packages whose types need no others than those of Node. */
export const importsOfPlainTypes: string = `
import { type CallEvent, tracing } from '@stowage/core'
import { responseCache } from '@stowage/http-cache'
import { memory } from '@stowage/memory'
import { Sessions } from '@stowage/sessions'
import { logEvents } from '@stowage/telemetry/log'
import { metrics } from '@stowage/telemetry/prometheus'
tracing.cache.subscribe({ asyncEnd: ({ outcome }: CallEvent) => console.log(outcome) } as never)
tracing.cache.asyncEnd.subscribe((event) => console.log((event as CallEvent).cache))
console.log(responseCache, memory, Sessions, logEvents, metrics)
`
export const program: string = `
const cache = new Cache(memory(), { prefix: 'app:', codec: msgpack() })
const value: Promise<number | undefined> = cache.get<number>('a')
// @ts-expect-error: the types are those of the package, not any
const wrong: Promise<string | undefined> = cache.get<number>('a')
console.log(value, wrong, CacheError, cachesFromEnv, DriverRegistry, toBytes, dynamodb, memcached, redis)
console.log(new SessionStore({ cache }), standardDrivers())
`
/** What an application in JavaScript does with the imports; it prints `1 function`. */
export const use: string = `
const cache = new Cache(memory(), { prefix: 'app:' })
cache.set('a', 1).then(() => cache.get('a')).then((value) => console.log(value, typeof redis))`

/** Compiles the files, and checks the declarations of the libraries as well. */
export function compile(
  packages: PackageSet,
  compiler: string,
  [module, resolution]: readonly [module: string, resolution: string],
  ...files: string[]
): Promise<string> {
  const modules = ['--module', module, '--moduleResolution', resolution]
  const checks = ['--noEmit', '--strict', '--target', 'es2022', '--skipLibCheck', 'false']
  return packages.node([compiler, ...modules, ...checks, ...files])
}

/** Every import of another package in the files of a folder, as pairs of the file and the name of the package. */
export function importsIn(folder: string): [file: string, name: string][] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return files
    .filter((file) => /\.(c?js|d\.c?ts|mts)$/.test(file))
    .flatMap((file) => {
      const text = readFileSync(join(folder, file), 'utf8').replace(/^\s*\*.*$/gm, '')
      const found = text.matchAll(/(?:from |import |import\(|require\()["']([^."'][^"']*)["']/g)
      return [...found].map(([, path]): [string, string] => [file, packageOf(path as string)])
    })
}

function packageOf(path: string): string {
  return path
    .replace(/^node:/, '')
    .split('/')
    .slice(0, path.startsWith('@') ? 2 : 1)
    .join('/')
}

export function asRequires(text: string): string {
  return text.replace(/import (\{.*\}|\w+) from ('.*')/g, 'const $1 = require($2)')
}
