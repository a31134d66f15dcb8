/**
 * W-TinyLFU (TOS '17, as in Caffeine without the adaptive window): a window of 1 % by recency. What leaves it competes with
 * the victim of a segmented LRU, and the one with the higher estimated frequency is kept.
 */
export function wTinyLfu(maxEntries, maxBytes) {
  return new WTinyLfu(maxEntries, maxBytes)
}

class WTinyLfu {
  #window = new Map()
  #probation = new Map()
  #protected = new Map()
  #cost = { window: 0, main: 0, protected: 0 }
  #capacity
  #bySize
  #sketch

  constructor(maxEntries, maxBytes) {
    this.#bySize = maxBytes !== Infinity
    this.#capacity = this.#bySize ? maxBytes : maxEntries
    this.#sketch = new FrequencySketch(this.#bySize ? 20_000 : maxEntries)
  }

  get(key) {
    this.#sketch.increment(key)
    const node = this.#window.get(key)
    if (node !== undefined) return moveToEnd(this.#window, key, node).value
    const safe = this.#protected.get(key)
    if (safe !== undefined) return moveToEnd(this.#protected, key, safe).value
    const other = this.#probation.get(key)
    if (other !== undefined) this.#protect(key, other)
    return other?.value
  }

  set(key, value, size) {
    const cost = this.#bySize ? size : 1
    this.#window.set(key, { value, cost })
    this.#cost.window += cost
    while (this.#cost.window > this.#capacity / 100 && this.#window.size > 0) this.#leaveWindow()
  }

  #protect(key, node) {
    this.#probation.delete(key)
    this.#protected.set(key, node)
    this.#cost.protected += node.cost
    while (this.#cost.protected > this.#mainCapacity * 0.8) {
      const [oldest, demoted] = first(this.#protected)
      this.#protected.delete(oldest)
      this.#cost.protected -= demoted.cost
      this.#probation.set(oldest, demoted)
    }
  }

  get #mainCapacity() {
    return (this.#capacity * 99) / 100
  }

  #leaveWindow() {
    const [key, node] = first(this.#window)
    this.#window.delete(key)
    this.#cost.window -= node.cost
    this.#cost.main += node.cost
    this.#probation.set(key, node)
    while (this.#cost.main > this.#mainCapacity) if (!this.#evict(key)) return
  }

  /** Evicts the candidate or the victim. Returns whether the candidate remains. */
  #evict(candidate) {
    const victims = first(this.#probation)?.[0] === candidate ? this.#protected : this.#probation
    const [victim] = first(victims) ?? [candidate]
    const wins = this.#sketch.frequency(candidate) > this.#sketch.frequency(victim)
    const loser = wins ? victim : candidate
    const from = this.#probation.has(loser) ? this.#probation : this.#protected
    const { cost } = from.get(loser)
    from.delete(loser)
    this.#cost.main -= cost
    if (from === this.#protected) this.#cost.protected -= cost
    return loser !== candidate
  }
}

/** A count-min sketch with four rows of counters up to 15, which are halved periodically. */
class FrequencySketch {
  #mask
  #counters
  #samples = 0
  #maxSamples

  constructor(entries) {
    const width = 2 ** Math.ceil(Math.log2(Math.max(16, entries)))
    this.#mask = width - 1
    this.#counters = Array.from({ length: 4 }, () => new Uint8Array(width))
    this.#maxSamples = entries * 10
  }

  increment(key) {
    let isCounted = false
    for (let row = 0; row < 4; row++) {
      const index = this.#indexOf(key, row)
      if (this.#counters[row][index] < 15) {
        this.#counters[row][index]++
        isCounted = true
      }
    }
    if (isCounted && ++this.#samples >= this.#maxSamples) this.#halve()
  }

  frequency(key) {
    let min = 15
    for (let row = 0; row < 4; row++)
      min = Math.min(min, this.#counters[row][this.#indexOf(key, row)])
    return min
  }

  #indexOf(key, row) {
    let hash = Math.imul(key + 1, [0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f][row])
    hash ^= hash >>> 15
    return (Math.imul(hash, 0x2c1b3c6d) >>> 8) & this.#mask
  }

  #halve() {
    for (const row of this.#counters) for (let i = 0; i < row.length; i++) row[i] >>= 1
    this.#samples = Math.floor(this.#samples / 2)
  }
}

function first(map) {
  return map.entries().next().value
}

function moveToEnd(map, key, node) {
  map.delete(key)
  map.set(key, node)
  return node
}
