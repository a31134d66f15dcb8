import { AsyncResource } from 'node:async_hooks'

interface PendingCall {
  readonly call: () => void
  /** `undefined` for the first call of a turn, whose context the end of the turn has. */
  readonly context: AsyncResource | undefined
}

/** Kept, so that a test with fake timers does not stop the calls of all stores. */
const onImmediate = setImmediate

let pending: PendingCall[] = []

/**
 * Makes a call when the callbacks of this turn of the event loop have run, in the asynchronous context of the caller. Nothing
 * else runs between the calls of a turn. What they send can therefore share a write that is made by `process.nextTick`.
 *
 * @example
 * const lines: string[] = []
 * const flush = () => process.stdout.write(lines.splice(0).join('\n'))
 * // One write for all lines of a turn.
 * function print(line: string): void {
 *   if (lines.push(line) === 1) atTurnEnd(() => process.nextTick(flush))
 * }
 * for (const line of ['a', 'b', 'c']) print(line)
 */
export function atTurnEnd(call: () => void): void {
  const isFirst = pending.length === 0
  pending.push({ call, context: isFirst ? undefined : new AsyncResource('stowage:turn') })
  if (isFirst) onImmediate(endTurn)
}

function endTurn(): void {
  const calls = pending
  pending = []
  try {
    for (let next = calls.shift(); next !== undefined; next = calls.shift()) make(next)
  } finally {
    // One has thrown: the others are made in the next turn.
    if (calls.length > 0) {
      if (pending.length === 0) onImmediate(endTurn)
      pending.unshift(...calls)
    }
  }
}

function make({ call, context }: PendingCall): void {
  if (context === undefined) call()
  else context.runInAsyncScope(call)
}
