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
/** A run that takes more events than this does not end by itself. */
const maxEvents = 400_000

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
  /** Whether the processes are being started. */
  isStarting = true
  readonly trace: Trace | undefined
  readonly #queue = new EventQueue()
  #order = 0
  #events = 0

  constructor(trace?: Trace) {
    this.trace = trace
  }

  /** The next number of a sequence that orders everything that happens. */
  nextOrder(): number {
    return this.#order++
  }

  /** Lets something happen in `ms` milliseconds: in `process`, or in the backend if there is none. */
  schedule(
    ms: number,
    run: () => void,
    process?: EventProcess,
    cause: Cause | undefined = this.cause,
  ): WorldEvent {
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
    this.trace?.add(this.now, where, text)
  }

  /**
   * Runs events until there are none left.
   *
   * @throws Error if that takes too many
   */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      // The microtask queue is empty when a tick begins. Ticks of the run itself come first, with their promise reactions.
      const afterReactions = () => nextTick(step)
      const step = () => {
        if (this.hasTicks) {
          this.hasTicks = false
          queueMicrotask(afterReactions)
          return
        }
        const event = this.#next()
        if (event === undefined) return resolve()
        if (this.#events++ > maxEvents) return reject(new Error('The run does not end.'))
        try {
          event.run()
        } catch (error) {
          return reject(error)
        }
        queueMicrotask(afterReactions)
      }
      step()
    })
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
