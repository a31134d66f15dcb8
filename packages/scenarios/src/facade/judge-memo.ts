import type { History, HistoryEntry } from '@stowage/testing/simulation'

/** A step of a scope. The next one follows after a pause, or when this one has settled as well. */
export interface MemoStep {
  readonly op: 'get' | 'getMany' | 'strong get' | 'set' | 'update' | 'delete'
  readonly key: string
  readonly isAwaited: boolean
  readonly pauseMs: number
}

/** The steps of one request. */
export interface MemoCall {
  readonly steps: readonly MemoStep[]
}

/** A step that was taken, with its place in the order of everything that happened. */
export interface TakenStep extends MemoStep {
  readonly call: MemoCall
  readonly began: number
  /** When it succeeded; `undefined` if it never did. */
  ended: number | undefined
  /** What was read or written; `undefined` for a miss, and if it was deleted. */
  value: number | undefined
}

/**
 * Judges that a read in a scope returns nothing older than
 * - what had been written before the scope began,
 * - what was written before the read in the scope itself, or before a strong read by anybody,
 *
 * and that all reads of a key return the same, unless they are strong or the scope writes the key.
 */
export function judgeMemo(
  { entries }: History<MemoCall>,
  taken: readonly TakenStep[],
): string | undefined {
  const scopes = new Map(entries.map((entry) => [entry.call, entry]))
  for (const key of new Set(taken.map((step) => step.key))) {
    const steps = taken.filter((step) => step.key === key && step.ended !== undefined)
    const problem =
      staleRead(steps, scopes) ?? changedRead(taken.filter((each) => each.key === key))
    if (problem !== undefined) return problem
  }
  return undefined
}

function staleRead(
  steps: readonly TakenStep[],
  scopes: ReadonlyMap<MemoCall, HistoryEntry<MemoCall>>,
): string | undefined {
  const writes = steps.filter((step) => !isRead(step))
  for (const read of steps) {
    if (!isRead(read) || read.value === undefined) continue
    const write = writes.find(({ value }) => value === read.value)
    // A write that failed may take effect at any time.
    if (write === undefined) continue
    const { invoked = 0 } = scopes.get(read.call) ?? {}
    const later = writes.find((each) => {
      const isNoticed = each.call === read.call || read.op === 'strong get'
      return endOf(write) < each.began && endOf(each) < (isNoticed ? read.began : invoked)
    })
    if (later !== undefined) return `${textOf(read)}: it was replaced by ${textOf(later)}.`
  }
  return undefined
}

function changedRead(steps: readonly TakenStep[]): string | undefined {
  const reads = steps.filter((step) => isMemoized(step) && step.ended !== undefined)
  for (const second of reads) {
    const first = reads.find((each) => each.call === second.call && endOf(each) < second.began)
    if (first === undefined || first.value === second.value) continue
    const isWritten = steps.some((each) => !isRead(each) && each.call === second.call)
    if (!isWritten) return `${textOf(second)}, after ${textOf(first)} in the same scope.`
  }
  return undefined
}

function isRead({ op }: MemoStep): boolean {
  return isMemoized({ op }) || op === 'strong get'
}

function isMemoized({ op }: Pick<MemoStep, 'op'>): boolean {
  return op === 'get' || op === 'getMany'
}

function endOf({ ended = Infinity }: TakenStep): number {
  return ended
}

function textOf({ op, key, began, value }: TakenStep): string {
  return `${op} ${key} (${began}) → ${String(value)}`
}
