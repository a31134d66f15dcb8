import { type Reply, ServerError, status } from './protocol.ts'

/** @throws ServerError unless the request succeeded */
export function readOk(reply: Reply): void {
  if (reply.status !== status.ok) throw new ServerError(reply)
}

export function readVersion(reply: Reply): string {
  readOk(reply)
  return reply.value.toString('latin1')
}

/** Whether the item exists, or existed until it was deleted. */
export function readExists(reply: Reply): boolean {
  if (reply.status === status.ok) return true
  if (reply.status === status.missing) return false
  throw new ServerError(reply)
}

/** Whether an item was added; `false` if the key exists. */
export function readAdded(reply: Reply): boolean {
  if (reply.status === status.ok) return true
  if (reply.status === status.exists || reply.status === status.notStored) return false
  throw new ServerError(reply)
}

/** The result of a request with a `cas` id. `'changed'`: the item has another id now. */
export type CasOutcome = 'done' | 'missing' | 'changed'

export function readCasOutcome(reply: Reply): CasOutcome {
  if (reply.status === status.ok) return 'done'
  if (reply.status === status.exists) return 'changed'
  if (reply.status === status.missing || reply.status === status.notStored) return 'missing'
  throw new ServerError(reply)
}

/** The new value of a counter; `'not-numeric'` if the server cannot add to the value. */
export function readSum(reply: Reply): bigint | 'missing' | 'not-numeric' {
  if (reply.status === status.ok) return reply.sum
  if (reply.status === status.missing) return 'missing'
  if (reply.status === status.notNumeric) return 'not-numeric'
  throw new ServerError(reply)
}
