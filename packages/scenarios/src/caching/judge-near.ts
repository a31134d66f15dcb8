import {
  type BackendTraits,
  type History,
  type HistoryEntry,
  isAcknowledged,
  resultOf,
} from '@stowage/testing/simulation'

export type NearCall = {
  readonly key: string
  readonly inNamespace: boolean
  /** Which of the caches of its process makes the call. @default 0 */
  readonly cache?: number
} & (
  | { readonly op: 'get' | 'getMany' | 'delete' | 'pull' | 'invalidate' | 'clear' }
  | { readonly op: 'set'; readonly ttl?: number | undefined; readonly isTagged?: boolean }
  /** Replaces the value of a snapshot some time after it was read. */
  | { readonly op: 'replace'; readonly pauseMs: number }
)

/** What the processes write down while they run. */
export interface NearNotes {
  /** The calls that write, by their values. */
  readonly writes: Map<unknown, NearCall>
  /** The messages of the bus that were delivered. */
  readonly deliveries: {
    readonly process: string
    readonly cache: number
    readonly keys: readonly string[] | undefined
    readonly order: number
  }[]
  /** The reads during which the near cache did not serve at some time: copies of nodes may have served them. */
  readonly bypassing: Set<NearCall>
  /** What the calls that replace the value of a snapshot have found and when, and when they began to replace it. */
  readonly snapshots: Map<
    NearCall,
    { readonly value: unknown; readonly readAt: number; replacedFrom: number }
  >
  problem: string | undefined
}

export const nearKeys = ['key0', 'key1', 'key2'] as const

/** The cache whose prefix is that of a namespace of the others. */
export const innerCache = 2

/** For how long a process may use the id of a generation that it knows. */
const generationMs = 1_000
/** How long a message of the bus is delayed at most. */
const messageMs = 20
/**
 * How long a request takes at most where nothing fails. A write that is sent again because of a clear may take effect in the
 * generation before it after its result is known.
 */
const requestMs = 100
const slackMs = 5

type Entry = HistoryEntry<NearCall>

/** Whether the processes of a run have a bus. */
export function hasBus({ variant }: BackendTraits): boolean {
  return variant === 0
}

/** The cache that makes a call. The inner one has tags of its own, and generations, which are a part of its keys. */
export function cacheOf(call: NearCall, { scan }: BackendTraits): number {
  const { cache = 0, inNamespace, op } = call
  const hasTags = op === 'invalidate' || (op === 'set' && call.isTagged === true)
  return cache === innerCache && (hasTags || !inNamespace || !scan) ? 0 : cache
}

/** The ttl of the near caches of a run, in milliseconds. */
export function nearTtl(traits: BackendTraits): number {
  return hasBus(traits) ? 400 : 60
}

/**
 * Judges that no read returns a value that was certainly replaced, deleted, cleared or invalidated
 * - longer ago than the ttl of the near cache,
 * - by the same process,
 * - longer ago than a message takes, where nothing fails,
 * - or before a message that may announce that was delivered to the process.
 *
 * While the near cache does not serve, and without a bus, copies of nodes may be read, which lag behind.
 */
export function judgeNear(
  history: History<NearCall>,
  traits: BackendTraits,
  notes: NearNotes,
): string | undefined {
  if (notes.problem !== undefined) return notes.problem
  const writes = new Map<unknown, Entry>()
  for (const entry of history.entries) {
    const value = isWrite(entry) ? writtenValue(entry, notes, traits) : undefined
    if (value !== undefined) writes.set(value, entry)
  }
  const changes = history.entries.filter((entry) => hasChanged(entry) && isAcknowledged(entry))
  for (const entry of history.entries) {
    const problem = snapshotProblem(entry, writes, changes, notes)
    if (problem !== undefined) return problem
  }
  for (const read of history.entries) {
    if (isChange(read) || !isAcknowledged(read) || resultOf(read) === undefined) continue
    const write = writes.get(resultOf(read))
    if (write === undefined) return `${textOf(read)}: nobody wrote that.`
    if (isExpired(write, read, traits)) return `${textOf(read)}: it had expired.`
    const change = changes.find(
      (each) =>
        concerns(each, write) &&
        endOf(write) < each.invoked &&
        mustNotice(read, each, traits, notes, history.isFaultless),
    )
    if (change !== undefined) {
      return `${textOf(read)}: written at ${write.invokedAt} ms, but then ${textOf(change)}.`
    }
  }
  return undefined
}

/**
 * A snapshot is a strong read, whatever the near caches contain, and its value is replaced only if no change came between
 * the two.
 */
