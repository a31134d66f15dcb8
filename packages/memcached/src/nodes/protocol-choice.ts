import { DeadlineError } from '@stowage/core/driver'
import type { Connection } from '../connection/connection.ts'
import { ProtocolMismatchError, ServerError, status } from '../protocol/protocol.ts'

/** Whether the server may accept another protocol: it accepted the connection, but sent no valid reply. */
export function mayUseOtherProtocol(connection: Connection, reason: Error): boolean {
  if (reason instanceof ProtocolMismatchError) return true
  if (reason instanceof ServerError && reason.status === status.unknownCommand) return true
  const hasReplied = connection.serverVersion !== ''
  return connection.connected && !hasReplied && !(reason instanceof DeadlineError)
}
