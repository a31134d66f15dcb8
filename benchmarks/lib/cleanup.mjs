const running = new Set()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** However this process ends, the child ends with it. Only handles are used, so no stranger is ever killed. */
export function endsWithUs(child) {
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** Without a handler a signal would end the process before its 'exit' event. */
export function exitOnSignals() {
  for (const [signal, code] of Object.entries({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 })) {
    process.once(signal, () => process.exit(code))
  }
}
