import type { SimulatedProcess } from './simulated-process.ts'

/** Something that happens at a point of virtual time. */
export interface WorldEvent {
  /** Virtual milliseconds. */
  readonly at: number
  /** Events of the same millisecond happen in the order in which they were scheduled. */
  readonly order: number
  /** The process that runs the event; `undefined` for the network and the backend. */
  readonly process: SimulatedProcess | undefined
  /** The call on whose behalf it happens. */
  readonly cause: Cause | undefined
  readonly run: () => void
  isCancelled: boolean
}

/** Identifies the call of a workload from which an event follows, and decides what the network does to its messages. */
export interface Cause {
  /** 0 for a call whose messages the network neither delays nor loses. */
  readonly luck: number
  /** The number of messages sent so far. */
  messages: number
  /** Whether the network lost or delayed one of its messages. */
  isDisturbed: boolean
}

/** The events to come, the earliest first: a binary heap. */
export class EventQueue {
  readonly #heap: WorldEvent[] = []

  get size(): number {
    return this.#heap.length
  }

  push(event: WorldEvent): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent] as WorldEvent)) break
      heap[at] = heap[parent] as WorldEvent
      at = parent
    }
    heap[at] = event
  }

  pop(): WorldEvent | undefined {
    const first = this.#heap[0]
    const last = this.#heap.pop()
    if (last !== undefined && this.#heap.length > 0) this.#sink(last)
    return first
  }

  /** Moves `event` down from the top. */
  #sink(event: WorldEvent): void {
    const heap = this.#heap
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      const right = heap[child + 1]
      if (right !== undefined && isBefore(right, heap[child] as WorldEvent)) child++
      if (!isBefore(heap[child] as WorldEvent, event)) break
      heap[at] = heap[child] as WorldEvent
      at = child
    }
    heap[at] = event
  }
}

function isBefore(a: WorldEvent, b: WorldEvent): boolean {
  return a.at === b.at ? a.order < b.order : a.at < b.at
}
