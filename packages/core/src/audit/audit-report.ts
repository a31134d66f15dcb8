/** How long a difference has lasted. */
export const auditWindows = { '1s': 1_000, '1m': 60_000, '10m': 600_000 } as const
export type AuditWindow = keyof typeof auditWindows

/** What the audit has found, of a group of keys or of all. */
export interface AuditCounts {
  /** The hits that were compared with the source. */
  readonly sampled: number
  /** Those whose value was not that of the source. Most are about to be invalidated. */
  readonly differing: number
  /** Those that differed within a staleness that was chosen: stale values, and reads from replicas or a near cache. */
  readonly stale: number
  /** Those that still returned the same value after that time, while the source still had another one. */
  readonly inconsistent: Readonly<Record<AuditWindow, number>>
}

/** The counts of an audit, and what follows from them. */
export interface AuditedGroup extends AuditCounts {
  /** The share of the hits that were not inconsistent for longer than that, from 0 to 1. */
  readonly consistency: Readonly<Record<AuditWindow, number>>
  /**
   * The same as a number of nines: 3 for 0.999. If no hit was inconsistent, the number of nines that so many samples can
   * show: 4 after 10,000.
   */
  readonly nines: Readonly<Record<AuditWindow, number>>
}

export interface AuditReport extends AuditedGroup {
  readonly groups: Readonly<Record<string, AuditedGroup>>
}

/** Counts while the audit runs. */
export class AuditCount implements AuditCounts {
  sampled = 0
  differing = 0
  stale = 0
  readonly inconsistent: Record<AuditWindow, number> = { '1s': 0, '1m': 0, '10m': 0 }
}

/** Returns the report about counts by group. */
export function reportOf(counts: ReadonlyMap<string, AuditCounts>): AuditReport {
  const groups = Array.from(counts, ([group, each]) => [group, assess(each)] as const)
  return { ...assess(sum([...counts.values()])), groups: Object.fromEntries(groups) }
}

function sum(all: readonly AuditCounts[]): AuditCounts {
  const total = new AuditCount()
  for (const { sampled, differing, stale, inconsistent } of all) {
    total.sampled += sampled
    total.differing += differing
    total.stale += stale
    for (const window of windows) total.inconsistent[window] += inconsistent[window]
  }
  return total
}

function assess({ sampled, differing, stale, inconsistent }: AuditCounts): AuditedGroup {
  const shareOf = (window: AuditWindow) => (sampled === 0 ? 0 : inconsistent[window] / sampled)
  const ninesOf = (window: AuditWindow) => {
    if (sampled === 0) return 0
    return round(-Math.log10(Math.max(shareOf(window), 1 / sampled)))
  }
  return {
    ...{ sampled, differing, stale, inconsistent: { ...inconsistent } },
    consistency: byWindow((window) => 1 - shareOf(window)),
    nines: byWindow(ninesOf),
  }
}

const windows = Object.keys(auditWindows) as AuditWindow[]

function byWindow(of: (window: AuditWindow) => number): Record<AuditWindow, number> {
  return { '1s': of('1s'), '1m': of('1m'), '10m': of('10m') }
}

function round(nines: number): number {
  return Math.round(nines * 10) / 10
}
