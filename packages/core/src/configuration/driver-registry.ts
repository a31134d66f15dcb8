import { CacheError } from '../errors.ts'
import type { Driver } from './driver.ts'
import { nearestName } from './nearest-name.ts'

/** Imports a driver package, whose default export is the driver. */
export type DriverLoader = () => Promise<{ readonly default: Driver }>

/**
 * Maps names to drivers. A driver is imported on its first use, so that only the selected client library is loaded.
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

  /** Returns the names of all registered drivers. */
  names(): string[] {
    return [...this.#loaders.keys()]
  }

  /** Returns whether a driver is registered under this name. */
  has(name: string): boolean {
    return this.#loaders.has(name)
  }

  /** Returns the registered name most similar to a misspelled one, or `undefined` if none is similar. */
  nearest(name: string): string | undefined {
    return nearestName(name, this.names())
  }

  /** Imports a driver. @throws CacheError `ERR_CACHE_CONFIG` for an unknown name or a package that is not installed */
  async load(name: string): Promise<Driver> {
    const loader = this.#loaders.get(name)
    if (loader === undefined) {
      throw new CacheError(
        'ERR_CACHE_CONFIG',
        `No driver is named "${name}". ${this.suggestion(name)}`,
      )
    }
    try {
      return (await loader()).default
    } catch (cause) {
      const reason = (cause as Error).message
      throw new CacheError(
        'ERR_CACHE_CONFIG',
        `The driver "${name}" cannot be loaded: ${reason}. ` +
          `Install its package, for example: npm install @stowage/${name}.`,
        { cause },
      )
    }
  }

  /** Returns a sentence for the error of an unknown name: the similar name, if any, and all known ones. */
  suggestion(name: string): string {
    const similar = this.nearest(name)
    const question = similar === undefined ? '' : `Did you mean ${similar}? `
    return `${question}Known drivers: ${this.names().join(', ') || 'none'}.`
  }
}
