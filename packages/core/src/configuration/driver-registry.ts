import { CacheError } from '../errors.ts'
import type { Driver } from './driver.ts'

/** Imports a driver package; its default export is the driver. */
export type DriverLoader = () => Promise<{ readonly default: Driver }>

/** Driver names and how to import them. Nothing is imported before its name is asked for. */
export class DriverRegistry {
  readonly #loaders: Map<string, DriverLoader>

  constructor(loaders: Readonly<Record<string, DriverLoader>> = {}) {
    this.#loaders = new Map(Object.entries(loaders))
  }

  /** Adds a driver, or replaces the one of that name. */
  register(name: string, loader: DriverLoader): this {
    this.#loaders.set(name, loader)
    return this
  }

  names(): string[] {
    return [...this.#loaders.keys()]
  }

  has(name: string): boolean {
    return this.#loaders.has(name)
  }

  /** The name most likely meant by one that is not known, if any is near. */
  nearest(name: string): string | undefined {
    const ranked = this.names().map((known) => ({ known, distance: distance(name, known) }))
    ranked.sort((a, b) => a.distance - b.distance)
    const [best] = ranked
    return best !== undefined && best.distance <= 2 ? best.known : undefined
  }

  /** @throws CacheError `ERR_CACHE_CONFIG` for a name that is not known or a package that is not installed */
  async load(name: string): Promise<Driver> {
    const loader = this.#loaders.get(name)
    if (loader === undefined) {
      throw new CacheError(
        'ERR_CACHE_CONFIG',
        `No driver is named "${name}". ${this.choices(name)}`,
      )
    }
    try {
      return (await loader()).default
    } catch (cause) {
      const reason = (cause as Error).message
      throw new CacheError(
        'ERR_CACHE_CONFIG',
        `The driver "${name}" cannot be loaded: ${reason}. Install its package, such as npm install @stowage/${name}.`,
        { cause },
      )
    }
  }

  /** The sentence that helps who gave an unknown name. */
  choices(name: string): string {
    const near = this.nearest(name)
    const guess = near === undefined ? '' : `Did you mean ${near}? `
    return `${guess}Known drivers: ${this.names().join(', ') || 'none'}.`
  }
}

/** Levenshtein distance: how many letters to add, drop or change. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next[j] = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, change)
    }
    row = next
  }
  return row[b.length] as number
}
