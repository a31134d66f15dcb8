import {
  type History,
  type HistoryEntry,
  isAcknowledged,
  resultOf,
} from '@stowage/testing/simulation'

export type SessionCall =
  /** Writes the next version of the key that belongs to the process. */
  | { readonly op: 'write' }
  /** Reads the key that belongs to a process. */
  | { readonly op: 'read' | 'strong read'; readonly owner: number }
  /** Hands a consistency token to the other processes. */
  | { readonly op: 'share' }
  /** Observes the newest token that was handed out. */
  | { readonly op: 'observe' }

/** The versions of each key that a token stands for. */
export type Versions = Readonly<Record<string, number>>

/** What a call of the workload resolves to. */
export interface SessionResult {
  readonly key?: string
  readonly version?: number | undefined
  readonly versions?: Versions
}

type Entry = HistoryEntry<SessionCall>

/**
 * Judges that a session read includes the acknowledged writes of its process and those of every token it has observed,
 * and a strong read all acknowledged writes.
 */
export function judgeSessions({ entries }: History<SessionCall>): string | undefined {
  for (const read of entries) {
    const { op } = read.call
    if ((op !== 'read' && op !== 'strong read') || !isAcknowledged(read)) continue
    const { key = '', version = 0 } = resultOf(read) as SessionResult
    const expected = Math.max(0, ...entries.map((entry) => versionFor(read, key, entry)))
    if (version >= expected) continue
    return (
      `${read.process} read version ${version} of ${key} at ${read.invokedAt} ms (${op}), ` +
      `although it must see version ${expected}.`
    )
  }
  return undefined
}

/** The version of the key that a read must include because of an earlier call. */
function versionFor(read: Entry, key: string, earlier: Entry): number {
  if (!isAcknowledged(earlier) || (earlier.settled ?? Infinity) > read.invoked) return 0
  const result = resultOf(earlier) as SessionResult
  const isOwn = earlier.process === read.process
  if (earlier.call.op === 'write' && (isOwn || read.call.op === 'strong read')) {
    return result.key === key ? (result.version ?? 0) : 0
  }
  return earlier.call.op === 'observe' && isOwn ? (result.versions?.[key] ?? 0) : 0
}
