import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { join, sep } from 'node:path'
import { parse } from 'yaml'

/**
 * The packages of the registry that an application installs with a published package, sorted by name: those of the
 * lockfile that its dependencies lead to, with the manifests that are installed here. A package for another platform has
 * no manifest.
 *
 * @param {string} workspace the root folder
 * @param {string} folder below `packages`
 */
export function runtimeDependencies(workspace, folder) {
  const lockfile = lockfileOf(workspace)
  const found = new Map()
  visitImporter(`packages/${folder}`)
  return [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1))

  function visitImporter(path) {
    const modules = join(workspace, path, 'node_modules')
    for (const [name, { version }] of Object.entries(lockfile.importers[path].dependencies ?? {})) {
      const [, linked] = /^link:\.\.\/(.+)$/.exec(version) ?? []
      if (linked === undefined) visit(name, version, modules)
      else visitImporter(`packages/${linked}`)
    }
  }

  /** Returns the id. `modules` is the folder from which the package is imported. */
  function visit(name, resolved, modules) {
    const version = resolved.replace(/\(.*$/, '')
    const id = `${name}@${version}`
    if (found.has(id)) return id
    const path = installedPath(modules, name)
    const { resolution, os, cpu } = lockfile.packages[id]
    const entry = { id, name, version, path, integrity: resolution.integrity }
    found.set(id, Object.assign(entry, { isForPlatform: Boolean(os ?? cpu), requires: [] }))
    const { dependencies, optionalDependencies } = lockfile.snapshots[`${name}@${resolved}`]
    for (const each of Object.entries({ ...dependencies, ...optionalDependencies })) {
      entry.requires.push(visit(...each, path === undefined ? modules : modulesAround(path)))
    }
    entry.manifest = path && JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'))
    return id
  }
}

const lockfiles = new Map()

/** Parsed once, because it has 10,000 lines. */
function lockfileOf(workspace) {
  const text = readFileSync(join(workspace, 'pnpm-lock.yaml'), 'utf8')
  if (!lockfiles.has(text)) lockfiles.set(text, parse(text))
  return lockfiles.get(text)
}

function installedPath(modules, name) {
  const path = join(modules, name)
  return existsSync(path) ? realpathSync(path) : undefined
}

/** pnpm installs the dependencies of a package in the folder that contains it. */
function modulesAround(path) {
  const folder = `${sep}node_modules${sep}`
  return path.slice(0, path.lastIndexOf(folder) + folder.length)
}
