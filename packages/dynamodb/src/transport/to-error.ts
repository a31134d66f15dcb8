/** Returns what was thrown as an error with members of its own: credentials may reject with anything, also if it is frozen. */
export function toError(thrown: unknown): Error {
  const { name = 'Error', message } = Object(thrown) as Partial<Error>
  if (message !== undefined && Object.isExtensible(thrown)) return thrown as Error
  return Object.assign(new Error(message ?? String(thrown)), { name })
}
