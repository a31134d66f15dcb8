import type { ByteStore, StoreLimits } from '../store.ts'
import { Spare } from './spare/spare.ts'

/** Returns limits that both stores keep. The keys of the spare store also contain the id of the outage. */
export function weakestLimits(primary: StoreLimits, spare: StoreLimits): StoreLimits {
  const ttlStep = Math.max(primary.ttlStep, spare.ttlStep)
  return {
    keyBytes: Math.min(primary.keyBytes, spare.keyBytes - Spare.keyPrefixBytes),
    valueBytes: Math.min(primary.valueBytes, spare.valueBytes),
    ttlStep,
    timeError: Math.max(primary.timeError ?? primary.ttlStep, spare.timeError ?? spare.ttlStep),
  }
}

/**
 * Returns a function that reads the clock of the primary store. During an outage it continues from the last time that was
 * read, because the clock of the spare store may differ; without such a time it uses that clock, or the one of the process.
 */
export function timeOf(
  primary: ByteStore,
  spare: ByteStore,
  isInOutage: () => boolean,
): () => Promise<number> {
  /** What to add to `performance.now()`. */
  let offset: number | undefined
  const read = async (): Promise<number> => {
    const time = (await primary.time?.()) ?? Date.now()
    offset = time - performance.now()
    return time
  }
  const estimate = async (): Promise<number> => {
    if (offset !== undefined) return Math.floor(performance.now() + offset)
    return (await spare.time?.()) ?? Date.now()
  }
  return () => (isInOutage() ? estimate() : read().catch(estimate))
}
