import type { SeenSession } from '../users/session-users.ts'

/** What the calls for one session that wait for each other share. */
export interface Turn {
  /** What the call before has left in the store; `undefined` if that is not known. */
  last: SeenSession | 'ended' | undefined
}

interface Queue {
  readonly turn: Turn
  /** The last call. It never rejects. */
  tail: Promise<unknown>
  length: number
}

/**
 * Makes the calls for one session one after another, in this process. Each call begins with what the one before has left,
 * so that it needs no read, and does not conflict.
 */
export class SessionTurns {
  readonly #queues = new Map<string, Queue>()

  /** Resolves when the calls for the session that were made so far have settled; `undefined` if there are none. */
  settled(key: string): Promise<unknown> | undefined {
    return this.#queues.get(key)?.tail
  }

  run<T>(key: string, work: (turn: Turn) => Promise<T>): Promise<T> {
    const existing = this.#queues.get(key)
    const queue = existing ?? { turn: { last: undefined }, tail: Promise.resolve(), length: 0 }
    this.#queues.set(key, queue)
    queue.length++
    const call = existing === undefined ? work(queue.turn) : queue.tail.then(() => work(queue.turn))
    const onEnd = () => {
      if (--queue.length === 0) this.#queues.delete(key)
    }
    queue.tail = call.then(onEnd, () => {
      queue.turn.last = undefined
      onEnd()
    })
    return call
  }
}
