/** Awaits `call(0 … size - 1)` one after another, around and around, until the time is up. */
export async function loop(call, size, first, until, stride) {
  let next = first
  let operations = 0
  do {
    for (let left = stride; left > 0; left--) {
      await call(next)
      next = next + 1 === size ? 0 : next + 1
    }
    operations += stride
  } while (performance.now() < until)
  return operations
}

/**
 * The same with the time of every call, for calls that take much longer than to look at the clock. The first one is
 * not counted: after the others' turns the client is cold.
 */
export async function timedLoop(call, size, first, until, latencies) {
  let next = first
  let operations = 0
  let before = 0
  let now = 0
  do {
    await call(next)
    now = performance.now()
    if (operations > 0) latencies.add(now - before)
    before = now
    next = next + 1 === size ? 0 : next + 1
    operations++
  } while (now < until)
  return operations
}
