import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library'
import { runtimeDependencies } from './runtime-dependencies.mjs'

/**
 * The software bill of materials of a published package, in the JSON format of CycloneDX 1.6: the versions of its
 * dependencies in the lockfile, with their licences and the digests of their tarballs. It has neither a time nor a random
 * number, so that everybody can repeat it.
 *
 * @param {string} workspace the root folder
 * @param {string} folder below `packages`
 */
export function sbomOf(workspace, folder) {
  const entries = runtimeDependencies(workspace, folder)
  const components = new Map(entries.map((entry) => [entry.id, componentOf(entry)]))
  for (const { id, requires } of entries) {
    for (const each of requires) components.get(id).dependencies.add(components.get(each).bomRef)
  }
  const [component, ...others] = components.values()
  const bom = new Models.Bom({ metadata: new Models.Metadata({ component }) })
  for (const other of others) bom.components.add(other)
  const serializer = new Serialize.JsonSerializer(
    new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6),
  )
  return `${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`
}

function componentOf({ id, name, version, integrity, isForPlatform, manifest }) {
  const [, group, bare] = /^(?:(@[^/]+)\/)?(.+)$/.exec(name)
  const component = new Models.Component(Enums.ComponentType.Library, bare, {
    ...{ group, version, bomRef: id },
    purl: `pkg:npm/${group === undefined ? '' : `${encodeURIComponent(group)}/`}${bare}@${version}`,
    scope: isForPlatform ? Enums.ComponentScope.Optional : Enums.ComponentScope.Required,
  })
  // That of a package for another platform is not known here, and the result must not depend on the platform.
  if (!isForPlatform) component.licenses.add(new Models.SpdxLicense(manifest.license))
  if (integrity?.startsWith('sha512-')) {
    const digest = Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex')
    component.hashes.set(Enums.HashAlgorithm['SHA-512'], digest)
  }
  return component
}
