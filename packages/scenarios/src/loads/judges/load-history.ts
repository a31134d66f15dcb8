import {
  type BackendTraits,
  type History,
  type HistoryEntry,
  isAcknowledged,
  resultOf,
} from '@stowage/testing/simulation'

/** What a loader does in the end. `private`: skips, and shares the value with no other caller. */
export type LoadOutcome = 'value' | 'undefined' | 'error' | 'skip' | 'private' | 'not modified'

/** The options of a call of `remember`, with durations in milliseconds, and what its loader does. */
export interface RememberSettings {
  readonly loadMs: number
  readonly outcome: LoadOutcome
  /** Whether the loader stops when its signal aborts. */
  readonly stopsOnAbort: boolean
  readonly ttl?: number | undefined
  readonly staleWhileRevalidate?: number | undefined
  readonly staleIfError?: number | undefined
  readonly backoff?: number | undefined
  readonly lease?: number | false | undefined
  readonly refresh?: boolean | undefined
  readonly timeout?: number | undefined
  /** After which time the caller gives up. */
  readonly abortMs?: number | undefined
  /** The keys of a call of `rememberMany`. The first one is that of the call. */
  readonly group?: readonly string[] | undefined
  /** A key that the loader calls `remember` for. */
  readonly nested?: string | undefined
  readonly tags?: readonly string[] | undefined
  /** Tags that the loader adds. */
  readonly lateTags?: readonly string[] | undefined
}

export type LoadCall = {
  readonly key: string
  readonly inNamespace: boolean
} & (
  | ({ readonly op: 'remember' } & RememberSettings)
  | { readonly op: 'get' | 'getMany' | 'delete' | 'expire' | 'clear' }
  | { readonly op: 'set' | 'add' | 'update'; readonly tags?: readonly string[] | undefined }
  | {
      readonly op: 'invalidate'
      readonly tags: readonly string[]
      /** Whether entries become stale only. */
      readonly stale: boolean
    }
  /** Uses so many namespaces that the cache forgets some. */
  | { readonly op: 'crowd' }
)

export type LoadEntry = HistoryEntry<LoadCall>

/** Identifies a value: by the load that returned it, or by the call that wrote it. */
export interface ValueId {
  readonly load?: number
  readonly written?: number
}

/** A run of a loader. */
export interface Load {
  /** When it began, in the order of everything that happened. Identifies the load. */
  readonly began: number
  readonly beganAt: number
  endedAt: number
  readonly process: string
  readonly key: string
  /** When the call of the workload began from which the load follows. */
  readonly callOrder: number
  readonly settings: RememberSettings
  /** Whether the loader of another key called `remember`. */
  readonly isNested: boolean
  /** Whether no caller waits for it. */
  readonly isBackground: boolean
  /** Whether the loader received a stale value. */
  readonly isRefresh: boolean
  /** The value that the loader declared to be current still. */
  readonly confirms: ValueId | undefined
}

/** A read of the store, from the call to its result. */
export interface StoreRead {
  readonly process: string
  /** The storage key, or the name of another operation. */
  readonly key: string
  readonly began: number
  ended: number
}

/** What the processes record besides the history. */
export class LoadLog {
  readonly loads: Load[] = []
  readonly reads: StoreRead[] = []
  /** Marks that were stored without comparing what they replaced. */
  readonly blindMarks: { readonly process: string; readonly key: string; readonly at: number }[] =
    []

  static of(shared: ReadonlyMap<string, unknown>): LoadLog {
    return (shared.get('loads') as LoadLog | undefined) ?? new LoadLog()
  }
}

/** Where a value comes from. */
export interface Origin {
  readonly id: ValueId
  readonly process: string
  readonly key: string
  /** When the load or the write of the value began. */
  readonly began: number
  readonly load: Load | undefined
  readonly tags: readonly string[]
}

/** A value that a call returned. */
export interface ReadValue {
  readonly entry: LoadEntry
  readonly key: string
  readonly origin: Origin
}

/** The history of a run, prepared for its judges. */
export class LoadHistory {
  readonly log: LoadLog
  readonly history: History<LoadCall>
  readonly entries: readonly LoadEntry[]
  readonly traits: BackendTraits
  /** The calls that succeeded and are not reads. */
  readonly writes: readonly LoadEntry[]
  readonly #loads: ReadonlyMap<number, Load>
  readonly #calls: ReadonlyMap<number, LoadEntry>

