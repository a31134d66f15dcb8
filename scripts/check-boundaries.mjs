// The dependency direction: everything points at core, and nothing at express. Checked in the sources and in
// the manifests, so that a shortcut between two drivers cannot slip in.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { main, Remedy } from './lib/progress.mjs'
import { root } from './lib/run.mjs'

const driver = ['core']
/** The Stowage packages each package may import. */
const allowed = {
  core: [],
  memory: driver,
  redis: driver,
  memcached: driver,
  dynamodb: driver,
  express: driver,
  testing: driver,
}

await main(async () => {
  const wrong = Object.keys(allowed).flatMap(violations).concat(unknownPackages())
  if (wrong.length > 0)
    throw new Remedy(`Imports against the dependency direction:\n${wrong.join('\n')}`)
})

function unknownPackages() {
  const unknown = readdirSync(join(root, 'packages')).filter((name) => !(name in allowed))
  return unknown.map((name) => `  packages/${name} has no rule in scripts/check-boundaries.mjs`)
}

function violations(name) {
  const folder = join(root, 'packages', name)
  const sources = listSources(join(folder, 'src'))
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const runtime = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
  return [
    ...runtime
      .filter((dependency) => !permitted(name, dependency))
      .map((dependency) => `  packages/${name}/package.json depends on ${dependency}`),
    ...sources.flatMap((file) => importsOf(file, name, runtime)),
  ]
}

function importsOf(file, name, runtime) {
  const text = readFileSync(file, 'utf8').replace(/^\s*(\*|\/\/).*$/gm, '')
  const found = [...text.matchAll(/\b(?:from\s+|import\s+|import\()'([^'.][^']*)'/g)].map(
    ([, id]) => id,
  )
  return found
    .filter((id) => !id.startsWith('node:'))
    .map((id) => id.match(/^(@[^/]+\/)?[^/]+/)[0])
    .filter((id) => !permitted(name, id) || !runtime.includes(id))
    .map((id) => `  ${file.slice(root.length)} imports ${id}`)
}

/** Core has no dependency at all; the others may have third-party ones, and those of ours they are allowed. */
function permitted(name, dependency) {
  if (!dependency.startsWith('@stowage/')) return name !== 'core'
  return allowed[name].includes(dependency.slice('@stowage/'.length))
}

function listSources(folder) {
  return readdirSync(folder, { recursive: true })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(folder, file))
}
