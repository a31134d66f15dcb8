const given = new Set<string>()

/** Emits a warning, once per process. */
export function warnOnce(code: string, message: string): void {
  if (given.has(code)) return
  given.add(code)
  process.emitWarning(message, { type: 'StowageWarning', code })
}
