import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { join, sep } from 'node:path'
import { parse } from 'yaml'

/**
 * A published package, and all that an application installs with it according to the lockfile. `requires` has the ids of
 * dependencies. The manifest is the one that is installed here; a package for another platform has none.
 *
 * @typedef {{ id: string, name: string, version: string, requires: string[], integrity?: string, isForPlatform?: boolean,
 *   path?: string, manifest?: object }} InstalledPackage
 *
 * @param {string} workspace the root folder
 * @param {string} folder below `packages`
 * @returns {InstalledPackage[]} the package itself first
 */
export function runtimeDependencies(workspace, folder) {
  const { importers, packages, snapshots } = lockfileOf(workspace)
  const found = new Map()
  visitOwn(folder)
  return [...found.values()]

  function visitOwn(folder) {
    const path = join(workspace, 'packages', folder)
    const manifest = manifestIn(path)
    const { name, version } = manifest
    return visitOnce({ name, version, path, manifest }, () =>
      Object.entries(importers[`packages/${folder}`].dependencies ?? {}).map(
        ([name, { version }]) =>
          version.startsWith('link:../')
            ? visitOwn(version.slice('link:../'.length))
            : visit(name, version, join(path, 'node_modules')),
      ),
    )
  }

  /** `modules` is the folder from which the package is imported. */
  function visit(name, resolved, modules) {
    const version = resolved.replace(/\(.*$/, '')
    const path = installedPath(modules, name)
    const { resolution, os, cpu } = packages[`${name}@${version}`]
    const facts = { integrity: resolution.integrity, isForPlatform: Boolean(os ?? cpu) }
    const manifest = path && manifestIn(path)
    return visitOnce({ name, version, path, manifest, ...facts }, () => {
      const { dependencies, optionalDependencies } = snapshots[`${name}@${resolved}`]
      const around = path === undefined ? modules : modulesAround(path)
      return Object.entries({ ...dependencies, ...optionalDependencies }).map((each) =>
        visit(...each, around),
      )
    })
  }

  /** Returns the id. */
  function visitOnce(entry, visitDependencies) {
    const id = `${entry.name}@${entry.version}`
    if (found.has(id)) return id
    const complete = { id, ...entry, requires: [] }
    found.set(id, complete)
    complete.requires.push(...visitDependencies())
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

function manifestIn(path) {
  return JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'))
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
