import { CacheError } from '../errors.ts'
import { nearestName } from '../options/check-options.ts'
import type { Awaitable } from '../store.ts'
import type { Driver } from './driver.ts'
import { nullDriver } from './null-driver.ts'

/** Imports or requires a driver package, whose default export is the driver. */
export type DriverLoader = () => Awaitable<{ readonly default: Driver }>

/** Drivers that need no package. The application may register others under these names. */
const builtIn: ReadonlyMap<string, DriverLoader> = new Map([
  [nullDriver.name, async () => ({ default: nullDriver })],
])

/**
 * Maps names to drivers. A driver is imported on its first use, so that only the selected client library is loaded. The
 * driver `null`, which keeps nothing, exists without being registered.
 *
 * @example
 * const registry = new DriverRegistry({
 *   memory: () => import('@stowage/memory'),
 *   redis: () => import('@stowage/redis'),
 * })
 * const { name } = await registry.load('memory')
 * console.log(name)
 */
export class DriverRegistry {
  readonly #loaders: Map<string, DriverLoader>

  constructor(loaders: Readonly<Record<string, DriverLoader>> = {}) {
    this.#loaders = new Map(Object.entries(loaders))
  }

  /**
   * Adds a driver, or replaces the one with this name.
   *
   * @example
   * const sqlite: Driver = { name: 'sqlite', fromEnv: () => ({}), create: () => memory() }
   * const registry = new DriverRegistry().register('sqlite', async () => ({ default: sqlite }))
   * console.log(registry.names())
   */
  register(name: string, loader: DriverLoader): this {
    this.#loaders.set(name, loader)
    return this
  }

  /** Returns the names of all registered drivers. The built-in `null` is not among them. */
  names(): string[] {
    return [...this.#loaders.keys()]
  }

  /** Returns whether a driver is registered under this name, or built in. */
  has(name: string): boolean {
    return this.#loaders.has(name) || builtIn.has(name)
  }

  /** Returns the registered name most similar to a misspelled one, or `undefined` if none is similar. */
  nearest(name: string): string | undefined {
    return nearestName(name, this.names())
  }

  /** Imports a driver. @throws CacheError `ERR_CACHE_CONFIG` for an unknown name or a package that is not installed */
  async load(name: string): Promise<Driver> {
    const loader = this.#loaders.get(name) ?? builtIn.get(name)
    if (loader === undefined) {
      throw new CacheError(
        'ERR_CACHE_CONFIG',
        `No driver is named "${name}". ${this.suggestion(name)}`,
      )
    }
    try {
      return driverOf(await loader())
    } catch (cause) {
      const { message } = cause as Error
      const reason = `The driver "${name}" cannot be loaded: ${message.replace(/\.$/, '')}.`
      const text = [reason, ...installHint(cause as Error)].join(' ')
      throw new CacheError('ERR_CACHE_CONFIG', text, { cause })
    }
  }

  /** Returns a sentence for the error of an unknown name: the similar name, if any, and all known ones. */
  suggestion(name: string): string {
    const similar = this.nearest(name)
    const question = similar === undefined ? '' : `Did you mean ${similar}? `
    return `${question}Known drivers: ${this.names().join(', ') || 'none'}.`
  }
}

/** If a module of CommonJS is imported, its exports are members of its default export. */
function driverOf({ default: exported }: { readonly default: Driver }): Driver {
  const driver = exported && 'default' in exported ? (exported.default as Driver) : exported
  if (typeof driver?.create === 'function' && typeof driver.fromEnv === 'function') return driver
  throw new TypeError(
    'the default export of its module must have the members name, create and fromEnv',
  )
}

/** Names the package to install, if one is missing, and not a file. */
function installHint({ message }: Error): string[] {
  const missing = /Cannot find (?:package|module) '(?![A-Za-z]:)([^'./\\][^']*)'/.exec(message)?.[1]
  return missing === undefined ? [] : [`Install its package: npm install ${missing}`]
}
