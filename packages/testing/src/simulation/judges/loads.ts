import type { FoundValue, RememberCall } from '../scenarios/remember.ts'
import { type History, type HistoryEntry, isAcknowledged, resultOf } from './history.ts'

/** A run of a loader. */
export interface Load {
  readonly process: string
  readonly key: string
  /** When `remember` was called, in the order of everything that happened. */
  readonly invoked: number
  /** When the loader was called. Identifies the load. */
  readonly began: number
  /** Whether the loader of another key called `remember`. */
  readonly isNested: boolean
}

type Entry = HistoryEntry<RememberCall>

/** Judges that no loaded value outlives a later write of its process, and that loads are shared within a process. */
export function judgeLoads(
  history: History<RememberCall>,
  { shared }: { readonly shared: ReadonlyMap<string, unknown> },
): string | undefined {
  const loads = (shared.get('loads') ?? []) as readonly Load[]
  const writes = history.entries.filter(isWrite)
  return (
    findResurrection(history, loads, writes) ??
    (history.isFaultless ? findSecondLoad(history, loads, writes) : undefined)
  )
}

/** A value is read after a write was acknowledged, although its load began before that write, in the same process. */
function findResurrection(
  { entries }: History<RememberCall>,
  loads: readonly Load[],
  writes: readonly Entry[],
): string | undefined {
  const byNumber = new Map(loads.map((load) => [load.began, load]))
  for (const read of entries) {
    const value = resultOf(read) as FoundValue | undefined
    const isRead = read.call.op === 'get' || read.call.op === 'remember'
    const load = isRead && value?.load !== undefined ? byNumber.get(value.load) : undefined
    if (load === undefined || isDisturbed(entries, load)) continue
    const write = writes.find(
      (each) =>
        isAcknowledged(each) &&
        each.process === load.process &&
        affects(each, load.key) &&
        load.invoked < each.invoked &&
        (each.settled ?? Infinity) < read.invoked,
    )
    if (write === undefined) continue
    return (
      `${read.process} read ${load.key} from a load that ${load.process} began before its ` +
      `${write.call.op} at ${write.invokedAt} ms, which was acknowledged at ${write.settledAt} ms.`
    )
  }
  return undefined
}

/** Whether the outcome of a request of the load is not known: its value may be stored later. */
function isDisturbed(entries: readonly Entry[], { process, invoked }: Load): boolean {
  const call = entries.findLast((entry) => entry.process === process && entry.invoked < invoked)
  return call?.isDisturbed === true
}

/** A call of `remember` runs its loader although it was made during another one for the same key. */
function findSecondLoad(
  { entries }: History<RememberCall>,
  loads: readonly Load[],
  writes: readonly Entry[],
): string | undefined {
  for (const second of loads) {
    if (second.isNested) continue
    const first = loads.find(
      (load) =>
        load.process === second.process &&
        load.key === second.key &&
        load.invoked < second.invoked &&
        second.invoked < settledOf(entries, load),
    )
    if (first === undefined) continue
    const isInvalidated = writes.some(
      (write) =>
        write.process === first.process &&
        affects(write, first.key) &&
        write.invoked < second.began &&
        (write.settled ?? Infinity) > first.invoked,
    )
    if (!isInvalidated) return `${first.process} loaded ${first.key} twice at the same time.`
  }
  return undefined
}

/** When the call of `remember` that began the load settled. */
function settledOf(entries: readonly Entry[], { process, invoked, isNested }: Load): number {
  if (isNested) return 0
  const call = entries.findLast((entry) => entry.process === process && entry.invoked < invoked)
  return call?.settled ?? Infinity
}

function isWrite({ call }: Entry): boolean {
  return call.op !== 'get' && call.op !== 'remember' && call.op !== 'crowd'
}

/** Whether an acknowledged write replaces or deletes what is stored under the key. */
function affects(entry: Entry, key: string): boolean {
  const { call } = entry
  if (call.op === 'clear') return !call.inNamespace || key.startsWith('ns/')
  if (call.op === 'add' && resultOf(entry) === false) return false
  return key === (call.inNamespace ? `ns/${call.key}` : call.key)
}
