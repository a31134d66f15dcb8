// How often a loop looks at the clock: rarely enough to cost nothing, often enough to end in time.
const clockEveryMs = 0.5

/**
 * Warms the operation up, then times it: `inFlight` loops, each awaiting one call after another.
 * `countCommands` tells how many commands the server has executed so far.
 */
export async function measure(operation, { inFlight }, windows, countCommands) {
  const { loop } = await freshLoop()
  const run = (ms, stride) => runLoops(loop, operation, inFlight, ms, stride)
  // What earlier workloads left to collect is not this one's cost. Not right before the timing: a full
  // collection also throws away optimised code.
  globalThis.gc?.()
  const stride = await warmUp(run, inFlight, windows.warmUpMs)
  const commandsBefore = await countCommands()
  const cpuBefore = process.cpuUsage()
  const { operations, elapsedMs } = await run(windows.timedMs, stride)
  const { user, system } = process.cpuUsage(cpuBefore)
  const commands = (await countCommands()) - commandsBefore
  return {
    opsPerSecond: (operations / elapsedMs) * 1_000,
    cpuMicrosPerOp: (user + system) / operations,
    commandsPerOp: commandsBefore === undefined ? null : commands / operations,
  }
}

/** Resolves to how many calls a loop may make between two looks at the clock. */
async function warmUp(run, inFlight, ms) {
  const { operations, elapsedMs } = await run(ms, 1)
  const perLoop = operations / inFlight
  return Math.max(1, Math.round((perLoop / elapsedMs) * clockEveryMs))
}

let copies = 0

/** A copy of the loop for each workload: one shared by all would be optimised for none of them. */
function freshLoop() {
  return import(`./loop.mjs?copy=${copies++}`)
}

async function runLoops(loop, { call, size }, inFlight, ms, stride) {
  const start = performance.now()
  // The loops start apart: two that ask for the same key at once could share one answer.
  const loops = Array.from({ length: inFlight }, (_, index) =>
    loop(call, size, Math.floor((size * index) / inFlight), start + ms, stride),
  )
  const counts = await Promise.all(loops)
  const operations = counts.reduce((sum, count) => sum + count)
  return { operations, elapsedMs: performance.now() - start }
}
