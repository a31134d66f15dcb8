import {
  type Cause,
  type EventProcess,
  EventQueue,
  type Scheduler,
  type WorldEvent,
} from './event-queue.ts'
import type { Trace } from './trace.ts'

// Taken before a run replaces it.
const { nextTick } = process
/** Its reactions cost less than `queueMicrotask`. */
const settled = Promise.resolve()
/** A run that takes more events than this does not end by itself. */
const maxEvents = 400_000
/** How often the code of a run may read a clock or schedule something between two events. */
const maxSteps = 1_000_000
const endlessMessage = 'The run does not end.'

/**
 * Virtual time, and the events that happen in it, one after another. After each event every promise reaction that
 * follows from it runs before the next event, so that at any time at most one process is running.
 */
export class World implements Scheduler {
  /** Virtual milliseconds since the start. */
  now = 0
  /** The process that is running. */
  current: EventProcess | undefined
  /** The call on whose behalf it runs. */
  cause: Cause | undefined
  /** Whether code of the run has called `process.nextTick` since the last event. */
  hasTicks = false
  /** Called when the processes have been started. */
  onStarted: () => void = () => {}
  readonly trace: Trace | undefined
  readonly #queue = new EventQueue()
  #order = 0
  #events = 0
  /** Since the last event. */
  #steps = 0

  constructor(trace?: Trace) {
    this.trace = trace
  }

  /** The next number of a sequence that orders everything that happens. */
  nextOrder(): number {
    return this.#order++
  }

  /**
   * To be called whenever the code of the run reads a clock or schedules something.
   *
   * @throws Error if promise reactions follow one another without end, so that no other event can happen
   */
  countStep(): void {
    if (this.#steps++ > maxSteps) throw new Error(endlessMessage)
  }

  /** Lets something happen in `ms` milliseconds: in `process`, or in the backend if there is none. */
  schedule(
    ms: number,
    run: () => void,
    process?: EventProcess,
    cause: Cause | undefined = this.cause,
  ): WorldEvent {
    this.countStep()
    // Rounded to microseconds, so that sums of the same moments are equal.
    const at = Math.round((this.now + Math.max(0, ms)) * 1_000) / 1_000
    const event = { at, order: this.#order++, process, cause, run, isCancelled: false }
    this.#queue.push(event)
    return event
  }

  /** Lets an event that was held happen now. */
  reschedule(event: WorldEvent): void {
    this.#queue.push(Object.assign(event, { at: this.now, order: this.#order++ }))
  }

  log(where: string, text: string): void {
    this.trace?.add(this.now, where, text, this.cause?.call)
  }

  /** Requests that are logged together share a line. */
  logRequest(where: string, text: string, keys: readonly string[]): void {
    this.trace?.addRequest(this.now, where, text, keys, this.cause?.call)
  }

  /**
   * Runs events until there are none left.
   *
   * @throws Error if that takes too many, or if a promise reaction of the run has thrown because of {@link countStep}
   */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      // Not documented, but kept by Node for programs that use it: runs ticks and promise reactions until there are none.
      const { _tickCallback } = process as { readonly _tickCallback?: () => void }
      if (_tickCallback === undefined) return this.#runStep(resolve, reject)
      nextTick(() => {
        try {
          do _tickCallback()
          while (this.#runEvents())
          resolve()
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  /** Without that function, runs one event per tick. */
  #runStep(resolve: () => void, reject: (error: unknown) => void): void {
    // The microtask queue is empty when a tick begins. Ticks of the run itself come first, with their promise reactions.
    const next = () => nextTick(() => this.#runStep(resolve, reject))
    try {
      const hasTicks = this.hasTicks
      this.hasTicks = false
      if (hasTicks || this.#runEvents()) settled.then(next)
      else resolve()
    } catch (error) {
      reject(error)
    }
  }

  /** Runs events up to the first of a process: those of the backend cause no promise reactions. */
  #runEvents(): boolean {
    for (;;) {
      if (this.#events++ > maxEvents || this.#steps > maxSteps) throw new Error(endlessMessage)
      this.#steps = 0
      const event = this.#next()
      if (event === undefined) return false
      event.run()
      if (event.process !== undefined) return true
    }
  }

  /** Takes the next event that can happen. */
  #next(): WorldEvent | undefined {
    for (;;) {
      const event = this.#queue.pop()
      if (event !== undefined) {
        if (event.isCancelled) continue
        this.now = Math.max(this.now, event.at)
        if (event.process?.isKilled) continue
        if (event.process?.isPaused) {
          event.process.hold(event)
          continue
        }
        event.isCancelled = true
      }
      this.current = event?.process
      this.cause = event?.cause
      return event
    }
  }
}
