import {
  type BackendTraits,
  type History,
  isAcknowledged,
  resultOf,
} from '@stowage/testing/simulation'
import {
  type ChangeCall,
  type ChangeEntry,
  type ChangeLog,
  namesOf,
  nearTtlMs,
  rows,
} from './change-log.ts'
import type { Commit } from './database.ts'

/** For how long a process may use the id of a generation that it knows, and a little more. */
const generationMs = 1_100
const slackMs = 5
/** How long a message of the bus is delayed at most. */
const messageMs = 20

interface RowRead {
  readonly entry: ChangeEntry
  readonly row: string
  readonly value: unknown
}

/**
 * Judges that a read that begins after a commit never returns what the commit has replaced, and that nothing is returned that
 * was not committed.
 */
export function judgeChanges(
  history: History<ChangeCall>,
  log: ChangeLog,
  traits: BackendTraits,
): string | undefined {
  // In real time, the last calls do not wait until loads are stored again that have failed.
  if (log.problem !== undefined && history.isRealTime !== true) return log.problem
  for (const read of history.entries.flatMap(readsOf)) {
    const { entry, row, value } = read
    const { process, call, invokedAt } = entry
    const text = `${process} ${call.op} at ${invokedAt} ms returned ${row} = ${String(value)}`
    const isCommitted = value === 0 || log.database.commits.some(({ id }) => id === value)
    if (!isCommitted) return `${text}, which was not committed.`
    const last = log.database.before(row, invokedAt - 1)
    if (last === undefined || last.id === value || isNewer(value, last, log)) continue
    if (isExcused(read, last, { history, log, traits })) continue
    return `${text}, which transaction ${last.id} had replaced at ${last.at} ms.`
  }
  return undefined
}

function readsOf(entry: ChangeEntry): RowRead[] {
  const { call } = entry
  if (
    !isAcknowledged(entry) ||
    call.op === 'change' ||
    call.op === 'clear' ||
    call.op === 'invalidate'
  )
    return []
  const result = resultOf(entry)
  const values = Array.isArray(result) ? result : [result]
  const names =
    call.op === 'getMany' ? rows : values.length === 2 ? (['key0', 'key1'] as const) : [call.row]
  return names.flatMap((row, index) =>
    values[index] === undefined ? [] : [{ entry, row, value: values[index] }],
  )
}

function isNewer(value: unknown, last: Commit, { database }: ChangeLog): boolean {
  const commit = database.commits.find(({ id }) => id === value)
  return commit !== undefined && commit.at >= last.at
}

interface Evidence {
  readonly history: History<ChangeCall>
  readonly log: ChangeLog
  readonly traits: BackendTraits
}

function isExcused(read: RowRead, commit: Commit, evidence: Evidence): boolean {
  return (
    isNear(read, commit, evidence) ||
    isBeforeClear(read, evidence) ||
    isMarkLost(read, commit, evidence)
  )
}

/** A near cache may return an entry until its ttl ends, if the mark was announced and the message is on its way or lost. */
function isNear({ entry, row }: RowRead, { id }: Commit, { history, log, traits }: Evidence) {
  if (traits.variant !== 1) return false
  const change = changeOf(id, history, log)
  if (change.entry?.process === entry.process) return false
  const markedAt = change.markedAt.get(row) ?? Infinity
  // Where nothing fails, the message arrives.
  const bound = history.isFaultless && traits.scan ? messageMs : nearTtlMs * 1.002
  return entry.invokedAt <= markedAt + bound + slackMs
}

/** After a clear, other processes read the previous generation for a short time. It contains no marks. */
function isBeforeClear({ entry }: RowRead, { history, traits }: Evidence): boolean {
  if (traits.scan) return false
  return history.entries.some(
    ({ call, invokedAt, settledAt }) =>
      call.op === 'clear' &&
      invokedAt < entry.invokedAt &&
      Math.min(settledAt, invokedAt + 1_000) + generationMs > entry.invokedAt,
  )
}

/** The backend has lost the mark, or a clear has deleted it: exact again when the change has ended, if that has succeeded. */
function isMarkLost(
  { entry, row }: RowRead,
  { id, at }: Commit,
  { history, log }: Evidence,
): boolean {
  const { entry: change } = changeOf(id, history, log)
  if (change === undefined) return false
  const { settled = Infinity } = change
  const { keys, tags } = namesOf(row)
  const isOf = (key: string) =>
    [...(keys ?? []), ...(tags ?? [])].some((each) => key.endsWith(each))
  const wasLost = history.losses.some(
    ({ key, order }) => isOf(key) && order > change.invoked && order < settled,
  )
  const wasCleared =
    keys !== undefined &&
    history.entries.some(
      (other) =>
        other.call.op === 'clear' &&
        other.invoked < settled &&
        (isAcknowledged(other) ? (other.settledAt ?? Infinity) : other.effectiveUntilAt) >=
          change.invokedAt,
    )
  if (!wasLost && !wasCleared) return false
  const hasFailed = history.requests.some(
    (request) =>
      request.hasFailed &&
      request.process === change.process &&
      request.sent > change.invoked &&
      request.sent < settled,
  )
  return settled === undefined || settled > entry.invoked || hasFailed || at > entry.invokedAt
}

function changeOf(id: number, { entries }: History<ChangeCall>, { changes }: ChangeLog) {
  const { call, markedAt = new Map<string, number>() } = changes.get(id) ?? {}
  return { entry: entries.find((entry) => entry.call === call), markedAt }
}
