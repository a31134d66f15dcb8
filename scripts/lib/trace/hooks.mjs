// Hooks of Node's module loader: https://nodejs.org/api/module.html#customization-hooks
import { instrument } from './instrument.mjs'

/** The packages that are traced. */
const bundle = /\/packages\/(?!test)[^/]+\/dist\/[^/]+\.js$/

export async function load(url, context, nextLoad) {
  const loaded = await nextLoad(url, context)
  if (!bundle.test(url) || loaded.format !== 'module') return loaded
  return { ...loaded, source: instrument(String(loaded.source)) }
}
