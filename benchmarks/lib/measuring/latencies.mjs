// More calls than a contestant makes for one workload in one round. Further calls are not recorded.
const capacity = 2 ** 20

/** Durations of single calls. The array is allocated in advance, so that adding one allocates nothing. */
export class Latencies {
  #samples = new Float64Array(capacity)
  #count = 0

  add(ms) {
    if (this.#count < capacity) this.#samples[this.#count++] = ms
  }

  clear() {
    this.#count = 0
  }

  percentiles() {
    const sorted = this.#samples.subarray(0, this.#count).sort()
    const micros = (quantile) => sorted[Math.ceil(quantile * sorted.length) - 1] * 1_000
    return { p50Micros: micros(0.5), p99Micros: micros(0.99) }
  }
}
