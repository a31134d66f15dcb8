/** Parses JSON text. Returns `undefined` for a miss, for which clients return `null` or `undefined`. */
export function parseJson(text) {
  return text === null || text === undefined ? undefined : JSON.parse(text)
}
