import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { publishedPackages } from './published.mjs'
import { runtimeDependencies } from './runtime-dependencies.mjs'

/** Packages with a script, and what an installation without it lacks. */
const permittedScripts = {
  lmdb: 'Compiles the database where no package has a binary for the platform. The binaries for Linux, macOS and Windows are packages.',
  'msgpackr-extract': 'Compiles a faster reader of strings, which lmdb does not need.',
}

const permittedLicences = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT']

/**
 * What is wrong with the packages that users install: the published ones, and all that these depend on.
 *
 * @param {string} workspace
 * @returns {string[]}
 */
export function dependencyProblems(workspace) {
  const all = publishedPackages(workspace).flatMap(({ folder }) =>
    runtimeDependencies(workspace, folder),
  )
  return [...new Map(all.map((each) => [each.id, each])).values()].flatMap(problemsOf)
}

function problemsOf({ id, name, manifest, path, isForPlatform }) {
  if (manifest === undefined) return isForPlatform ? [] : [`${id} is not installed: npm run build`]
  const problems = []
  const script = installScriptOf(manifest, path)
  if (script !== undefined && !Object.hasOwn(permittedScripts, name)) {
    problems.push(`${id} runs a script when it is installed: ${script}`)
  }
  if (!permittedLicences.includes(manifest.license)) {
    problems.push(`${id} has the licence ${JSON.stringify(manifest.license)}`)
  }
  return problems
}

/** npm also runs node-gyp for a package that has a file for it. */
function installScriptOf({ scripts = {}, gypfile }, path) {
  const hook = ['preinstall', 'install', 'postinstall'].find((name) => scripts[name] !== undefined)
  if (hook !== undefined) return scripts[hook]
  return gypfile !== false && existsSync(join(path, 'binding.gyp')) ? 'node-gyp rebuild' : undefined
}
