import type { Awaitable } from '../store.ts'

/** A promise with its functions to settle it. */
export class Deferred<T> {
  readonly promise: Promise<T>
  resolve!: (value: Awaitable<T>) => void
  reject!: (reason: unknown) => void

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }
}
