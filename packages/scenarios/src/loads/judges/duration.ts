import type { LoadHistory } from './load-history.ts'

/** How long a call may take without faults: loads one after another, and polls of the leases of other processes. */
const faultlessMs = 5_000
/**
 * The same with faults: in addition, the leases of processes that were killed, paused or separated. Also in real time,
 * where the machine may be slow.
 */
const faultyMs = 30_000

/** A call took longer than leases, loads and deadlines can explain. */
export function findSlowCall({
  history: { isFaultless, isRealTime = false },
  entries,
}: LoadHistory): string | undefined {
  const limit = isFaultless && !isRealTime ? faultlessMs : faultyMs
  const slow = entries.find(
    ({ invokedAt, settledAt }) => settledAt < Infinity && settledAt - invokedAt > limit,
  )
  if (slow === undefined) return undefined
  return `${slow.process} ${slow.call.op} took ${slow.settledAt - slow.invokedAt} ms.`
}
