import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { root } from '../run.mjs'

const moduleStart = /^\/\/ (packages\/\S+\.ts)$/m
const exported = /^export (?:async |abstract )?(?:function\*?|class|const|let) (\w+)/gm

/**
 * What a bundle must export so that tests which import its sources run the bundle instead: by file and name, the local
 * name, or `undefined` for a constant that was replaced by its value.
 * @param {string} code of the bundle
 * @returns {Map<string, [name: string, local: string | undefined, alias: string][]>}
 */
export function sourceExports(code) {
  const [, ...parts] = code.split(moduleStart)
  const files = new Map()
  for (let at = 0; at < parts.length; at += 2) {
    files.set(parts[at], namesOf(parts[at], parts[at + 1], files.size))
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
  const all = [...sourceExports(code).values()].flat().filter(([, local]) => local !== undefined)
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
      const constants = names.flatMap(([name, local]) => (local === undefined ? [name] : []))
      const others = names.flatMap(([name, local, alias]) =>
        local === undefined ? [] : [`${alias} as ${name}`],
      )
      return [
        `export { ${others.join(', ')} } from ${JSON.stringify(bundle)}`,
        `export { ${constants.join(', ')} } from ${JSON.stringify(`${id}?source`)}`,
      ].join('\n')
    },
  }
}
