import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { root } from '../run.mjs'

const moduleStart = /^\/\/ (packages\/\S+\.ts)$/m
const exported = /^export (?:async )?(?:function\*?|class|const|let) (\w+)/gm

/**
 * What a bundle must export so that tests which import its sources run the bundle instead: by file and name, the local
 * name. Files of which the bundle lacks something are left out.
 * @param {string} code of the bundle
 * @returns {Map<string, [name: string, local: string, alias: string][]>}
 */
export function sourceExports(code) {
  const [, ...parts] = code.split(moduleStart)
  const files = new Map()
  for (let at = 0; at < parts.length; at += 2) {
    const names = namesOf(parts[at], parts[at + 1], files.size)
    if (names.length > 0 && names.every(([, local]) => local !== undefined))
      files.set(parts[at], names)
  }
  return files
}

function namesOf(file, code, number) {
  const source = readFileSync(join(root, file), 'utf8')
  const names = new Set(Array.from(source.matchAll(exported), ([, name]) => name))
  return Array.from(names, (name) => {
    const declaration = new RegExp(
      `^(?:async )?(?:function\\*?|class|const|let|var) (${name}(?:\\$\\d+)?)\\b`,
      'm',
    )
    return [name, declaration.exec(code)?.[1], `source${number}_${name}`]
  })
}

/** The statement to append to the bundle. */
export function exportStatement(code) {
  const all = [...sourceExports(code).values()].flat()
  return `\nexport { ${all.map(([, local, alias]) => `${local} as ${alias}`).join(', ')} };\n`
}

/** A plugin of Vite that replaces the sources of a bundle. */
export function runBundleOf(path) {
  const bundle = join(root, path)
  const files = sourceExports(readFileSync(bundle, 'utf8'))
  return {
    name: 'run-bundle',
    enforce: 'pre',
    load(id) {
      const names = files.get(relative(root, id))
      if (names === undefined) return undefined
      const list = names.map(([name, , alias]) => `${alias} as ${name}`).join(', ')
      return `export { ${list} } from ${JSON.stringify(bundle)}`
    },
  }
}
