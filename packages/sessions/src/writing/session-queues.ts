import type { SeenSession } from '../users/session-users.ts'

/** The calls for one session that wait for each other. */
export interface SessionQueue {
  /** What the call before has left in the store; `undefined` if that is not known. */
  last: SeenSession | 'ended' | undefined
}

interface Waiting {
  readonly queue: SessionQueue
  /** The last call. It never rejects. */
  tail: Promise<unknown>
  length: number
}

/**
 * Makes the calls for one session one after another, in this process. Each call begins with what the one before has left,
 * so that it needs no read, and does not conflict.
 */
export class SessionQueues {
  readonly #waiting = new Map<string, Waiting>()

  /** Resolves when the calls for the session that were made so far have settled; `undefined` if there are none. */
  settled(key: string): Promise<unknown> | undefined {
    return this.#waiting.get(key)?.tail
  }

  run<T>(key: string, work: (queue: SessionQueue) => Promise<T>): Promise<T> {
    const existing = this.#waiting.get(key)
    const waiting = existing ?? { queue: { last: undefined }, tail: Promise.resolve(), length: 0 }
    this.#waiting.set(key, waiting)
    waiting.length++
    const { queue } = waiting
    const call = existing === undefined ? work(queue) : waiting.tail.then(() => work(queue))
    const onEnd = () => {
      if (--waiting.length === 0) this.#waiting.delete(key)
    }
    waiting.tail = call.then(onEnd, () => {
      queue.last = undefined
      onEnd()
    })
    return call
  }
}
