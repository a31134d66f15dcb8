import { publishedPackages } from './published.mjs'
import { runtimeDependencies } from './runtime-dependencies.mjs'

/**
 * The packages of the registry that users install with the published packages, by licence, as a table in Markdown. Of those
 * with the binary of a platform, which belong to a package that is listed, the table does not depend.
 *
 * @param {string} workspace
 */
export function licencesTable(workspace) {
  const all = publishedPackages(workspace).flatMap(({ folder }) =>
    runtimeDependencies(workspace, folder),
  )
  const byLicence = new Map()
  for (const { name, manifest, isForPlatform } of all) {
    if (name.startsWith('@stowage/') || isForPlatform) continue
    const names = byLicence.get(manifest.license) ?? new Set()
    byLicence.set(manifest.license, names.add(`\`${name}\``))
  }
  const rows = [...byLicence].sort(([, a], [, b]) => b.size - a.size)
  return [
    '| licence | packages |',
    '|---|---|',
    ...rows.map(([licence, names]) => `| ${licence} | ${[...names].sort().join(', ')} |`),
  ].join('\n')
}
