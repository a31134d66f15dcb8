// More than any workload has calls in all its turns of a round.
const capacity = 2 ** 20

/** Durations of calls, kept one by one: room for all of them is taken beforehand, so that none costs an allocation. */
export class Latencies {
  #samples = new Float64Array(capacity)
  #count = 0

  add(ms) {
    if (this.#count < capacity) this.#samples[this.#count++] = ms
  }

  clear() {
    this.#count = 0
  }

  /** In microseconds. */
  percentiles() {
    const sorted = this.#samples.subarray(0, this.#count).sort()
    const micros = (share) => sorted[Math.ceil(share * sorted.length) - 1] * 1_000
    return { p50Micros: micros(0.5), p99Micros: micros(0.99) }
  }
}
