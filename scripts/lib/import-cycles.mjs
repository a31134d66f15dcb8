/**
 * The cycles of a graph of imports, one for each import that leads back to a module on the way to it.
 * @param {Map<string, string[]>} imports the modules that each module imports
 */
export function importCycles(imports) {
  const cycles = []
  const done = new Set()
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
