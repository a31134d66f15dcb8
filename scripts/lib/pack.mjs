import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { step } from './cli.mjs'
import { prepare, runPnpm } from './prepare.mjs'
import { publishedPackages, withRepository } from './published.mjs'
import { root } from './run.mjs'

/**
 * Builds the published packages, and writes the tarball and the software bill of materials of each to a folder.
 *
 * @param {string} destination
 * @param {{ repository: string, reverse?: boolean }} options `repository` is `owner/name` on GitHub, which the manifests
 * then name. With `reverse`, the packages are bundled and packed in the opposite order
 */
export async function packTo(destination, { repository, reverse = false }) {
  mkdirSync(destination, { recursive: true })
  const names = readdirSync(join(root, 'packages'))
  await prepare([], reverse ? names.toReversed() : names)
  const folders = publishedPackages().map(({ folder }) => folder)
  await step('Pack', () => withRepository(repository, () => pack(folders, destination, reverse)))
  await step('Write the bills of materials', () => writeSboms(folders, destination))
}

function pack(folders, destination, reverse) {
  const filters = folders.map((folder) => `--filter=@stowage/${folder}`)
  const order = ['--workspace-concurrency=1', ...(reverse ? ['--reverse'] : [])]
  const args = ['--silent', '--recursive', ...order, ...filters, 'pack']
  return runPnpm(...args, '--pack-destination', destination)
}

async function writeSboms(folders, destination) {
  // Imported only here: until `prepare` has installed it, the library is missing.
  const { sbomOf } = await import('./sbom.mjs')
  for (const folder of folders) {
    writeFileSync(join(destination, `stowage-${folder}.cdx.json`), sbomOf(root, folder))
  }
}
