import { Latencies } from './latencies.mjs'

// How often `loop` reads the clock: rarely enough to cost nothing, often enough to end in time.
const clockIntervalMs = 0.5

const latencies = new Latencies()
let copies = 0

/** One workload of one contestant: `inFlight` loops, each awaiting one call after another. */
export class Measurement {
  #operation
  #inFlight
  #recordLatencies
  #loops
  #stride = 1

  /** `recordLatencies`: whether to record the duration of each call. */
  constructor(operation, { inFlight }, recordLatencies) {
    this.#operation = operation
    this.#inFlight = inFlight
    this.#recordLatencies = recordLatencies
  }

  /** Resolves to the number of calls. */
  async warmUp(ms) {
    // Each workload gets its own copy of the loops, which V8 can optimise for this workload alone.
    this.#loops ??= await import(`./loop.mjs?copy=${copies++}`)
    // Collects the garbage of earlier workloads. Not just before the timing: a full collection also discards
    // optimised code.
    globalThis.gc?.()
    const { operations, elapsedMs } = await this.#run(ms)
    this.#stride = strideOf(operations / this.#inFlight / elapsedMs)
    latencies.clear()
    return { operations }
  }

  /** Runs one turn. The latencies of all turns since the warm-up are collected. */
  async measure(ms) {
    const cpuBefore = process.cpuUsage()
    const { operations, elapsedMs } = await this.#run(ms)
    const { user, system } = process.cpuUsage(cpuBefore)
    return {
      opsPerSecond: (operations / elapsedMs) * 1_000,
      cpuMicrosPerOp: (user + system) / operations,
    }
  }

  /** The latencies of all turns. */
  percentiles() {
    return this.#recordLatencies ? latencies.percentiles() : { p50Micros: null, p99Micros: null }
  }

  async #run(ms) {
    const { call, size, run } = this.#operation
    const start = performance.now()
    if (run !== undefined) {
      const durations = await run(ms)
      for (const duration of durations) latencies.add(duration)
      return { operations: durations.length, elapsedMs: performance.now() - start }
    }
    const loop = this.#loop(start + ms)
    // Each loop starts at another key: concurrent calls for the same key could share one request.
    const loops = Array.from({ length: this.#inFlight }, (_, index) =>
      loop(call, size, Math.floor((size * index) / this.#inFlight)),
    )
    const counts = await Promise.all(loops)
    const operations = counts.reduce((sum, count) => sum + count)
    return { operations, elapsedMs: performance.now() - start }
  }

  #loop(deadline) {
    const { loop, timedLoop } = this.#loops
    if (!this.#recordLatencies) {
      return (call, size, first) => loop(call, size, first, deadline, this.#stride)
    }
    return (call, size, first) => timedLoop(call, size, first, deadline, latencies)
  }
}

function strideOf(callsPerMs) {
  return Math.max(1, Math.round(callsPerMs * clockIntervalMs))
}
