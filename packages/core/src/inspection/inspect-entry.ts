import type { EntryFacts } from '../entry.ts'
import type { EntryReader, Found } from '../freshness/entry-reader.ts'
import { type AnyStore, type Payload, strongRead } from '../store.ts'
import { frameKind, frameKinds } from '../values/frame.ts'
import { isMark } from '../values/mark.ts'
import { payloadBytes } from '../values/payload.ts'
import type { StoredEntries } from '../values/stored-entries.ts'
import type { InspectedState, Inspection, PayloadFrame } from './inspection.ts'

export interface InspectedKey {
  readonly storageKey: string
  /** The store without a near cache. */
  readonly store: AnyStore
  readonly entries: StoredEntries
  readonly reader: EntryReader
}

/** Reads what is stored under a key. Publishes no hit or miss, and returns no value. */
export async function inspectEntry(target: InspectedKey): Promise<Inspection> {
  const { storageKey, store, entries, reader } = target
  const { item, ttl } = await readItem(store, storageKey)
  const found = await reader.examine(storageKey, item, undefined, strongRead)
  const facts = entries.decode(storageKey, item)?.facts
  const isStored = item !== undefined
  return {
    storageKey,
    state: stateOf(item, found),
    location: await locate(store, storageKey),
    ttlMs: isStored ? ttl : undefined,
    bytes: isStored && store.payload === 'bytes' ? payloadBytes(item as Payload) : undefined,
    frame: isStored ? frameOf(store, item) : undefined,
    tags: tagsOf(facts, found),
    freshUntil: facts?.freshUntil,
    etag: facts?.etag,
  }
}

async function readItem(
  store: AnyStore,
  key: string,
): Promise<{ readonly item: unknown; readonly ttl: number | undefined }> {
  const missing = { item: undefined, ttl: undefined }
  // Some backends do not reveal the ttl.
  if (store.getWithTtl === undefined) return { ...missing, item: await store.get(key, strongRead) }
  const [found] = await store.getWithTtl([key], strongRead)
  return found ?? missing
}

async function locate(store: AnyStore, key: string): Promise<string | undefined> {
  try {
    return await store.diagnostics?.locate?.(key)
  } catch {
    return undefined
  }
}

function stateOf(item: unknown, { entry, isEntry, staleMs }: Found): InspectedState {
  if (item === undefined) return 'missing'
  if (isMark(item)) return 'mark'
  if (entry === undefined) return isEntry ? 'invalid' : 'foreign'
  return staleMs < 0 || entry.facts === undefined ? 'fresh' : 'stale'
}

function frameOf(store: AnyStore, item: unknown): PayloadFrame {
  if (store.payload === 'entry') return 'reference'
  const kind = frameKind(item as Payload)
  if (kind === undefined) return 'text'
  const names = Object.entries(frameKinds) as [keyof typeof frameKinds, number][]
  return names.find(([, value]) => value === kind)?.[0] ?? 'unknown'
}

function tagsOf(facts: EntryFacts | undefined, { versions }: Found): Inspection['tags'] {
  return Object.entries(facts?.tags ?? {}).map(([name, version]) => ({
    name,
    isCurrent: versions.get(name) === version,
  }))
}
