import { TickBatch } from '../calls/tick-batch.ts'
import { strongRead } from '../store.ts'
import { wait } from '../time/wait.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { getOutcomes } from '../wrappers/batch-error.ts'
import type { LeasePolls } from './lease-wait.ts'

/** Waits for the leases of many keys with one timer, and reads them with one `getMany`. */
export class SharedPolls implements LeasePolls {
  readonly #reads = new Map<AnyStore, TickBatch<unknown>>()
  #timer: Promise<void> | undefined
  #lastReadAt = 0

  /** A wait that begins while another is in progress ends with that one. */
  wait(ms: number): Promise<void> {
    this.#timer ??= wait(ms).then(() => {
      this.#timer = undefined
    })
    return this.#timer
  }

  read(store: AnyStore, key: string): Promise<unknown> {
    let reads = this.#reads.get(store)
    if (reads === undefined) {
      reads = this.#readsOf(store)
      this.#reads.set(store, reads)
    }
    return reads.get(key)
  }

  lastReadAt(): number {
    return this.#lastReadAt
  }

  #readsOf(store: AnyStore): TickBatch<unknown> {
    return new TickBatch(async (keys) => {
      const outcomes = await getOutcomes(store, keys, strongRead)
      this.#lastReadAt = performance.now()
      return outcomes
    })
  }
}