  constructor(history: History<LoadCall>, log: LoadLog, traits: BackendTraits) {
    this.history = history
    this.log = log
    this.traits = traits
    this.entries = history.entries
    this.writes = history.entries.filter((entry) => isWrite(entry) && isAcknowledged(entry))
    this.#loads = new Map(log.loads.map((load) => [load.began, load]))
    // A call of the workload takes the next number as its first step.
    this.#calls = new Map(history.entries.map((entry) => [entry.invoked + 1, entry]))
  }

  /** The values that were returned by calls. */
  get values(): readonly ReadValue[] {
    return this.entries.flatMap((entry) => {
      const { call } = entry
      const result = resultOf(entry)
      const keys = call.op === 'getMany' ? loadKeys : groupOf(call)
      if (keys !== undefined) {
        return ((result as unknown[] | undefined) ?? []).flatMap((id, index) =>
          this.#valueOf(entry, fullKey({ ...call, key: keys[index] as string }), id),
        )
      }
      if (call.op !== 'get' && call.op !== 'remember') return []
      return this.#valueOf(entry, fullKey(call), result)
    })
  }

  /** The call of the workload from which a load follows. */
  callOf({ callOrder }: Pick<Load, 'callOrder'>): LoadEntry | undefined {
    return this.#calls.get(callOrder)
  }

  #valueOf(entry: LoadEntry, key: string, id: unknown): ReadValue[] {
    const origin = id === undefined ? undefined : this.#originOf(id as ValueId)
    return origin === undefined ? [] : [{ entry, key, origin }]
  }

  #originOf(id: ValueId): Origin | undefined {
    if (id.load !== undefined) {
      const load = this.#loads.get(id.load)
      if (load === undefined) return undefined
      const { process, key, began, settings } = load
      const tags = [...(settings.tags ?? []), ...(settings.lateTags ?? [])]
      return { id, process, key, began, load, tags }
    }
    const call = this.#calls.get(id.written ?? -1)
    // The effect of a write without a result may come at any time.
    if (call === undefined || !isAcknowledged(call)) return undefined
    const tags = ('tags' in call.call ? call.call.tags : undefined) ?? []
    const began = call.settled ?? Infinity
    return { id, process: call.process, key: fullKey(call.call), began, load: undefined, tags }
  }
}

/** Whether a call joined the load whose value it returned. */
export function joinsLoad({ entry, origin: { load } }: ReadValue): boolean {
  return load?.process === entry.process && load.endedAt > entry.invokedAt
}

export const loadKeys = ['key0', 'key1', 'key2'] as const

/** The key with its namespace. */
export function fullKey({ key, inNamespace }: Pick<LoadCall, 'key' | 'inNamespace'>): string {
  return inNamespace ? `ns/${key}` : key
}

function groupOf(call: LoadCall): readonly string[] | undefined {
  return call.op === 'remember' ? call.group : undefined
}

/** Whether a storage key is that of a key. */
export function isKeyOf(storageKey: string, key: string): boolean {
  const name = key.replace('ns/', '')
  return storageKey.endsWith(name) && storageKey.includes(':ns:') === key.startsWith('ns/')
}

/** Whether a call may invalidate, replace or delete entries. */
export function isWrite({ call }: LoadEntry): boolean {
  return !['get', 'getMany', 'remember', 'crowd'].includes(call.op)
}

/** Whether a call that succeeded ended what was stored under a key with these tags before. */
export function ends(entry: LoadEntry, key: string, tags: readonly string[]): boolean {
  const { call } = entry
  if (call.op === 'invalidate') return !call.stale && call.tags.some((tag) => tags.includes(tag))
  if (call.op === 'expire') return false
  if (call.op === 'add' && resultOf(entry) === false) return false
  return concerns(entry, key)
}

/** Whether a call that succeeded made entries with these tags stale. */
export function expires(entry: LoadEntry, tags: readonly string[]): boolean {
  const { call } = entry
  return call.op === 'invalidate' && call.stale && call.tags.some((tag) => tags.includes(tag))
}

/** Whether a call may have changed what is stored under a key. */
export function concerns({ call }: LoadEntry, key: string): boolean {
  if (call.op === 'invalidate') return true
  if (call.op === 'clear') return !call.inNamespace || key.startsWith('ns/')
  const keys = groupOf(call) ?? [call.key]
  return keys.some((each) => key === fullKey({ ...call, key: each }))
}

export function settledOf({ settled = Infinity }: Pick<LoadEntry, 'settled'>): number {
  return settled
}
