/** A call of one of the processes. Times are those of `machineTime`. */
export interface Call {
  readonly op: 'read' | 'write'
  readonly process: string
  /** `undefined` for a write of all keys, such as FLUSHALL. */
  readonly key: string | undefined
  /** What was read or written; `undefined` for a delete. */
  readonly value: string | undefined
  readonly start: number
  readonly end: number
  /** Whether a write has succeeded. */
  readonly isAcknowledged: boolean
}

/** The time that a near cache uses for several hits is this exact. */
const slackMs = 20

/**
 * Returns the reads of values that were certainly replaced: longer ago than `boundMs`, or by the same process.
 */
export function outdatedReads(calls: readonly Call[], boundMs: number): string[] {
  const writes = calls.filter(({ op }) => op === 'write')
  const byValue = new Map(writes.map((write) => [write.value, write]))
  const byKey = new Map<string | undefined, Call[]>()
  for (const write of writes) {
    if (write.isAcknowledged) byKey.set(write.key, [...(byKey.get(write.key) ?? []), write])
  }
  return calls.flatMap((read) => {
    const write = read.op === 'read' ? byValue.get(read.value) : undefined
    // A write that failed may take effect later.
    if (write === undefined || !write.isAcknowledged) return []
    const later = [...(byKey.get(read.key) ?? []), ...(byKey.get(undefined) ?? [])].find(
      (each) => each.start > write.end && mustNotice(read, each, boundMs),
    )
    return later === undefined ? [] : [describe(read, write, later)]
  })
}

function mustNotice(read: Call, change: Call, boundMs: number): boolean {
  if (change.process === read.process) return change.end < read.start
  return change.end < read.start - boundMs - slackMs
}

function describe(read: Call, write: Call, later: Call): string {
  const age = (read.start - later.end).toFixed(1)
  return `${read.process} read ${read.value} of ${write.process}, ${age} ms after ${later.process} wrote ${later.value}`
}
