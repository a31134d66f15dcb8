/** Calls `stop` on SIGINT or SIGTERM. If the same signal arrives again, the process ends immediately. */
export function onShutdown(stop: () => Promise<void>): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => stop().catch(exitWithError))
  }
}

/** Prints the message without a stack trace: the message states the remedy. */
export function exitWithError(error: Error): void {
  console.error(error.message)
  process.exitCode = 1
}
