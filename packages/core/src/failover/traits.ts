import type { ByteStore, StoreLimits } from '../store.ts'
import { Fallback } from './fallback/fallback.ts'

/** Returns limits that both stores keep. The keys of the fallback store also contain the id of the outage. */
export function weakestLimits(primary: StoreLimits, fallback: StoreLimits): StoreLimits {
  const ttlStep = Math.max(primary.ttlStep, fallback.ttlStep)
  return {
    keyBytes: Math.min(primary.keyBytes, fallback.keyBytes - Fallback.keyPrefixBytes),
    valueBytes: Math.min(primary.valueBytes, fallback.valueBytes),
    ttlStep,
    timeError: Math.max(
      primary.timeError ?? primary.ttlStep,
      fallback.timeError ?? fallback.ttlStep,
    ),
  }
}

/**
 * Returns a function that reads the clock of the primary store. During an outage it continues from the last time that was
 * read, because the clock of the fallback store may differ; without such a time it uses that clock, or the one of the process.
 */
export function timeOf(
  primary: ByteStore,
  fallback: ByteStore,
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
    return (await fallback.time?.()) ?? Date.now()
  }
  return () => (isInOutage() ? estimate() : read().catch(estimate))
}
