import type { Redis } from 'ioredis'
import type { Connection } from '../connection/connection.ts'

/** Which slots each master of a cluster serves. */
export interface SlotLayout {
  /** Equal for equal layouts. */
  readonly text: string
  /** Whether a slot is being migrated. */
  readonly isMigrating: boolean
}

/**
 * Reads the line `myself` of https://redis.io/docs/latest/commands/cluster-nodes/. Without the permission to do so, no
 * migration is assumed.
 */
export async function readSlotLayout(masters: readonly Connection[]): Promise<SlotLayout> {
  const slots = await Promise.all(masters.map(readOwnSlots))
  const text = slots.join('\n')
  return { text, isMigrating: /\[\d+-[<>]-/.test(text) }
}

async function readOwnSlots(master: Connection): Promise<string> {
  master.begin()
  try {
    const lines = String(await (master.client as Redis).cluster('NODES')).split('\n')
    const own = lines.find((line) => / (\w+,)*myself[ ,]/.test(line)) ?? ''
    return own.split(' ').slice(8).join(' ')
  } catch {
    return ''
  } finally {
    master.end()
  }
}

/** Whether a key may have moved between two masters while the layout changed from one to the other. */
export function mayHaveMoved(before: SlotLayout, after: SlotLayout): boolean {
  return before.isMigrating || after.isMigrating || before.text !== after.text
}
