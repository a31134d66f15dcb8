/** Awaits calls with the indexes 0 to `size - 1` in a cycle until the deadline, which it checks every `stride` calls. */
export async function loop(call, size, first, deadline, stride) {
  let next = first
  let operations = 0
  do {
    for (let remaining = stride; remaining > 0; remaining--) {
      await call(next)
      next = next + 1 === size ? 0 : next + 1
    }
    operations += stride
  } while (performance.now() < deadline)
  return operations
}

/**
 * Also records the duration of each call, for calls that take much longer than reading the clock. The first call is
 * left out: the client is cold after the turns of the others.
 */
export async function timedLoop(call, size, first, deadline, latencies) {
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
  } while (now < deadline)
  return operations
}
