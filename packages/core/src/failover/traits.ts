import {
  type BackendReport,
  type CheckOptions,
  pingReport,
  type StoreDiagnostics,
} from '../diagnostics.ts'
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
    return fallback.time?.() ?? Date.now()
  }
  return () => (isInOutage() ? estimate() : read().catch(estimate))
}

/** Returns diagnostics that check both stores. The roles of the servers of the fallback store begin with "fallback". */
export function failoverDiagnostics(primary: ByteStore, fallback: ByteStore): StoreDiagnostics {
  const check = async (options?: CheckOptions): Promise<BackendReport> => {
    const [own, other] = await Promise.all([checkOf(primary, options), checkOf(fallback, options)])
    const fallbacks = other.servers.map((each) => ({ ...each, role: fallbackRole(each.role) }))
    return {
      servers: [...own.servers, ...fallbacks],
      findings: [...own.findings, ...other.findings],
    }
  }
  const { diagnostics } = primary
  if (diagnostics?.locate === undefined) return { check }
  return { check, locate: (key) => diagnostics.locate?.(key) as Promise<string> }
}

async function checkOf(store: ByteStore, options?: CheckOptions): Promise<BackendReport> {
  if (store.diagnostics !== undefined) return store.diagnostics.check(options)
  const address = store.processLocal === true ? 'this process' : store.name
  return pingReport(address, () => store.ping())
}

/** The fallback store of a fallback store is one as well. */
function fallbackRole(role: string): string {
  return role.startsWith('fallback') ? role : `fallback ${role}`
}
