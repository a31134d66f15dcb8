import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './run.mjs'

const packages = join(root, 'packages')

/**
 * Bundles the modules of each package into one file per entry point, as they are published and tested: importing core
 * takes 3 ms instead of 14 ms for two dozen files. The compiler checks the types and writes the declarations.
 */
export async function bundle() {
  const stale = readdirSync(packages).filter(isStale)
  if (stale.length === 0) return
  // Loaded when there is something to do: a start with nothing changed is quick.
  const { build } = await import('rolldown')
  for (const name of stale) await build(optionsOf(name))
}

function optionsOf(name) {
  return {
    input: Object.fromEntries(
      entriesOf(name).map((entry) => [entry, join(packages, name, `src/${entry}.ts`)]),
    ),
    platform: 'node',
    // Everything that is not a file of the package itself.
    external: /^[^./]/,
    output: {
      dir: join(packages, name, 'dist'),
      format: 'esm',
      sourcemap: true,
      chunkFileNames: 'shared.js',
    },
    logLevel: 'warn',
  }
}

/** The files that the package exports, such as `index` and `driver`. */
function entriesOf(name) {
  const { exports } = JSON.parse(readFileSync(join(packages, name, 'package.json'), 'utf8'))
  return Object.values(exports).flatMap(
    (target) => /^\.\/dist\/(.+)\.js$/.exec(target.default ?? '')?.[1] ?? [],
  )
}

function isStale(name) {
  const src = join(packages, name, 'src')
  const sources = readdirSync(src, { recursive: true }).map((file) => join(src, file))
  const newest = Math.max(...sources.map(modified))
  return modified(join(packages, name, 'dist/index.js')) <= newest
}

function modified(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
}
