import { atCaller } from '../calls/at-caller.ts'
import { publishError } from '../channels.ts'
import { CacheError } from '../errors.ts'
import type { Keyspace } from '../keys.ts'
import { checkFunction, checkKeys, checkTags } from '../options/check-arguments.ts'
import { checkChoice, checkOptionNames, checkTimeout } from '../options/check-options.ts'
import type { CacheRoot } from '../scope/cache-root.ts'
import type { CacheScope } from '../scope/cache-scope.ts'
import type { Clock } from '../time/clock.ts'
import type { Mark } from '../values/mark.ts'
import type { StoredEntries } from '../values/stored-entries.ts'
import type { Change, ChangedNames, ChangeOptions, ChangeWork } from './change.ts'
import { RunningChange } from './running-change.ts'
import { type MarkedKey, SharedMark, type Successor } from './shared-mark.ts'

const example = "changing({ keys: ['user:1'] }, () => transaction)"
const optionNames = { keys: true, tags: true, for: true, ifUnavailable: true } as const
const nameNames = { keys: true, tags: true } as const
const deletion = { item: undefined, ttl: undefined }

export interface ChangeCallsContext {
  readonly entries: StoredEntries
  readonly keyspace: Keyspace
  readonly scope: Pick<CacheScope, 'activeLoads' | 'invalidateLoads' | 'storePrefix'>
  readonly root: CacheRoot
  readonly clock: Clock
}

/** The result of work, and what may be stored in the place of the mark. */
export interface Changed<T> {
  readonly value: T
  readonly next?: Successor | undefined
}

/** The calls of `changing` of a cache. */
export class ChangeCalls {
  readonly #context: ChangeCallsContext

  constructor(context: ChangeCallsContext) {
    this.#context = context
  }

  /** Runs the work while the keys and tags are marked. */
  async run<T>(
    first: ChangeOptions | ChangeWork<T>,
    second: ChangeWork<T> | undefined,
  ): Promise<T> {
    const options: ChangeOptions = typeof first === 'function' ? {} : first
    const work = typeof first === 'function' ? first : (second as ChangeWork<T>)
    checkOptionNames('changing', options, optionNames, example)
    checkFunction(work, example)
    return this.runStoring(options, async (change) => ({ value: await work(change) }))
  }

  /** The same for work that also returns what may be stored in the place of the mark of its only key. */
  async runStoring<T>(
    options: ChangeOptions,
    work: (change: Change) => Promise<Changed<T>>,
  ): Promise<T> {
    const change = this.#begin(options)
    // Not longer than the marks stand by themselves.
    const allowClose = this.#context.scope.activeLoads.delayClose(change.ms)
    try {
      await this.#mark(change, options)
      return await runMarked(change, work)
    } finally {
      allowClose()
    }
  }

  /** Returns a change without marks. */
  #begin({ for: duration = '30s', ifUnavailable = 'reject' }: ChangeOptions): RunningChange {
    const { name: store } = this.#context.entries.store
    const ms = checkTimeout('changing: for', duration)
    const modes = ['reject', 'proceed'] as const
    const proceeds = checkChoice('changing: ifUnavailable', ifUnavailable, modes) === 'proceed'
    const report = (key: string, error: unknown) => {
      if (!CacheError.is(error)) throw error
      publishError(this.#context.entries.event(key), error)
    }
    const marksOf = (what: ChangedNames) => this.#marksOf(what)
    return new RunningChange({ store, ms, proceeds, marksOf, report })
  }

  async #mark(change: RunningChange, { keys, tags }: ChangeOptions): Promise<void> {
    try {
      await atCaller(change.mark({ keys, tags }))
    } catch (error) {
      // Without a wait: the backend may be unreachable.
      change.cancel().catch(() => {})
      throw error
    }
  }

  #marksOf(what: ChangedNames): SharedMark[] {
    checkOptionNames('mark', what, nameNames)
    const { keys = [], tags = [] } = what
    checkKeys('changing', keys)
    checkTags(tags)
    const { keyspace, entries, scope, root } = this.#context
    // The null driver keeps no marks, and nothing that they could protect.
    if (entries.store.name === 'null') return []
    const storageKeys = keys.map((key) => keyspace.toStorageKey(key))
    return [
      // Scopes may have equal storage keys.
      ...storageKeys.map((key) =>
        sharedMark(root, scope.storePrefix + key, () => this.#markedKey(key)),
      ),
      ...tags.map((tag) => sharedMark(root, root.tags.keyOf(tag), () => this.#markedTag(tag))),
    ]
  }

  #markedKey(key: string): MarkedKey {
    const { entries, scope, root, clock } = this.#context
    const onWrite = () => scope.invalidateLoads(key)
    const successor = async () => deletion
    const ttlOf = ({ ms }: Mark) => ms
    return { store: entries.store, key, time: root.time, clock, ttlOf, onWrite, successor }
  }

  #markedTag(tag: string): MarkedKey {
    const { root, clock } = this.#context
    const { store, tags, time } = root
    const successor = () => tags.newVersion()
    const ttlOf = (mark: Mark) => tags.markTtlOf(mark)
    return { store, key: tags.keyOf(tag), time, clock, ttlOf, onWrite: () => {}, successor }
  }
}

/** Runs the work of a change, and then ends its marks. */
async function runMarked<T>(
  change: RunningChange,
  work: (change: Change) => Promise<Changed<T>>,
): Promise<T> {
  let next: Successor | undefined
  try {
    const changed = await work(change)
    next = changed.next
    return changed.value
  } finally {
    await change.end(next)
  }
}

/** The marks of changes in progress, which a cache shares with its namespaces and views. */
const marks = new WeakMap<CacheRoot, Map<string, SharedMark>>()

/** Returns the mark that other changes of this process have, or a new one. */
function sharedMark(root: CacheRoot, id: string, marked: () => MarkedKey): SharedMark {
  const all = marks.get(root) ?? new Map<string, SharedMark>()
  marks.set(root, all)
  const existing = all.get(id)
  if (existing !== undefined) return existing
  const created = new SharedMark(marked(), () => {
    if (all.get(id) === created) all.delete(id)
  })
  all.set(id, created)
  return created
}
