/**
 * Returns the key of a rate limit for what a middleware counts by. It may be the value of a header that a client has left empty,
 * or out: such requests count together. Different texts have different keys.
 */
export function limitKeyOf(counted: unknown): string {
  const key = String(counted)
  return /^-*$/.test(key) ? `${key}-` : key
}
