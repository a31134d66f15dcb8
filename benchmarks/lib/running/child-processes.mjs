const running = new Set()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Kills the child when this process exits. Uses the handle, not the pid, which may belong to another process by then. */
export function killOnExit(child) {
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** Exits on signals that would end the process without an 'exit' event. */
export function exitOnSignals() {
  for (const [signal, code] of Object.entries({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 })) {
    process.once(signal, () => process.exit(code))
  }
}
