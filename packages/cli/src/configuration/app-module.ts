import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { inspect } from 'node:util'
import type { Caches, CachesFromEnvOptions, DriverRegistry } from '@stowage/core'
import type { Sessions } from '@stowage/sessions'
import { CommandError } from '../errors.ts'
import { importFile } from './packages.ts'

/** What a module of the application may export, by name or as members of its default export. */
export interface AppModule {
  /** Its caches. Without them, the environment configures the caches. */
  readonly caches?: Caches<string>
  readonly sessions?: Sessions
  /** The drivers, `stores` and `codecs` that the environment selects from. */
  readonly registry?: DriverRegistry
  readonly stores?: CachesFromEnvOptions['stores']
  readonly codecs?: CachesFromEnvOptions['codecs']
}

const names = ['caches', 'sessions', 'registry', 'stores', 'codecs'] as const

/** Imports the module given by `--config`. @throws CommandError with the remedy if that fails */
export async function importAppModule(path: string, cwd: string): Promise<AppModule> {
  const file = resolve(cwd, path)
  if (!existsSync(file)) throw new CommandError(`The module ${path} does not exist.`)
  const exported = await importFile(file).catch((error: unknown) => {
    throw importFailure(error instanceof Error ? error : new Error(inspect(error)), path)
  })
  return membersOf(exported as Record<string, unknown>, path)
}

async function membersOf(exported: Record<string, unknown>, path: string): Promise<AppModule> {
  const main = (await exported.default) as Record<string, unknown> | undefined
  const entries = await Promise.all(
    names.map(async (name) => [name, await (exported[name] ?? main?.[name])] as const),
  )
  const found = Object.fromEntries(entries.filter(([, value]) => value !== undefined))
  if (isCaches(main)) found.caches ??= main
  checkKinds(found, path)
  if (Object.keys(found).length > 0) return found
  throw new CommandError(
    `The module ${path} exports none of ${names.join(', ')}. Export your caches: export const caches = createCaches(…).`,
  )
}

/** Otherwise the command would find nothing to check. */
function checkKinds({ caches, sessions }: Record<string, unknown>, path: string): void {
  if (caches !== undefined && !isCaches(caches)) {
    throw new CommandError(
      `The export caches of ${path} is not what createCaches and cachesFromEnv return. Of a single store, write: ` +
        "export const caches = createCaches({ default: 'cache', stores: { cache: () => redis() } }).",
    )
  }
  const { of, cache } = (sessions ?? {}) as Partial<Sessions>
  if (sessions === undefined || (typeof of === 'function' && cache !== undefined)) return
  throw new CommandError(
    `The export sessions of ${path} is not an instance of Sessions. Of sessionFromEnv, export the member: ` +
      'export const { sessions } = await sessionFromEnv(…).',
  )
}

function isCaches(value: unknown): value is Caches<string> {
  const { use, names: list } = (value ?? {}) as Partial<Caches<string>>
  return typeof use === 'function' && Array.isArray(list)
}

function importFailure(error: Error, path: string): CommandError {
  const { code } = error as NodeJS.ErrnoException
  const isTypeScript = /\.[cm]?ts$/.test(path)
  if (isTypeScript && (code === 'ERR_UNKNOWN_FILE_EXTENSION' || error.name === 'SyntaxError')) {
    return new CommandError(
      `Node ${process.versions.node} cannot import the TypeScript module ${path} by itself. Use Node 22.18 or newer, ` +
        'a compiled module, or a loader: node --import tsx node_modules/@stowage/cli/bin/stowage.js …',
    )
  }
  return new CommandError(`The module ${path} cannot be imported: ${error.message}`)
}
