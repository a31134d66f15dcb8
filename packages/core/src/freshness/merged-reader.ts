import { TurnBatch } from '../calls/turn-batch.ts'
import type { ReadOptions } from '../store.ts'
import type { EntryReader, Found } from './entry-reader.ts'

/** Reads the keys that are requested in one turn by one `getMany`, all with the same tags and options. */
export class MergedReader implements Pick<EntryReader, 'read'> {
  readonly #reads: TurnBatch<Found>

  constructor(reader: EntryReader, tags: readonly string[], options?: ReadOptions) {
    this.#reads = new TurnBatch((keys) => reader.readMany(keys, tags, options))
  }

  read(key: string): Promise<Found> {
    return this.#reads.get(key)
  }
}
