import { TickBatch } from '../calls/tick-batch.ts'
import type { ReadOptions } from '../store.ts'
import type { EntryReader, Found } from './entry-reader.ts'

/** Reads the keys that are requested in one turn by one `getMany`, all with the same tags and options. */
export class MergedReader implements Pick<EntryReader, 'read'> {
  readonly #reads: TickBatch<Found>

  constructor(reader: EntryReader, tags: readonly string[], options?: ReadOptions) {
    this.#reads = new TickBatch((keys) => reader.readMany(keys, tags, options))
  }

  read(key: string): Promise<Found> {
    return this.#reads.get(key)
  }
}
