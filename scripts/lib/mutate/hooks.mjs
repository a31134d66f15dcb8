// A hook of Node's module loader that changes a bundle when it is imported: https://nodejs.org/api/module.html
import { readFileSync } from 'node:fs'
import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'

const { STOWAGE_MUTANT_FILE: path } = process.env
/** The mutant, with `bundle`, the end of the path of the bundle, and what it exports to tests. */
const mutant = path === undefined ? undefined : JSON.parse(readFileSync(path, 'utf8'))

// The hooks run on a thread of their own, which imports this file as well.
if (mutant !== undefined && isMainThread) register(import.meta.url)

export async function load(url, context, nextLoad) {
  const loaded = await nextLoad(url, context)
  if (!url.endsWith(mutant.bundle)) return loaded
  const code = String(loaded.source)
  const { start, end, to, exports } = mutant
  return { ...loaded, source: code.slice(0, start) + to + code.slice(end) + exports }
}
