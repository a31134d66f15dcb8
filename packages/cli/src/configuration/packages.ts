import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { DriverRegistry } from '@stowage/core'
import type { Driver } from '@stowage/core/driver'
import { standardDrivers } from '@stowage/drivers'

/**
 * Returns the drivers, as the application has installed them: a command that is installed globally, or by a package
 * manager that isolates packages, does not find them otherwise.
 */
export function applicationDrivers(cwd: string): DriverRegistry {
  const standard = standardDrivers()
  const registry = new DriverRegistry()
  for (const name of standard.names()) {
    const load = async () => {
      const file = findPackage(`@stowage/${name}`, cwd)
      if (file !== undefined) return importFile(file) as Promise<{ default: Driver }>
      return { default: await standard.load(name).catch(withCause) }
    }
    registry.register(name, load)
  }
  return registry
}

/** Imports a package of the application, or what `load` imports. */
export async function importPackage<T>(
  name: string,
  cwd: string,
  load: () => Promise<T>,
): Promise<T> {
  const file = findPackage(name, cwd)
  return file === undefined ? load() : (importFile(file) as Promise<T>)
}

/** Imports a file. Its path may contain any character. */
export function importFile(file: string): Promise<unknown> {
  return import(pathToFileURL(file).href)
}

/** The ES module of a package, as seen from a folder. `undefined` if it is not installed there. */
function findPackage(name: string, cwd: string): string | undefined {
  try {
    const manifestPath = createRequire(join(resolve(cwd), 'noop.js')).resolve(
      `${name}/package.json`,
    )
    const manifest = JSON.parse(readFileSync(manifestPath, 'utf8'))
    const file = join(dirname(manifestPath), manifest.exports['.'].import.default)
    return existsSync(file) ? file : undefined
  } catch {
    return undefined
  }
}

/** The registry adds the remedy itself. */
function withCause(error: Error): never {
  throw error.cause ?? error
}
