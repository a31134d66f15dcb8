import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
// There, an example finds the packages that bridges are for.
const folder = join(root, 'test', 'bridges', '.cache-examples')
const execute = promisify(execFile)

interface Example {
  /** Source file and line, for the report. */
  readonly at: string
  readonly code: string
}

/** Variables that an example may use without declaring them. */
const prelude = `
import type { Cache, Caches, CacheStore } from '@stowage/core'
import type { Express } from 'express'
declare global {
  const cache: Cache
  const caches: Caches
  const store: CacheStore
  const app: Express
}
`

const settings = {
  extends: '../../../tsconfig.base.json',
  compilerOptions: {
    composite: false,
    noEmit: true,
    declarationMap: false,
    sourceMap: false,
    isolatedDeclarations: false,
    noUnusedLocals: false,
    noUnusedParameters: false,
    verbatimModuleSyntax: false,
    lib: ['ES2023', 'ES2024.String', 'ESNext.Disposable'],
  },
  include: ['*.ts'],
}

const examples = readdirSync(join(root, 'packages')).flatMap((name) =>
  sourcesOf(name).flatMap(examplesOf),
)
const exported = exportedNames()

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings))
  writeFileSync(join(folder, 'prelude.ts'), prelude)
  examples.forEach((example, index) => {
    writeFileSync(join(folder, `example-${index}.ts`), moduleOf(example))
  })
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the sources have examples', () => {
  expect(examples.length).toBeGreaterThan(20)
})

test('every @example compiles', async () => {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const { stdout } = await execute(process.execPath, [
    compiler,
    '-p',
    folder,
    '--checkers',
    '1',
  ]).catch((error) => error)
  const report = String(stdout).replaceAll(
    /example-(\d+)\.ts/g,
    (_, index) => examples[index]?.at ?? '',
  )
  expect(report).toBe('')
})

function sourcesOf(name: string): string[] {
  const src = join('packages', name, 'src')
  return readdirSync(join(root, src), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(src, file))
}

/** The code behind each `@example`, up to the next tag or the end of the comment. */
function examplesOf(file: string): Example[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/@example\n(.*?)(?=\n\s*\* @[a-z]+|\s*\*\/)/gs)].map((match) => {
    const line = text.slice(0, match.index).split('\n').length
    const code = (match[1] ?? '').replaceAll(/^\s*\* ?/gm, '')
    return { at: `${file}:${line}`, code }
  })
}

/** The names that the packages export, with the modules to import each from. */
function exportedNames(): Map<string, string[]> {
  const names = new Map<string, string[]>()
  for (const name of readdirSync(join(root, 'packages'))) {
    const manifest = readFileSync(join(root, 'packages', name, 'package.json'), 'utf8')
    for (const [path, target] of Object.entries<Target>(JSON.parse(manifest).exports)) {
      const file = join(root, 'packages', name, target.import?.types ?? target.types ?? '')
      if (!file.endsWith('.d.ts')) continue
      const id = `@stowage/${name}${path.slice(1)}`
      for (const exportedName of namesIn(file))
        names.set(exportedName, [...(names.get(exportedName) ?? []), id])
    }
  }
  return names
}

interface Target {
  readonly import?: Target
  readonly types?: string
}

function namesIn(file: string): string[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return []
  }
  const declared = [...text.matchAll(/^export declare (?:function|class|const) (\w+)/gm)]
  const listed = [...text.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(([, list = '']) =>
    list.split(',').map(
      (each) =>
        each
          .replace(/^\s*type /, '')
          .trim()
          .split(' as ')
          .at(-1) ?? '',
    ),
  )
  return [...declared.map(([, name = '']) => name), ...listed]
}

/** A module with the example in a function of its own; its imports come first, preferably from its own package. */
function moduleOf({ at, code }: Example): string {
  const [, packageName] = at.split(/[\\/]/)
  const isImport = (line: string) => line.startsWith('import ')
  const lines = code.split('\n')
  const own = lines.filter(isImport).join('\n')
  const used = new Set(code.match(/[A-Za-z_$][\w$]*/g))
  const automatic = [...exported]
    .filter(
      ([name]) => name !== 'default' && used.has(name) && !new RegExp(`\\b${name}\\b`).test(own),
    )
    .map(([name, ids]) => {
      const id = ids.find((each) => each.split('/')[1] === packageName) ?? ids.at(-1)
      return `import { ${name} } from '${id}'`
    })
  const body = lines.filter((line) => !isImport(line)).join('\n')
  return `${automatic.join('\n')}\n${own}\nexport async function example() {\n${body}\n}\n`
}
