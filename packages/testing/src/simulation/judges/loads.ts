import type { SentRequest } from '../backend/network.ts'
import type { JudgeContext } from '../scenarios/scenario.ts'
import { type History, type HistoryEntry, isAcknowledged, resultOf } from './history.ts'

export type RememberCall = {
  readonly key: string
  readonly inNamespace: boolean
} & (
  | {
      readonly op: 'remember'
      readonly loadMs: number
      /** Whether the loader fails. */
      readonly fails: boolean
      /** A key that the loader calls `remember` for. */
      readonly nested: string | undefined
    }
  | { readonly op: 'get' | 'set' | 'add' | 'update' | 'delete' | 'clear' }
  /** Uses so many namespaces that the cache forgets some. */
  | { readonly op: 'crowd' }
)

/** The result of a call that returned a value. */
export interface FoundValue {
  /** The load it comes from, if it was loaded. */
  readonly load: number | undefined
}

/** A run of a loader. */
export interface Load {
  readonly process: string
  readonly key: string
  /** When the call of the workload began from which the load follows, in the order of everything that happened. */
  readonly callOrder: number
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
  { shared, traits }: JudgeContext,
): string | undefined {
  const loads = (shared.get('loads') ?? []) as readonly Load[]
  const writes = history.entries.filter(isWrite)
  return (
    findResurrection(history, loads, writes, traits.scan) ??
    (history.isFaultless ? findSecondLoad(history, loads, writes) : undefined)
  )
}

/** A value is read after a write was acknowledged, although its load began before that write, in the same process. */
function findResurrection(
  { entries, requests }: History<RememberCall>,
  loads: readonly Load[],
  writes: readonly Entry[],
  canScan: boolean,
): string | undefined {
  const byNumber = new Map(loads.map((load) => [load.began, load]))
  for (const read of entries) {
    const value = resultOf(read) as FoundValue | undefined
    // `remember` of another process may share a read that began before the write.
    const isRemember = read.call.op === 'remember'
    const isRead = read.call.op === 'get' || isRemember
    const load = isRead && value?.load !== undefined ? byNumber.get(value.load) : undefined
    if (load === undefined || isDisturbed(requests, load)) continue
    if (isRemember && read.process !== load.process) continue
    const write = writes.find(
      (each) =>
        isAcknowledged(each) &&
        each.process === load.process &&
        affects(each, load.key) &&
        load.invoked < each.invoked &&
        (each.settled ?? Infinity) < read.invoked &&
        (canScan || each.call.op === 'clear' || !hasClear(entries, read)),
    )
    if (write === undefined) continue
    return (
      `${read.process} read ${load.key} from a load that ${load.process} began before its ` +
      `${write.call.op} at ${write.invokedAt} ms, which was acknowledged at ${write.settledAt} ms.`
    )
  }
  return undefined
}

/**
 * Whether a prefix has been cleared before a read. A generation store that notices it repeats the writes in flight in the
 * new generation, where it does not keep their order.
 */
function hasClear(entries: readonly Entry[], read: Entry): boolean {
  return entries.some(({ call, invoked }) => call.op === 'clear' && invoked < read.invoked)
}

/** Whether the outcome of a request for the key is not known: the loaded value may be stored later. */
function isDisturbed(requests: readonly SentRequest[], { process, key, invoked }: Load): boolean {
  const name = key.replace('ns/', '')
  return requests.some(
    (request) =>
      request.hasFailed &&
      request.process === process &&
      request.sent > invoked &&
      request.keys.some((each) => each.endsWith(name)),
  )
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
        concerns(write, first.key) &&
        write.invoked < second.began &&
        (write.settled ?? Infinity) > first.invoked,
    )
    if (!isInvalidated) return `${first.process} loaded ${first.key} twice at the same time.`
  }
  return undefined
}

/** When the call of `remember` that began the load settled. */
function settledOf(entries: readonly Entry[], { process, callOrder, isNested }: Load): number {
  if (isNested) return 0
  const call = entries.findLast((entry) => entry.process === process && entry.invoked < callOrder)
  return call?.settled ?? Infinity
}

function isWrite({ call }: Entry): boolean {
  return call.op !== 'get' && call.op !== 'remember' && call.op !== 'crowd'
}

/** Whether an acknowledged write replaces or deletes what is stored under the key. */
function affects(entry: Entry, key: string): boolean {
  const isRefused = entry.call.op === 'add' && resultOf(entry) === false
  return !isRefused && concerns(entry, key)
}

function concerns({ call }: Entry, key: string): boolean {
  if (call.op === 'clear') return !call.inNamespace || key.startsWith('ns/')
  return key === (call.inNamespace ? `ns/${call.key}` : call.key)
}
