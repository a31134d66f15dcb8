import type { Payload } from '@stowage/core'
import type { CommandClient } from '../protocol/command-client.ts'
import { isWrongType } from '../redis-errors.ts'

/** Reads a value. One of another type than string is a miss. */
export function getCommand(client: CommandClient, key: string): Promise<Payload | undefined> {
  return client.getBuffer(key).then((reply) => reply ?? undefined, missIfWrongType)
}

function missIfWrongType(error: unknown): undefined {
  if (!isWrongType(error)) throw error
}
