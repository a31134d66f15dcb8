// A hook of Node's module loader that changes a bundle when it is imported: https://nodejs.org/api/module.html
import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'
import { mutate } from './mutants.mjs'

/** The mutant as JSON, with `bundle`, the end of the path of the bundle. */
const { STOWAGE_MUTANT: text } = process.env
const mutant = text === undefined ? undefined : JSON.parse(text)

// The hooks run on a thread of their own, which imports this file as well.
if (mutant !== undefined && isMainThread) register(import.meta.url)

export async function load(url, context, nextLoad) {
  const loaded = await nextLoad(url, context)
  if (!url.endsWith(mutant.bundle)) return loaded
  return { ...loaded, source: mutate(String(loaded.source), mutant) }
}
