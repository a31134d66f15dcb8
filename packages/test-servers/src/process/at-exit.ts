const actions = new Set<() => void>()

// One listener for all: with one each, Node would warn about a listener leak from the eleventh server on.
process.once('exit', () => {
  for (const action of [...actions].reverse()) action()
})

// A signal ends a process without its exit event: what only lists the tests ends its workers so.
process.once('SIGTERM', () => process.exit(143))

/** Runs `action` when this process exits, the latest first. Returns a function that cancels that. */
export function atExit(action: () => void): () => void {
  actions.add(action)
  return () => void actions.delete(action)
}
