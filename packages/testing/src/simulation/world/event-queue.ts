import type { Clock } from '@stowage/core'
import type { Random } from './random.ts'

/** What the world needs to know of a process. */
export interface EventProcess {
  readonly random: Random
  readonly clock: Clock
  readonly maps: Map<unknown, unknown>[]
  readonly isKilled: boolean
  readonly isPaused: boolean
  /** Milliseconds since the start, as the process counts them. */
  monotonic(): number
  /** Runs `run` after `ms` milliseconds of its clock. Returns a function that cancels it. */
  startTimer(ms: number, run: () => void): () => void
  /** Keeps an event of a paused process until it is resumed. */
  hold(event: WorldEvent): void
}

/** Lets things happen later. */
export interface Scheduler {
  /** Virtual milliseconds since the start. */
  readonly now: number
  schedule(ms: number, run: () => void, process?: EventProcess): WorldEvent
  /** To be called whenever the code of the run reads a clock. */
  countStep(): void
  /** Lets an event that was held happen now. */
  reschedule(event: WorldEvent): void
}

/** Something that happens at a point of virtual time. */
export interface WorldEvent {
  /** Virtual milliseconds. */
  readonly at: number
  /** Events of the same millisecond happen in the order in which they were scheduled. */
  readonly order: number
  /** The process that runs the event; `undefined` for the network and the backend. */
  readonly process: EventProcess | undefined
  /** The call on whose behalf it happens. */
  readonly cause: Cause | undefined
  readonly run: () => void
  isCancelled: boolean
}

/** Identifies the call of a workload from which an event follows, and decides what the network does to its messages. */
export interface Cause {
  /** The number of the call in the trace. */
  readonly call?: number | undefined
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
