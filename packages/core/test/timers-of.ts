interface CreatedTimer {
  readonly timer: NodeJS.Timeout
  readonly ms: number | undefined
}

/**
 * Returns the timers that are created until `work` has ended. Not a spy: after a test with fake timers, `vi.restoreAllMocks` of
 * another file in the process would bring back the fake one that the spy has replaced, which never fires.
 */
export async function timersOf(
  name: 'setTimeout' | 'setInterval',
  work: () => Promise<unknown>,
): Promise<CreatedTimer[]> {
  const original = globalThis[name]
  const created: CreatedTimer[] = []
  const record = (...args: Parameters<typeof original>) => {
    const timer: NodeJS.Timeout = Reflect.apply(original, undefined, args)
    created.push({ timer, ms: args[1] })
    return timer
  }
  globalThis[name] = record as typeof setTimeout & typeof setInterval
  try {
    await work()
  } finally {
    globalThis[name] = original as typeof setTimeout & typeof setInterval
  }
  return created
}
