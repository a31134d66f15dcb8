/** SIEVE (NSDI '24): a hand goes from the oldest entry to the newest, and evicts the first that was not read since it passed. */
export function sieve(maxEntries, maxBytes) {
  return new Sieve(maxEntries, maxBytes)
}

class Sieve {
  #entries = new Map()
  /** Both ends of the list are this node. */
  #ends = {}
  #hand = this.#ends
  #cost = 0
  #capacity
  #bySize

  constructor(maxEntries, maxBytes) {
    this.#ends.newer = this.#ends.older = this.#ends
    this.#bySize = maxBytes !== Infinity
    this.#capacity = this.#bySize ? maxBytes : maxEntries
  }

  get(key) {
    const node = this.#entries.get(key)
    if (node === undefined) return undefined
    node.isRead = true
    return node.value
  }

  set(key, value, size) {
    const cost = this.#bySize ? size : 1
    while (this.#cost + cost > this.#capacity) this.#evict()
    const older = this.#ends.older
    const node = { key, value, cost, isRead: false, older, newer: this.#ends }
    older.newer = this.#ends.older = node
    this.#entries.set(key, node)
    this.#cost += cost
  }

  #evict() {
    let node = this.#hand
    while (node === this.#ends || node.isRead) {
      node.isRead = false
      node = node.newer
    }
    this.#hand = node.newer
    node.older.newer = node.newer
    node.newer.older = node.older
    this.#entries.delete(node.key)
    this.#cost -= node.cost
  }
}
