const maxUses = 3

/**
 * S3-FIFO (SOSP '23): new entries go through a small queue of 10 %, and reach the main queue if they were read there, or
 * if they were evicted a short time ago.
 */
export function s3Fifo(maxEntries, maxBytes) {
  return new S3Fifo(maxEntries, maxBytes)
}

class S3Fifo {
  #small = new Queue()
  #main = new Queue()
  #ghosts = new Queue()
  #smallCost = 0
  #mainCost = 0
  #capacity
  #bySize

  constructor(maxEntries, maxBytes) {
    this.#bySize = maxBytes !== Infinity
    this.#capacity = this.#bySize ? maxBytes : maxEntries
  }

  get(key) {
    const node = this.#small.get(key) ?? this.#main.get(key)
    if (node === undefined) return undefined
    if (node.uses < maxUses) node.uses++
    return node.value
  }

  set(key, value, size) {
    const cost = this.#bySize ? size : 1
    while (this.#smallCost + this.#mainCost + cost > this.#capacity) this.#evict()
    const node = { value, cost, uses: 0 }
    if (this.#ghosts.delete(key)) this.#addToMain(key, node)
    else {
      this.#small.set(key, node)
      this.#smallCost += cost
    }
  }

  #addToMain(key, node) {
    this.#main.set(key, node)
    this.#mainCost += node.cost
  }

  #evict() {
    if (this.#smallCost >= this.#capacity / 10 || this.#main.size === 0) this.#evictSmall()
    else this.#evictMain()
  }

  #evictSmall() {
    const [key, node] = this.#small.shift()
    this.#smallCost -= node.cost
    if (node.uses > 0) {
      node.uses = 0
      this.#addToMain(key, node)
      return
    }
    this.#ghosts.set(key, true)
    // As many as there are entries in the main queue.
    if (this.#ghosts.size > this.#main.size + 1) this.#ghosts.shift()
  }

  #evictMain() {
    const [key, node] = this.#main.shift()
    if (node.uses > 0) {
      node.uses--
      this.#main.set(key, node)
    } else this.#mainCost -= node.cost
  }
}

/** A Map that is read in the order of insertion. A new iterator would pass all deleted entries again. */
class Queue extends Map {
  #order = this.entries()

  shift() {
    let { value: first } = this.#order.next()
    if (first === undefined) {
      this.#order = this.entries()
      first = this.#order.next().value
    }
    this.delete(first[0])
    return first
  }
}