function snapshotProblem(
  entry: Entry,
  writes: ReadonlyMap<unknown, Entry>,
  changes: readonly Entry[],
  { snapshots }: NearNotes,
): string | undefined {
  const snapshot = snapshots.get(entry.call)
  if (snapshot === undefined || snapshot.value === undefined) return undefined
  const write = writes.get(snapshot.value)
  const text = `${textOf(entry)} with the snapshot ${String(snapshot.value)}`
  if (write === undefined) return `${text}: nobody wrote that.`
  const others = changes.filter((change) => change !== entry && concerns(change, write))
  const before = others.find(
    ({ invoked, settled = Infinity }) => endOf(write) < invoked && settled < entry.invoked,
  )
  if (before !== undefined) return `${text}: it was outdated by ${textOf(before)}.`
  if (resultOf(entry) === undefined) return undefined
  const between = others.find(
    ({ call, invoked, settled = Infinity }) =>
      // An invalidation of tags leaves the item as it is.
      call.op !== 'invalidate' &&
      invoked > snapshot.readAt &&
      settled < snapshot.replacedFrom &&
      // A write in flight may take effect again after the change: the value is the same.
      endOf(write) < invoked,
  )
  return between && `${text}: it was replaced although ${textOf(between)}.`
}

/**
 * The value of a write, even if it failed. A replacement that is sent again because of a clear may have taken effect in the
 * generation before it only, and has the result of the new one.
 */
function writtenValue(entry: Entry, { writes }: NearNotes, { scan }: BackendTraits): unknown {
  if (isAcknowledged(entry) && (scan || resultOf(entry) !== undefined)) return resultOf(entry)
  for (const [value, call] of writes) if (call === entry.call) return value
  return undefined
}

function isChange({ call }: Entry): boolean {
  return call.op !== 'get' && call.op !== 'getMany'
}

function isWrite({ call }: Entry): boolean {
  return call.op === 'set' || call.op === 'replace'
}

/** A pull that finds nothing writes nothing, nor does a snapshot that has changed. */
function hasChanged(entry: Entry): boolean {
  const isConditional = entry.call.op === 'pull' || entry.call.op === 'replace'
  return isChange(entry) && (!isConditional || resultOf(entry) !== undefined)
}

/** Whether a change affects a value that was written before it. */
function concerns({ call }: Entry, write: Entry): boolean {
  const written = write.call
  if (call.op === 'clear') return written.inNamespace || !call.inNamespace
  if (call.op === 'invalidate') return written.op === 'set' && written.isTagged === true
  return call.key === written.key && call.inNamespace === written.inNamespace
}

/** When a write can have taken effect at the latest. */
function endOf(entry: Entry): number {
  return isAcknowledged(entry) ? (entry.settled ?? Infinity) : entry.effectiveUntil
}

function mustNotice(
  read: Entry,
  change: Entry,
  traits: BackendTraits,
  notes: NearNotes,
  isFaultless: boolean,
): boolean {
  const settled = change.settled ?? Infinity
  if (settled >= read.invoked) return false
  if (change.process === read.process) return true
  const lagMs = possibleLag(read, traits, notes, isFaultless)
  if (lagMs === undefined) return false
  const age = read.invokedAt - change.settledAt
  const isAnnounced = hasBus(traits) && (traits.scan || change.call.op === 'clear')
  if (isFaultless && isAnnounced && age > messageMs + slackMs) return true
  const generation = traits.scan ? 0 : generationMs
  // The clocks of processes run at slightly different speeds.
  const bound = nearTtl(traits) * 1.002 + generation + lagMs + slackMs
  if (age > bound) return true
  return notes.deliveries.some(
    ({ process, cache, keys, order }) =>
      process === read.process &&
      cache === cacheOf(read.call, traits) &&
      settled < order &&
      order < read.invoked &&
      (keys === undefined || keys.some((key) => mayAnnounce(key, change, traits))),
  )
}

/** How far behind the result of a read may have been, in milliseconds; `undefined` if that has no bound. */
function possibleLag(
  { call }: Entry,
  traits: BackendTraits,
  { bypassing }: NearNotes,
  isFaultless: boolean,
): number | undefined {
  const { copies, lagMs } = traits
  if (copies === 0 || (hasBus(traits) && !bypassing.has(call))) return 0
  // A copy that is separated from its node lags behind without a bound.
  return isFaultless ? lagMs : undefined
}

/** Whether a process that receives a message about this key must notice the change. */
function mayAnnounce(key: string, { call }: Entry, { scan }: BackendTraits): boolean {
  if (call.op === 'invalidate') return key === 'app:~tag:tag'
  if (call.op === 'clear') return !scan && key === `app:${namespaceOf(call)}~generation`
  // After a clear, other processes may read the generation before it for a while.
  return scan && key === `app:${namespaceOf(call)}${call.key}`
}

function namespaceOf({ inNamespace }: NearCall): string {
  return inNamespace ? 'ns:' : ''
}

function isExpired(write: Entry, read: Entry, { ttlStep, scan }: BackendTraits): boolean {
  if (write.call.op !== 'set' || write.call.ttl === undefined) return false
  const settledAt = write.settledAt + (scan ? 0 : requestMs)
  const until = isAcknowledged(write) ? settledAt : write.effectiveUntilAt
  const rounded = Math.ceil(write.call.ttl / ttlStep) * ttlStep + ttlStep
  return read.invokedAt > (until + rounded) * 1.002 + slackMs
}

function textOf(entry: Entry): string {
  const { process, call, invokedAt } = entry
  const key = `${namespaceOf(call)}${call.key}`
  return `${process} ${call.op} ${key} at ${invokedAt} ms → ${String(resultOf(entry))}`
}
