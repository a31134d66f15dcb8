import type { Finding } from '../diagnostics.ts'
import type { ReplicationState } from './replication-state.ts'

const pollMs = 25
/** Replicas within this bound are not reported. */
const maxLagMs = 1_000

/** How far a replica is behind its primary. */
export interface ReplicationLag {
  /** Bytes of the stream that the replica had not applied when it was read first. */
  readonly bytes: number
  /** How long it took to apply them; `undefined` if longer than one second. */
  readonly ms: number | undefined
}

/**
 * Waits until a replica has applied what its primary had written, for one second at most. `undefined` if its state cannot be
 * read.
 *
 * @param primaryOffset bytes of the stream that the primary had produced
 */
export async function measureLag(
  readState: () => Promise<ReplicationState>,
  primaryOffset: number,
): Promise<ReplicationLag | undefined> {
  const startedAt = performance.now()
  let bytes: number | undefined
  do {
    const state = await readState()
    if (typeof state === 'string' || Number.isNaN(primaryOffset)) return undefined
    const behind = Math.max(0, primaryOffset - state.offset)
    bytes ??= behind
    if (behind === 0) return { bytes, ms: bytes === 0 ? 0 : performance.now() - startedAt }
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  } while (performance.now() - startedAt < maxLagMs)
  return { bytes, ms: undefined }
}

/** @param remedy what to check */
export function lagFindings(
  code: string,
  subject: string,
  lag: ReplicationLag | undefined,
  remedy: string,
): Finding[] {
  if (lag === undefined || lag.ms !== undefined) return []
  const problem = `The replica was ${lag.bytes} bytes behind its primary, and did not apply them within one second.`
  return [
    {
      code,
      severity: 'warning',
      subject,
      problem,
      remedy: `${remedy} Until it catches up, reads are old or use the primary.`,
    },
  ]
}

export function lagFact(lag: ReplicationLag | undefined): Record<string, string> {
  if (lag === undefined) return {}
  return { lag: lag.ms === undefined ? 'over 1 s' : `${Math.round(lag.ms)} ms` }
}
