import { asyncCache } from '../shared/async-cache.mjs'
import { parseJson } from '../shared/parse-json.mjs'

/** Returns the stored values by reference. */
export const references = () => asyncCache(new Map())

/** Stores JSON text, so that every read returns a copy. */
export function jsonText() {
  const map = new Map()
  return asyncCache({
    get: (key) => parseJson(map.get(key)),
    set: (key, value) => map.set(key, JSON.stringify(value)),
  })
}
