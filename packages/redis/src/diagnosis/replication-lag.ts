import { setTimeout as sleep } from 'node:timers/promises'
import type { Finding } from '@stowage/core/tools'
import type { Connection } from '../connection/connection.ts'
import { readReplicationState } from '../consistency/replication-info.ts'
import type { Probe } from './probe.ts'

const pollMs = 25
/** Replicas within this bound are not reported. */
const maxLagMs = 1_000

export interface Lag {
  /** Bytes of the stream that the replica had not applied when it was read first. */
  readonly bytes: number
  /** How long it took to apply them; `undefined` if longer than one second. */
  readonly ms: number | undefined
}

/** Waits until the replica has applied what its primary had written, for one second at most. */
export async function measureLag(replica: Connection, primary: Probe): Promise<Lag | undefined> {
  const target = Number(primary.info.get('master_repl_offset'))
  const startedAt = performance.now()
  let bytes: number | undefined
  do {
    const state = await readReplicationState(replica)
    if (typeof state === 'string' || Number.isNaN(target)) return undefined
    const behind = Math.max(0, target - state.offset)
    bytes ??= behind
    if (behind === 0) return { bytes, ms: bytes === 0 ? 0 : performance.now() - startedAt }
    await sleep(pollMs)
  } while (performance.now() - startedAt < maxLagMs)
  return { bytes, ms: undefined }
}

export function lagFindings(subject: string, lag: Lag | undefined): Finding[] {
  if (lag === undefined || lag.ms !== undefined) return []
  return [
    {
      code: 'redis-replica-lag',
      severity: 'warning',
      subject,
      problem: `The replica was ${lag.bytes} bytes behind its primary, and did not apply them within one second.`,
      remedy:
        'Check its CPU, its network and slow commands. Until it catches up, reads are old or use the primary.',
    },
  ]
}

export function lagFact(lag: Lag | undefined): Record<string, string> {
  if (lag === undefined) return {}
  return { lag: lag.ms === undefined ? 'over 1 s' : `${Math.round(lag.ms)} ms` }
}
