import {
  type History,
  type HistoryEntry,
  isAcknowledged,
  resultOf,
} from '@stowage/testing/simulation'

export interface WriteCall {
  readonly op: 'get' | 'getMany' | 'set' | 'delete'
  readonly key: string
}

/** The database. */
export interface SourceState {
  readonly current: Map<string, number | undefined>
  /** What was saved, by key, in order. A delete saves `undefined`. */
  readonly saves: Map<
    string,
    readonly { readonly value: number | undefined; readonly order: number }[]
  >
}

type Entry = HistoryEntry<WriteCall>

/**
 * Judges that a read returns nothing that was saved before another write that was acknowledged before the read. A writer
 * that failed after its save, or was killed, may leave an older value: keys with such a writer are not judged.
 */
export function judgeWriteThrough(
  { entries }: History<WriteCall>,
  source: SourceState,
): string | undefined {
  for (const [key, saves] of source.saves) {
    const own = entries.filter(({ call }) => call.key === key)
    const writes = own.filter(({ call }) => call.op === 'set' || call.op === 'delete')
    if (writes.some((write) => !isAcknowledged(write) && !write.hasNoEffect)) continue
    const placeOf = new Map(saves.map(({ value }, place) => [value, place]))
    for (const read of own) {
      if (!isRead(read) || !isAcknowledged(read)) continue
      const place = placeOf.get(resultOf(read) as number | undefined) ?? -1
      const later = writes.find(
        (write) =>
          write.call.op === 'set' &&
          isAcknowledged(write) &&
          (write.settled ?? Infinity) < read.invoked &&
          (placeOf.get(resultOf(write) as number) ?? -1) > place,
      )
      const isMissing =
        resultOf(read) === undefined && saves.some(({ value }) => value === undefined)
      if (later === undefined || isMissing) continue
      return (
        `${read.process} read ${String(resultOf(read))} of ${key} at ${read.invokedAt} ms, but ${later.process} had ` +
        `saved ${String(resultOf(later))} after it, at ${later.invokedAt} ms.`
      )
    }
  }
  return undefined
}

/**
 * Judges that no read that begins after a save returns what was saved before it, whatever has become of the writer. A read
 * that finds nothing in the source is not judged.
 */
export function judgeExactWrites(
  { entries }: History<WriteCall>,
  source: SourceState,
): string | undefined {
  for (const read of entries) {
    const value = resultOf(read)
    if (!isRead(read) || !isAcknowledged(read) || value === undefined) continue
    const saves = source.saves.get(read.call.key) ?? []
    const place = saves.findIndex((save) => save.value === value)
    const later = saves.findLast(({ order }, index) => index > place && order < read.invoked)
    if (later === undefined) continue
    return `${read.process} read ${String(value)} of ${read.call.key} at ${read.invokedAt} ms, after ${String(later.value)} was saved.`
  }
  return undefined
}

function isRead({ call }: Entry): boolean {
  return call.op === 'get' || call.op === 'getMany'
}
