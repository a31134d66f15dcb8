import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type * as Core from '@stowage/core'
import type * as SessionsPackage from '@stowage/sessions'

const packages = fileURLToPath(new URL('../..', import.meta.url))

/** A text of a file of a built package, and what replaces it. */
export type Change = readonly [file: 'index.js' | 'shared.js', from: string, to: string]

/** Imports a copy of the built core with some texts replaced, to take back a fix. */
export function mutantOf(changes: readonly Change[]): Promise<typeof Core> {
  return importMutant('core', changes) as Promise<typeof Core>
}

/** The same for the built package of sessions. */
export function mutantOfSessions(changes: readonly Change[]): Promise<typeof SessionsPackage> {
  return importMutant('sessions', changes) as Promise<typeof SessionsPackage>
}

/** Those of the texts to be replaced that a built package does not contain. */
export function missingTexts(name: 'core' | 'sessions', changes: readonly Change[]): string[] {
  const codeOf = (file: string) => readFileSync(join(packages, name, 'dist', file), 'utf8')
  return changes.filter(([file, from]) => !codeOf(file).includes(from)).map(([, from]) => from)
}

/**
 * The names that the replacing texts use and a built package does not have, as after a change of what the bundler calls them:
 * such a defect is found for the wrong reason. Parameters of a text have one letter, or begin with "_".
 */
export function unknownNames(name: 'core' | 'sessions', changes: readonly Change[]): string[] {
  const namesIn = (code: string) => code.match(/(?<![\w$])[A-Za-z$][\w$]+/g) ?? []
  const codeOf = (file: string) => readFileSync(join(packages, name, 'dist', file), 'utf8')
  const known = new Map(changes.map(([file]) => [file, new Set(namesIn(codeOf(file)))]))
  return changes.flatMap(([file, , to]) =>
    namesIn(to).filter((each) => known.get(file)?.has(each) !== true),
  )
}

async function importMutant(name: string, changes: readonly Change[]): Promise<unknown> {
  const root = mkdtempSync(join(tmpdir(), 'stowage-mutant-'))
  // Vitest imports modules below a folder of this name without transforming them.
  const folder = join(root, 'dist')
  try {
    cpSync(join(packages, name, 'dist'), folder, {
      recursive: true,
      filter: (path) => !/\.(d\.ts|map)$/.test(path),
    })
    writeFileSync(join(root, 'package.json'), '{"type":"module"}')
    // Where the copy finds core.
    mkdirSync(join(root, 'node_modules/@stowage'), { recursive: true })
    symlinkSync(join(packages, 'core'), join(root, 'node_modules/@stowage/core'))
    for (const change of changes) apply(folder, change)
    return await import(pathToFileURL(join(folder, 'index.js')).href)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

function apply(folder: string, [file, from, to]: Change): void {
  const path = join(folder, file)
  const code = readFileSync(path, 'utf8')
  if (!code.includes(from))
    throw new Error(`${file} of the built package does not contain: ${from}`)
  writeFileSync(path, code.replaceAll(from, to))
}
