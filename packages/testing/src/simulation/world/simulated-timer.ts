import type { EventProcess } from './event-queue.ts'

/** Has the methods of `NodeJS.Timeout` that libraries call. */
export class SimulatedTimer {
  readonly #process: EventProcess | undefined
  readonly #run: () => void
  readonly #ms: number
  readonly #isRepeated: boolean
  #cancel: () => void = () => {}

  /** @param process the process whose clock it follows; without one, it never fires */
  constructor(process: EventProcess | undefined, run: () => void, ms: number, isRepeated: boolean) {
    this.#process = process
    this.#run = run
    this.#ms = ms
    this.#isRepeated = isRepeated
    this.#start()
  }

  cancel(): void {
    this.#cancel()
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  hasRef(): boolean {
    return true
  }

  #start(): void {
    if (this.#process === undefined) return
    this.#cancel = this.#process.startTimer(this.#ms, () => {
      if (this.#isRepeated) this.#start()
      this.#run()
    })
  }
}
