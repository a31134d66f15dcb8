import { AsyncResource } from 'node:async_hooks'

interface PendingCall {
  readonly call: () => void
  /** `undefined` for the first call of a turn, whose context the end of the turn has. */
  readonly context: AsyncResource | undefined
}

/**
 * Makes calls when the callbacks of this turn of the event loop have run, each in the asynchronous context in which it was
 * added. Nothing else runs between them, so that a driver can send the requests of all in one write.
 */
export class TurnEnd {
  #pending: PendingCall[] = []

  add(call: () => void): void {
    const isFirst = this.#pending.length === 0
    this.#pending.push({ call, context: isFirst ? undefined : new AsyncResource('stowage:batch') })
    if (isFirst) setImmediate(this.#end)
  }

  readonly #end = () => {
    const pending = this.#pending
    this.#pending = []
    for (const { call, context } of pending) {
      if (context === undefined) call()
      else context.runInAsyncScope(call)
    }
  }
}
