import type { Writable } from 'node:stream'
import { FlushScheduler } from '../protocol/flush-scheduler.ts'

/** From this many commands on, an earlier write is worth a system call of its own. */
const commandsPerWrite = 64

/** Holds back the writes of ioredis, so that the commands of a turn of the event loop leave in one write. */
export class WriteCork {
  readonly #scheduler = new FlushScheduler(() => this.#uncork())
  #streams: readonly Writable[] = []
  #commands = 0

  /**
   * Must be called before a command is sent.
   * @param isBatched whether the command has waited for the end of a turn already
   * @param isBusy whether earlier commands are in flight
   */
  hold(streams: () => readonly Writable[], isBatched: boolean, isBusy: boolean): void {
    if (this.#commands === 0) {
      this.#streams = streams()
      for (const stream of this.#streams) stream.cork()
    } else if (this.#commands % commandsPerWrite === 0) {
      // So that the server can start with the first commands.
      for (const stream of this.#streams) {
        stream.uncork()
        stream.cork()
      }
    }
    this.#commands++
    if (isBatched) this.#scheduler.flushAfterCallback()
    else this.#scheduler.add(isBusy)
  }

  #uncork(): void {
    this.#commands = 0
    for (const stream of this.#streams) stream.uncork()
    this.#streams = []
  }
}
