import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { mapLinks } from './markdown.mjs'
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
 * The manifests and READMEs as they are published, with the addresses of the repository. A provenance statement is only
 * accepted for a package that names the repository in which it was built, and a relative link of a README leads nowhere
 * from the page of a registry.
 *
 * @param {string} repository `owner/name` on GitHub
 */
export function filesForRegistry(repository) {
  const url = `https://github.com/${repository}`
  return publishedPackages().flatMap(({ folder, file, text, manifest }) => {
    const named = `${JSON.stringify(withAddresses(manifest, url, folder), undefined, 2)}\n`
    const readme = join(root, 'packages', folder, 'README.md')
    const readmeText = readFileSync(readme, 'utf8')
    return [
      { file, text, published: named },
      { file: readme, text: readmeText, published: withAbsoluteLinks(readmeText, url, folder) },
    ]
  })
}

/**
 * Writes the files as they are published while `work` runs.
 *
 * @template T
 * @param {string} repository
 * @param {() => Promise<T>} work
 */
export async function withRepository(repository, work) {
  const files = filesForRegistry(repository)
  for (const { file, published } of files) writeFileSync(file, published)
  try {
    return await work()
  } finally {
    for (const { file, text } of files) writeFileSync(file, text)
  }
}

function withAddresses(manifest, url, folder) {
  const directory = `packages/${folder}`
  return {
    repository: { type: 'git', url: `git+${url}.git`, directory },
    homepage: `${url}/tree/HEAD/${directory}#readme`,
    bugs: `${url}/issues`,
    ...manifest,
  }
}

/** GitHub leads from `blob` to `tree` if the path is that of a folder. */
function withAbsoluteLinks(text, url, folder) {
  return mapLinks(text, (path, hash) =>
    path === '' ? hash : `${url}/blob/HEAD/${posix.join('packages', folder, path)}${hash}`,
  )
}
