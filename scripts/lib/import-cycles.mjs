/**
 * Finds the cycles of an import graph by depth-first search: one for each import of a module that is being visited.
 * @param {Map<string, Iterable<string>>} imports the modules that each module imports
 * @returns {string[][]} each cycle as a path that begins and ends with the same module
 */
export function importCycles(imports) {
  /** @type {string[][]} */
  const cycles = []
  /** @type {Set<string>} */
  const done = new Set()
  /** @param {string} module @param {string[]} path */
  const visit = (module, path) => {
    const start = path.indexOf(module)
    if (start >= 0) return void cycles.push([...path.slice(start), module])
    if (done.has(module)) return
    for (const next of imports.get(module) ?? []) visit(next, [...path, module])
    done.add(module)
  }
  for (const module of imports.keys()) visit(module, [])
  return cycles
}
