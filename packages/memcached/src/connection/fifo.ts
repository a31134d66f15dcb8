/** A queue in a ring buffer that grows when it is full. */
export class Fifo<T> {
  #slots: (T | undefined)[] = new Array(16)
  #head = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  peek(): T | undefined {
    return this.#slots[this.#head]
  }

  push(item: T): void {
    if (this.#length === this.#slots.length) this.#grow()
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = item
    this.#length++
  }

  shift(): T | undefined {
    const item = this.#slots[this.#head]
    if (item === undefined) return undefined
    this.#slots[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#slots.length - 1)
    this.#length--
    return item
  }

  /** The capacity stays a power of two, so that a bit mask wraps an index. */
  #grow(): void {
    const ordered = [...this.#slots.slice(this.#head), ...this.#slots.slice(0, this.#head)]
    this.#slots = [...ordered, ...new Array(ordered.length)]
    this.#head = 0
  }
}
