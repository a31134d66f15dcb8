/** Returns those of `keys` that a session has as it was stored. @param body the JSON of what was stored, if there was anything */
export function unchangedKeys(
  session: Readonly<Record<string, unknown>> | null | undefined,
  body: string | undefined,
  keys: readonly string[],
): string[] {
  if (!session || body === undefined || keys.length === 0) return []
  const stored = JSON.parse(body) as Record<string, unknown>
  return keys.filter((key) => Object.hasOwn(stored, key) && isSameJson(stored[key], session[key]))
}

function isSameJson(stored: unknown, value: unknown): boolean {
  try {
    return JSON.stringify(stored) === JSON.stringify(value)
  } catch {
    return false // It has no JSON, so that it was not stored.
  }
}
