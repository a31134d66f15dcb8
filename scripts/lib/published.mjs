import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './run.mjs'

/** The packages that are published, with their manifests: all of `packages` that are not private. */
export function publishedPackages(workspace = root) {
  return readdirSync(join(workspace, 'packages'))
    .map((folder) => ({ folder, file: join(workspace, 'packages', folder, 'package.json') }))
    .map((entry) => ({ ...entry, text: readFileSync(entry.file, 'utf8') }))
    .map((entry) => ({ ...entry, manifest: JSON.parse(entry.text) }))
    .filter(({ manifest }) => !manifest.private)
}

/**
 * Writes the repository to the manifests while `work` runs, because a provenance statement is only accepted for a package
 * that names the repository in which it was built.
 *
 * @template T
 * @param {string} repository `owner/name` on GitHub
 * @param {() => Promise<T>} work
 */
export async function withRepository(repository, work) {
  const packages = publishedPackages()
  const url = `git+https://github.com/${repository}.git`
  for (const { folder, file, manifest } of packages) {
    const named = { repository: { type: 'git', url, directory: `packages/${folder}` }, ...manifest }
    writeFileSync(file, `${JSON.stringify(named, undefined, 2)}\n`)
  }
  try {
    return await work()
  } finally {
    for (const { file, text } of packages) writeFileSync(file, text)
  }
}
