import type { Clock } from '@stowage/core'
import type { EventProcess, Scheduler, WorldEvent } from './event-queue.ts'
import { hashOf, Random } from './random.ts'

/** Virtual time begins here: the start of 2026 in UTC. */
const epoch = Date.UTC(2026, 0, 1)

export interface ProcessClock {
  /** How far the clock of the process is ahead of the others, in milliseconds. */
  readonly offsetMs: number
  /** How much faster it runs: 0.001 gains one millisecond per second. */
  readonly drift: number
}

/**
 * A process of the simulated world. Everything it does follows from an event, so that it is paused by holding its events
 * and killed by dropping them.
 */
export class SimulatedProcess implements EventProcess {
  /** `p1`, `p2` and so on. */
  readonly name: string
  /** The source of random numbers while the process runs. */
  readonly random: Random
  readonly clock: Clock
  /** Maps that the process created when it started, to find what it has left behind. */
  readonly maps: Map<unknown, unknown>[] = []
  /** When its clock was set, and by how much. */
  readonly clockSteps: { readonly process: string; readonly at: number; readonly ms: number }[] = []
  /** Timers that have not fired. */
  timers = 0
  isKilled = false
  /** Called when the network has separated it from the backend, or connected it again. */
  onPartition: () => void = () => {}
  readonly #world: Scheduler
  readonly #rate: number
  #offsetMs: number
  #held: WorldEvent[] | undefined
  #isPartitioned = false
  #isBusPartitioned = false

  constructor(world: Scheduler, index: number, seed: number, { offsetMs, drift }: ProcessClock) {
    this.name = `p${index + 1}`
    this.random = new Random(hashOf(seed, index))
    this.#world = world
    this.#rate = 1 + drift
    this.#offsetMs = offsetMs
    this.clock = {
      now: () => epoch + Math.floor(this.monotonic() + this.#offsetMs),
      monotonic: () => this.monotonic(),
      sleep: (ms, signal) => this.#sleep(ms, signal),
    }
  }

  /** Whether the network separates it from the backend. */
  get isPartitioned(): boolean {
    return this.#isPartitioned
  }

  set isPartitioned(isPartitioned: boolean) {
    if (this.#isPartitioned === isPartitioned) return
    const wasConnected = this.isBusConnected
    this.#isPartitioned = isPartitioned
    if (wasConnected !== this.isBusConnected) this.onPartition()
  }

  /** Whether the bus alone is unreachable. */
  set isBusPartitioned(isBusPartitioned: boolean) {
    const wasConnected = this.isBusConnected
    this.#isBusPartitioned = isBusPartitioned
    if (wasConnected !== this.isBusConnected) this.onPartition()
  }

  get isBusConnected(): boolean {
    return !this.#isPartitioned && !this.#isBusPartitioned
  }

  get isPaused(): boolean {
    return this.#held !== undefined
  }

  /** Milliseconds since the start, as this process counts them: no clock step changes them. */
  monotonic(): number {
    this.#world.countStep()
    return this.#world.now * this.#rate
  }

  /** Sets the clock of the process forward, or back if `ms` is negative. */
  stepClock(ms: number): void {
    this.#offsetMs += ms
    this.clockSteps.push({ process: this.name, at: this.#world.now, ms })
  }

  pause(): void {
    this.#held ??= []
  }

  /** Runs what has happened to the process since `pause()`. */
  resume(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const event of held) this.#world.reschedule(event)
  }

  kill(): void {
    this.isKilled = true
    this.resume()
  }

  /** Keeps an event of a paused process until it is resumed. */
  hold(event: WorldEvent): void {
    this.#held?.push(event)
  }

  /** Runs `run` after `ms` milliseconds of its own clock. Returns a function that cancels it. */
  startTimer(ms: number, run: () => void): () => void {
    this.timers++
    const event = this.#world.schedule(
      ms / this.#rate,
      () => {
        this.timers--
        run()
      },
      this,
    )
    return () => {
      if (!event.isCancelled) this.timers--
      event.isCancelled = true
    }
  }

  #sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    return new Promise((resolve, reject) => {
      const abort = () => {
        cancel()
        reject(signal?.reason)
      }
      const cancel = this.startTimer(ms, () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      })
      signal?.addEventListener('abort', abort, { once: true })
    })
  }
}
