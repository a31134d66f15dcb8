/** The value of a JSON text. Clients return `null` or `undefined` for a miss. */
export function parseJson(text) {
  return text === null || text === undefined ? undefined : JSON.parse(text)
}
