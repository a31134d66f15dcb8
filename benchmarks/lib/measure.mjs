import { Latencies } from './latencies.mjs'

// How often an untimed loop looks at the clock: rarely enough to cost nothing, often enough to end in time.
const clockEveryMs = 0.5

const latencies = new Latencies()
let copies = 0

/** One workload of one contestant: `inFlight` loops, each awaiting one call after another. */
export class Measurement {
  #operation
  #inFlight
  #timesCalls
  #loops
  #stride = 1

  /** `timesCalls`: note how long each call takes. */
  constructor(operation, { inFlight }, timesCalls) {
    this.#operation = operation
    this.#inFlight = inFlight
    this.#timesCalls = timesCalls
  }

  /** Resolves to how many calls were made. */
  async warmUp(ms) {
    // A copy of the loops for each workload: one shared by all would be optimised for none of them.
    this.#loops ??= await import(`./loop.mjs?copy=${copies++}`)
    // What earlier workloads left to collect is not this one's cost. Not right before the timing: a full
    // collection also throws away optimised code.
    globalThis.gc?.()
    const { operations, elapsedMs } = await this.#run(ms)
    this.#stride = strideOf(operations / this.#inFlight / elapsedMs)
    latencies.clear()
    return { operations }
  }

  /** One turn. The latencies of all turns since the warm-up are kept together. */
  async time(ms) {
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
    return this.#timesCalls ? latencies.percentiles() : { p50Micros: null, p99Micros: null }
  }

  async #run(ms) {
    const { call, size } = this.#operation
    const start = performance.now()
    const loop = this.#loop(start + ms)
    // The loops start apart: two that ask for the same key at once could share one answer.
    const loops = Array.from({ length: this.#inFlight }, (_, index) =>
      loop(call, size, Math.floor((size * index) / this.#inFlight)),
    )
    const counts = await Promise.all(loops)
    const operations = counts.reduce((sum, count) => sum + count)
    return { operations, elapsedMs: performance.now() - start }
  }

  #loop(until) {
    const { loop, timedLoop } = this.#loops
    if (!this.#timesCalls) {
      return (call, size, first) => loop(call, size, first, until, this.#stride)
    }
    return (call, size, first) => timedLoop(call, size, first, until, latencies)
  }
}

function strideOf(callsPerMs) {
  return Math.max(1, Math.round(callsPerMs * clockEveryMs))
}
