import { Cache, type CacheOptions } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'

/** Caches with separate state over one backend, as two processes have. */
export interface TwoProcesses {
  readonly a: Cache
  readonly b: Cache
  readonly clock: ManualClock
  readonly backend: ByteStore
  /** The names of the operations that the backend has executed, without the reads. */
  readonly writes: string[]
  readonly reads: string[]
}

export function twoProcesses(options: CacheOptions = {}): TwoProcesses {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const writes: string[] = []
  const reads: string[] = []
  const connect = () =>
    wrapStore(backend, (operation, call) => {
      ;(operation.startsWith('get') ? reads : writes).push(operation)
      return call()
    })
  const create = () => new Cache(connect(), { clock, ...options })
  return { a: create(), b: create(), clock, backend, writes, reads }
}

/** A promise that a test settles. */
export function gate<T = void>(): {
  readonly opened: Promise<T>
  open(value: T): void
  fail(error: unknown): void
} {
  let open!: (value: T) => void
  let fail!: (error: unknown) => void
  const opened = new Promise<T>((resolve, reject) => {
    open = resolve
    fail = reject
  })
  return { opened, open, fail }
}

/** Lets everything run that does not wait for the clock. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}
