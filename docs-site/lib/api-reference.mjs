import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runOrThrow } from '../../scripts/lib/run.mjs'
import { root } from './pages.mjs'

const site = fileURLToPath(new URL('..', import.meta.url))

/** Writes the API reference of all published packages to .generated/api. */
export async function writeApiReference() {
  const entryPoints = publishedModules().flatMap((file) => ['--entryPoints', file])
  const typedoc = join(site, 'node_modules/typedoc/bin/typedoc')
  await runOrThrow(process.execPath, [typedoc, '--logLevel', 'Error', ...entryPoints], {
    cwd: site,
  })
}

/**
 * The source of each module that others can import, except what only our packages may use, and the simulation, which
 * docs/testing.md explains.
 */
function publishedModules() {
  return readdirSync(join(root, 'packages')).flatMap((name) => {
    const folder = join(root, 'packages', name)
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    if (manifest.private) return []
    return Object.keys(manifest.exports ?? {})
      .map((path) => path.replace(/^\.\/?/, '') || 'index')
      .filter((path) => !['internal', 'simulation'].includes(path))
      .flatMap((path) =>
        [`${path}.ts`, `${path}/index.ts`].map((file) => join(folder, 'src', file)),
      )
      .filter((file) => existsSync(file))
  })
}
