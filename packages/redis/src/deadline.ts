import { countdown } from '@stowage/core'
import { timedOut } from './redis-errors.ts'

/** What is left of the time of a call. */
export interface Deadline {
  /** Whether the caller has been told that it is over: nothing may be sent any more. */
  over: boolean
}

/** The result, if it comes within `ms`. */
export function within<T>(ms: number, work: (deadline: Deadline) => Promise<T>): Promise<T> {
  const deadline = { over: false }
  return new Promise((resolve, reject) => {
    const stop = countdown(ms, () => {
      deadline.over = true
      reject(new Error(timedOut))
    })
    work(deadline).then(resolve, reject).finally(stop)
  })
}
