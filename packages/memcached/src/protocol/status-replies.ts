import { type Reply, ServerError, status } from './protocol.ts'

export function readAnything(reply: Reply): void {
  if (reply.status !== status.ok) throw new ServerError(reply)
}

export function readVersion(reply: Reply): string {
  readAnything(reply)
  return reply.value.toString('latin1')
}

/** Whether there was something to do it to. */
export function isThere(reply: Reply): boolean {
  if (reply.status === status.ok) return true
  if (reply.status === status.missing) return false
  throw new ServerError(reply)
}

/** Whether it was added; otherwise something lives under the key. */
export function readAdded(reply: Reply): boolean {
  if (reply.status === status.ok) return true
  if (reply.status === status.exists || reply.status === status.notStored) return false
  throw new ServerError(reply)
}

/** What became of a request for an item of one state. */
export type Outcome = 'done' | 'missing' | 'changed'

export function readOutcome(reply: Reply): Outcome {
  if (reply.status === status.ok) return 'done'
  if (reply.status === status.exists) return 'changed'
  if (reply.status === status.missing || reply.status === status.notStored) return 'missing'
  throw new ServerError(reply)
}

/** The sum; `'missing'` without a counter, `'refused'` for what the server cannot count with. */
export function readSum(reply: Reply): bigint | 'missing' | 'refused' {
  if (reply.status === status.ok) return reply.sum
  if (reply.status === status.missing) return 'missing'
  if (reply.status === status.notNumeric) return 'refused'
  throw new ServerError(reply)
}
